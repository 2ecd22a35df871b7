/* SPDX-License-Identifier: MIT */
/*
 * The one child that a test looks at from outside, and what it waits for.
 *
 * Context: tests of the collector.  The child ends with its test.
 */
#ifndef TESTS_WATCHED_CHILD_H
#define TESTS_WATCHED_CHILD_H

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "thread_state.h"

/* Until a condition holds: a bound for hangs, not a measurement. */
#define WAIT_FOR(condition)                                                \
	do {                                                               \
		int polls = 5000;                                          \
		while (!(condition) && polls-- > 0)                        \
			poll(NULL, 0, 2);                                  \
		cr_assert(condition, "it did not happen: %s", #condition); \
	} while (0)

static pid_t child;

/* As in /proc/PID/status; '?': it cannot be read. */
static inline char child_state(void)
{
	struct thread_state state;
	return thread_state_read_status(child, child, &state) == 0 ? state.state : '?';
}

static inline void child_end(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
}

#endif
