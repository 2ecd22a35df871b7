/* SPDX-License-Identifier: MIT */
/*
 * Threads on stacks of the program's own, taken away and used again for others at once, and
 * threads by bare clone() on the caller's thread-local storage, that make system calls only.
 *
 * Context: test program.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hostile.h"

#define STACK_BYTES 65536

static void *on_own_stack(void *argument)
{
	char local;
	hostile_allocates(2);
	spin_cpu_ns(1000000);
	*(int *)argument += &local != NULL;
	return argument;
}

static int raw_thread(void *argument)
{
	__atomic_add_fetch((int *)argument, 1, __ATOMIC_RELAXED);
	syscall(SYS_exit, 0);
	return 0;
}

static int shares_memory(void *argument)
{
	hostile_allocates(10);
	free(malloc(50));
	(*(int *)argument)++;
	return 9;
}

int main(void)
{
	int good = 0;
	for (int i = 0; i < 60; i++) {
		void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		pthread_attr_t attributes;
		pthread_t thread;
		pthread_attr_init(&attributes);
		pthread_attr_setstack(&attributes, stack, STACK_BYTES);
		pthread_create(&thread, &attributes, on_own_stack, &good);
		pthread_join(thread, NULL);
		munmap(stack, STACK_BYTES);
	}
	say("own stacks %d\n", good);

	char *stack = (char *)mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int raw = 0, tid = 0;
	for (int i = 0; i < 100; i++) {
		tid = 1;
		const int pid = clone(raw_thread, stack + STACK_BYTES,
				      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
					      CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID,
				      &raw, &tid, NULL, &tid);
		if (pid < 0)
			return 2;
		while (__atomic_load_n(&tid, __ATOMIC_ACQUIRE))
			sched_yield();
	}
	say("raw threads %d\n", raw);

	int status = 0;
	for (int i = 0; i < 10; i++) {
		const int pid = clone(shares_memory, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, &raw);
		if (waitpid(pid, &status, 0) != pid)
			return 3;
	}
	say("processes on the same memory %d, status %x\n", raw, (unsigned)status);
	say("owes 220\n");
	hostile_works();
	return 0;
}
