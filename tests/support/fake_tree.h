/* SPDX-License-Identifier: MIT */
/*
 * A whole collector and the fake processes that it serves.  A process is a child that
 * registers when told to and waits to be killed; the test records on its behalf, since
 * it holds the segment too.
 *
 * Context: tests of the collector.
 */
#ifndef TESTS_SUPPORT_FAKE_TREE_H
#define TESTS_SUPPORT_FAKE_TREE_H

#include <criterion/criterion.h>
#include <sys/types.h>
#include <time.h>

#include "fake_segment.h"

/* How long a test waits for what must come. */
#define PATIENCE_MS 20000

struct fake_tree {
	struct fake_session session;
	char dir[64];
	pid_t supervisor;
	int log_fd; /* read end: what the collector says */
};

struct fake_process {
	struct fake_segment segments[2]; /* the second for an image after an exec */
	uint32_t slot;
	pid_t pid;
	int commands; /* write end: 'r' registers segment 0, 'x' segment 1, 'q' exits */
	int answers;
};

/* Waits until `condition`; fails the test if that takes for ever. */
#define WAIT_FOR(condition)                                                               \
	do {                                                                              \
		const struct timespec pause_ = {.tv_nsec = 2000000};                      \
		for (int tries_ = 0; !(condition); tries_++) {                            \
			cr_assert_lt(tries_, PATIENCE_MS / 2, "in vain: %s", #condition); \
			nanosleep(&pause_, NULL);                                         \
		}                                                                         \
	} while (0)

/* Makes the session and the directory; removes the directory with all in it. */
void fake_tree_open(struct fake_tree *tree);
void fake_tree_close(const struct fake_tree *tree);

/* Starts a process that may register; the second: with segments that are files in the directory. */
void fake_process_start(const struct fake_tree *tree, struct fake_process *process, bool is_first);
void fake_process_start_on_disk(const struct fake_tree *tree, struct fake_process *process);

/* Registers a segment: 'r' the first, 'x' the second. */
void fake_process_register(struct fake_process *process, char command);

/* Asks for the final files. */
void fake_process_ask_final(const struct fake_process *process);

void fake_process_kill(struct fake_process *process);

/* Starts the collector; waits for its end. */
void fake_tree_collect(struct fake_tree *tree, const struct fake_process *first);
void fake_tree_expect_end(const struct fake_tree *tree, int exit_status);

/* How many files match NAME.PID.<rest>; all have mode 0600 and some content. */
size_t fake_tree_files(const struct fake_tree *tree, const char *name, const struct fake_process *process,
		       const char *rest);

/* How many files there are, hidden ones included. */
size_t fake_tree_count(const struct fake_tree *tree);

/* What the collector said so far. */
const char *fake_tree_said(const struct fake_tree *tree);

#endif
