/* SPDX-License-Identifier: MIT */
/*
 * The price of one CPU sample.  Timer signals are too rare to be timed, so the program
 * sends itself signals that look exactly like those of cprof's timer: /proc/self/timers
 * tells by what mark it knows them.  Without cprof an empty handler takes them, so the
 * difference is cprof's handler alone.  Prints nanoseconds of CPU time for each signal.
 *
 *     bench_handler same      always the same stack of 30 frames
 *     bench_handler varied    30 frames, hardly ever the same twice
 *
 * Context: benchmarks.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench_clock.h"

#define BATCHES 15
#define BATCH_SIGNALS 2000
/* syscall(), the first step, measure(), main and three of the start are the seven others of the 30. */
#define RECURSIONS 23

static siginfo_t forged;
static uint64_t path_random = UINT64_C(88172645463325252);

static void ignore(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
}

/* The mark that cprof's timer puts into its signals; false without such a timer. */
static bool find_mark(uint64_t *out_mark)
{
	FILE *timers = fopen("/proc/self/timers", "re");
	char line[128];
	bool found = false;
	int number;
	while (timers && !found && fgets(line, sizeof line, timers))
		found = sscanf(line, "signal: %d/%" SCNx64, &number, out_mark) == 2 && number == SIGPROF;
	if (timers)
		fclose(timers);
	return found;
}

static __attribute__((noinline)) void send_signal(void)
{
	syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGPROF, &forged);
}

typedef void step(uint64_t path, int left);
static step *const volatile steps[4];

/* Two call sites in each of four functions that must not be merged: 8 return addresses a level. */
#define DEFINE_STEP(name)                                                      \
	static __attribute__((noipa)) void name(uint64_t path, int left)       \
	{                                                                      \
		if (left == 0) {                                               \
			send_signal();                                         \
		} else if (path & 4) {                                         \
			steps[path & 3](path >> 3, left - 1);                  \
			__asm__ volatile("nop"); /* unlike the other branch */ \
		} else {                                                       \
			steps[path & 3](path >> 3, left - 1);                  \
		}                                                              \
		BENCH_OPAQUE(path); /* no tail calls */                        \
	}
DEFINE_STEP(step_a)
DEFINE_STEP(step_b)
DEFINE_STEP(step_c)
DEFINE_STEP(step_d)
static step *const volatile steps[4] = {step_a, step_b, step_c, step_d};

/* Marsaglia's xorshift64 (2003). */
static uint64_t next_path(void)
{
	path_random ^= path_random << 13;
	path_random ^= path_random >> 7;
	path_random ^= path_random << 17;
	return path_random;
}

static __attribute__((noipa)) double measure(bool is_varied)
{
	double batches[BATCHES] = {0};
	for (int b = -1; b < BATCHES; b++) {
		uint64_t start = bench_thread_ns();
		for (int i = 0; i < BATCH_SIGNALS; i++)
			steps[0](is_varied ? next_path() : 0, RECURSIONS);
		if (b >= 0) /* the first one warms up */
			batches[b] = (double)(bench_thread_ns() - start) / BATCH_SIGNALS;
	}
	return bench_median(batches, BATCHES);
}

int main(int argc, char **argv)
{
	const char *name = argc == 2 ? argv[1] : "";
	bool is_varied = strcmp(name, "varied") == 0;
	uint64_t mark = 0;
	if (!is_varied && strcmp(name, "same") != 0)
		return 2;
	if (!find_mark(&mark)) {
		const char *preload = getenv("LD_PRELOAD");
		if (preload && *preload) {
			fputs("bench_handler: no CPU timer in /proc/self/timers\n", stderr);
			return 1;
		}
		struct sigaction action = {.sa_sigaction = ignore, .sa_flags = SA_SIGINFO};
		sigaction(SIGPROF, &action, NULL);
	}
	forged.si_signo = SIGPROF;
	forged.si_code = SI_TIMER;
	forged.si_value.sival_ptr = (void *)(uintptr_t)mark;
	printf("%.1f\n", measure(is_varied));
	return 0;
}
