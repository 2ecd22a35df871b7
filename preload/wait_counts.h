/* SPDX-License-Identifier: MIT */
/*
 * Where condition variables and semaphores count those who wait, which is what a signal or a
 * post looks at first, in a line that it fetches anyway.  Where it is not known, who waits is
 * counted by address, as for futexes (contention_wake.h).
 *
 * Context: any, but for learning.
 */
#ifndef PRELOAD_WAIT_COUNTS_H
#define PRELOAD_WAIT_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

/* Index of the 32-bit word; NONE until it is learnt. */
#define WAIT_COUNTS_NONE UINT32_MAX
struct wait_counts {
	uint32_t cond_word, semaphore_word;
};
extern struct wait_counts wait_counts __attribute__((visibility("hidden")));

/* Asks the C library, once it is resolved.  Before anything is recorded.  Context: init. */
void wait_counts_learn(void);

#endif
