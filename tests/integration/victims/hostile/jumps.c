/* SPDX-License-Identifier: MIT */
/*
 * Leaves handlers by siglongjmp and longjmp, thousands of times, from depths that vary, in
 * several threads, while samples come.  Context: test program.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "hostile.h"

static __thread sigjmp_buf back;
static __thread volatile int depth_reached;
static char *forbidden;

static void on_fault(int signal)
{
	siglongjmp(back, signal);
}

static FRAME int dives(int depth)
{
	char room[256];
	room[depth % 256] = (char)depth;
	depth_reached = depth;
	if (depth == 0)
		forbidden[0] = 1;
	const int below = depth ? dives(depth - 1) : 0;
	return below + room[depth % 256];
}

static void *jumps(void *out_count)
{
	for (volatile int i = 0; i < 3000; i++)
		if (sigsetjmp(back, 1) == 0)
			dives(i % 50);
		else
			__atomic_add_fetch((int *)out_count, 1, __ATOMIC_RELAXED);
	jmp_buf plain;
	for (volatile int i = 0; i < 3000; i++) {
		if (setjmp(plain) == 0) {
			free(malloc(100));
			longjmp(plain, 1);
		}
		__atomic_add_fetch((int *)out_count, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

int main(void)
{
	forbidden = (char *)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	signal(SIGSEGV, on_fault);
	int count = 0;
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, jumps, &count);
	jumps(&count);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	say("jumps %d\n", count);
	hostile_works();
	return 0;
}
