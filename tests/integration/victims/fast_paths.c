/* SPDX-License-Identifier: MIT */
/* cflags: -Iinclude */
/*
 * Each path that programs take often, once, between two breakpoints at which steps looks:
 * the first with the path's name in rax, the second with 0.  Each was taken before, so that
 * what is done only once is done.
 *
 *     fast_paths [sample]    sample: the CPU sample too, which needs cprof's timer
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cprof.h"

#define MARK(name) __asm__ volatile("int3" : : "a"(name) : "memory")
/* volatile: unrolled, the third call would be one that nobody has seen before. */
#define COUNTED(name, before, work, after)             \
	do {                                           \
		for (volatile int i = 0; i < 3; i++) { \
			before;                        \
			if (i == 2)                    \
				MARK(name);            \
			work;                          \
			if (i == 2)                    \
				MARK(0L);              \
			after;                         \
		}                                      \
	} while (0)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static siginfo_t forged;
static void *volatile blocks[3];

/*
 * Finds the mark that cprof's timer puts into its signals, and stops the timer: under a
 * debugger that steps it would expire all the time.
 */
static int take_timer(uint64_t *out_mark)
{
	const struct itimerspec never = {{0}, {0}};
	FILE *timers = fopen("/proc/self/timers", "r");
	char line[128];
	int id = -1, number, found = 0;
	while (timers && !found && fgets(line, sizeof line, timers)) {
		(void)sscanf(line, "ID: %d", &id);
		found = sscanf(line, "signal: %d/%" SCNx64, &number, out_mark) == 2 && number == SIGPROF;
	}
	if (timers)
		fclose(timers);
	return found && syscall(SYS_timer_settime, id, 0, &never, NULL) == 0;
}

static __attribute__((noipa)) void send_signal(int levels)
{
	if (levels > 0)
		send_signal(levels - 1);
	else
		COUNTED("cpu_sample", , syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGPROF, &forged), );
	__asm__ volatile(""); /* no tail call */
}

int main(int argc, char **argv)
{
	uint64_t mark;
	if (argc == 2 && strcmp(argv[1], "sample") == 0) {
		if (!take_timer(&mark))
			return 1;
		forged.si_signo = SIGPROF;
		forged.si_code = SI_TIMER;
		forged.si_value.sival_ptr = (void *)(uintptr_t)mark;
		send_signal(24);
	}
	COUNTED("malloc", , blocks[i] = malloc(64), );
	COUNTED("realloc", , blocks[i] = realloc(blocks[i], 72), );
	COUNTED("free", , free(blocks[i]), );
	COUNTED("calloc", , blocks[i] = calloc(3, 16), );
	COUNTED("mutex_lock", , pthread_mutex_lock(&mutex), pthread_mutex_unlock(&mutex));
	COUNTED("mutex_trylock", , pthread_mutex_trylock(&mutex), pthread_mutex_unlock(&mutex));
	COUNTED("read", , (void)!read(-1, &mark, 1), );
	COUNTED("region", , cprof_region_end(cprof_region_begin("region")), );
	COUNTED("labels", , cprof_labels_pop(cprof_labels_push("tenant", "anna")), );
	COUNTED("mutex_unlock", pthread_mutex_lock(&mutex), pthread_mutex_unlock(&mutex), );
	return 0;
}
