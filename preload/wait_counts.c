/* SPDX-License-Identifier: MIT */
/*
 * A condition variable that is made with both attributes has nothing in it but their bits, which
 * are below the count of those who wait, in its word.  That word lies elsewhere since glibc
 * 2.41, and in whatever older ones got the same change, so it is looked for.  Semaphores have
 * the value in the lower half of 64 bits and who waits in the upper one, since 2.21.
 *
 * Context: init.
 */
#include "wait_counts.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include "real.h"

struct wait_counts wait_counts = {.cond_word = WAIT_COUNTS_NONE, .semaphore_word = WAIT_COUNTS_NONE};

#define COND_FLAGS 3u /* shared by processes, and CLOCK_MONOTONIC */

/* The only word that is not 0, if it is `value`. */
static uint32_t find_word(const void *object, size_t byte_count, uint32_t value)
{
	uint32_t found = WAIT_COUNTS_NONE;
	for (uint32_t i = 0; i < byte_count / sizeof(uint32_t); i++) {
		uint32_t word;
		memcpy(&word, (const char *)object + i * sizeof word, sizeof word);
		if (word == 0)
			continue;
		if (word != value || found != WAIT_COUNTS_NONE)
			return WAIT_COUNTS_NONE;
		found = i;
	}
	return found;
}

void wait_counts_learn(void)
{
	pthread_condattr_t attributes;
	pthread_cond_t cond;
	memset(&cond, 0, sizeof cond);
	if (!real.pthread_cond_init || pthread_condattr_init(&attributes) != 0 ||
	    pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) != 0 ||
	    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) != 0 ||
	    real.pthread_cond_init(&cond, &attributes) != 0)
		return;
	wait_counts.cond_word = find_word(&cond, sizeof cond, COND_FLAGS);
	wait_counts.semaphore_word = 1;
}
_Static_assert(sizeof(long) == sizeof(uint64_t), "with 32 bits semaphores count in another word");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the upper half comes second");
