/* SPDX-License-Identifier: MIT */
/*
 * What the victims share: functions that stay functions, and work measured by the
 * thread's own CPU clock.  A victim knows the truth about itself and prints it as
 * "NAME figure..." lines; the test compares the profile with that.
 *
 * Context: test programs.
 */
#ifndef VICTIM_H
#define VICTIM_H

#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
#define VICTIM_C extern "C"
#else
#define VICTIM_C extern
#endif

/* A function whose frame is on the stack under its own name: not inlined, cloned or merged. */
#ifdef __clang__
#define FRAME __attribute__((noinline, optnone))
#else
#define FRAME __attribute__((noipa))
#endif

/* After a call, so that it is no tail call. */
#define NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

static inline int64_t clock_read_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t thread_cpu_ns(void)
{
	return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static inline int64_t process_cpu_ns(void)
{
	return clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* Some microseconds of arithmetic; inlined, so the caller is the leaf. */
static inline __attribute__((always_inline)) void spin_briefly(void)
{
	volatile uint64_t x = 1;
	for (int i = 0; i < 3000; i++)
		x = x * 6364136223846793005u + 1;
}

/* Uses up CPU time of this thread; returns how much it was. */
static inline __attribute__((always_inline)) int64_t spin_cpu_ns(int64_t ns)
{
	const int64_t start = thread_cpu_ns();
	int64_t now = start;
	while (now - start < ns) {
		spin_briefly();
		now = thread_cpu_ns();
	}
	return now - start;
}

/* xorshift64*, Vigna 2014. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717u;
}

#endif
