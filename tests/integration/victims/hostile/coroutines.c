/* SPDX-License-Identifier: MIT */
/*
 * ucontext coroutines on stacks from malloc and mmap that wander between threads, and leave
 * by setcontext; then code that uses the frame pointer as a number.
 *
 * Context: test program.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "hostile.h"

#define COROUTINES 16
#define ROUNDS 500
#define STACK_BYTES 32768

static struct {
	ucontext_t self, *resumer;
	int steps;
} coroutines[COROUTINES];

static void body(int at)
{
	for (int i = 0; i < ROUNDS; i++) {
		coroutines[at].steps++;
		hostile_allocates(1);
		spin_briefly();
		swapcontext(&coroutines[at].self, coroutines[at].resumer);
	}
	coroutines[at].steps += 1000000;
	setcontext(coroutines[at].resumer);
}

static void *resumes_all(void *unused)
{
	ucontext_t here;
	for (int i = 0; i < COROUTINES; i++) {
		coroutines[i].resumer = &here;
		swapcontext(&here, &coroutines[i].self);
	}
	return unused;
}

int main(void)
{
	for (int i = 0; i < COROUTINES; i++) {
		void *stack = i % 2 ? malloc(STACK_BYTES)
				    : mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		getcontext(&coroutines[i].self);
		coroutines[i].self.uc_stack.ss_sp = stack;
		coroutines[i].self.uc_stack.ss_size = STACK_BYTES;
		makecontext(&coroutines[i].self, (void (*)(void))body, 1, i);
	}
	for (int round = 0; round <= ROUNDS; round++) {
		if (round % 20 == 0) {
			pthread_t thread;
			pthread_create(&thread, NULL, resumes_all, NULL);
			pthread_join(thread, NULL);
		} else {
			resumes_all(NULL);
		}
	}
	int done = 0;
	for (int i = 0; i < COROUTINES; i++)
		done += coroutines[i].steps == 1000000 + ROUNDS;
	say("done %d\nowes %d\n", done, COROUTINES * ROUNDS);
#ifdef __x86_64__
	const int64_t start = thread_cpu_ns();
	for (uint64_t frame = 1; thread_cpu_ns() - start < 60000000; frame = frame * 31 + 8)
		__asm__ volatile("push %%rbp\n mov %0, %%rbp\n mov $20000, %%ecx\n 1: dec %%ecx\n jnz 1b\n pop %%rbp" ::"r"(frame)
				 : "rcx", "memory", "cc");
	say("frame pointer is a number\n");
#endif
	hostile_works();
	return 0;
}
