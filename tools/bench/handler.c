/* SPDX-License-Identifier: MIT */
/*
 * The price of one CPU sample.  Timer signals are too rare to be timed, so the program
 * sends itself signals that look exactly like those of cprof's timer: /proc/self/timers
 * tells by what mark it knows them.  Another profiler's handler takes what comes.
 * Without any an empty handler does, so the difference is the profiler's handler alone.
 * Prints
 *
 *     ns       CPU time for each signal
 *
 *     handler same FRAMES      always the same stack of so many frames
 *     handler varied FRAMES    hardly ever the same twice
 *
 * Context: benchmarks.
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "steps.h"

#define BATCHES 15
#define BATCH_SIGNALS 2000
/* syscall(), measure() and the thread's two first frames are not steps. */
#define OTHER_FRAMES 4
#define FRAMES_MAX 128

static siginfo_t forged;
static pid_t process, thread;
static bool is_varied;
static int steps_down;
static double result_ns;
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

static inline void send_signal(void)
{
	syscall(SYS_rt_tgsigqueueinfo, process, thread, SIGPROF, &forged);
}

BENCH_DEFINE_STEPS(send_signal());

/* Marsaglia's xorshift64 (2003). */
static uint64_t next_path(void)
{
	path_random ^= path_random << 13;
	path_random ^= path_random >> 7;
	path_random ^= path_random << 17;
	return path_random;
}

/* A thread's main function, so that few frames lie above it. */
static __attribute__((noipa)) void *measure(void *unused)
{
	double batches[BATCHES] = {0};
	thread = gettid();
	for (int b = -1; b < BATCHES; b++) {
		uint64_t start = bench_thread_ns();
		for (int i = 0; i < BATCH_SIGNALS; i++)
			bench_steps[0](is_varied ? next_path() : 0, steps_down - 1);
		if (b >= 0) /* the first one warms up */
			batches[b] = (double)(bench_thread_ns() - start) / BATCH_SIGNALS;
	}
	result_ns = bench_median(batches, BATCHES);
	return unused;
}

/* The profiler's handler, if there is one, else ours.  False if cprof is here but has no timer. */
static bool find_handler(void)
{
	const char *preload = getenv("LD_PRELOAD");
	struct sigaction action;
	uint64_t mark = 0;
	if (find_mark(&mark)) {
		forged.si_code = SI_TIMER;
		forged.si_value.sival_ptr = (void *)(uintptr_t)mark;
	} else if (preload && strstr(preload, "libcprof")) {
		return false;
	} else if (sigaction(SIGPROF, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
		action = (struct sigaction){.sa_sigaction = ignore, .sa_flags = SA_SIGINFO};
		sigaction(SIGPROF, &action, NULL);
	}
	forged.si_signo = SIGPROF;
	forged.si_code = forged.si_code ? forged.si_code : SI_QUEUE;
	return true;
}

int main(int argc, char **argv)
{
	const char *name = argc == 3 ? argv[1] : "";
	int frames = argc == 3 ? atoi(argv[2]) : 0;
	pthread_t worker;
	is_varied = strcmp(name, "varied") == 0;
	if ((!is_varied && strcmp(name, "same") != 0) || frames <= OTHER_FRAMES || frames > FRAMES_MAX)
		return 2;
	if (!find_handler()) {
		fputs("handler: no CPU timer in /proc/self/timers\n", stderr);
		return 1;
	}
	steps_down = frames - OTHER_FRAMES;
	process = getpid();
	if (pthread_create(&worker, NULL, measure, NULL) || pthread_join(worker, NULL))
		return 1;
	printf("ns %.1f\n", result_ns);
	return 0;
}
