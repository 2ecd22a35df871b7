/* SPDX-License-Identifier: MIT */
/*
 * What a program knows of its own waits: for each call site how many there were and how
 * long the program's clock says they took, read right before and after the call.  So a
 * profile's sum is at most this one.
 *
 *     wait SITE LEAF COUNT NANOSECONDS
 *
 * Context: test programs.
 */
#ifndef WAIT_TALLY_H
#define WAIT_TALLY_H

#include "lock_victim.h"
#include "victim.h"

struct wait_tally {
	const char *site, *leaf;
	long count;
	int64_t ns;
};

static inline void tally_add(struct wait_tally *tally, int64_t start_ns)
{
	__atomic_fetch_add(&tally->ns, clock_read_ns(CLOCK_MONOTONIC) - start_ns, __ATOMIC_RELAXED);
	__atomic_fetch_add(&tally->count, 1, __ATOMIC_RELAXED);
}

/*
 * Defines SITE_NAME, a function in which `call` waits, and its tally.  The function has the
 * type that waiter_begin() takes; `object` is its argument.
 */
#define SITE(name, leaf_name, call)                                      \
	static struct wait_tally tally_of_##name = {#name, leaf_name, 0, 0}; \
	FRAME static int name(void *object)                              \
	{                                                                \
		(void)object;                                            \
		const int64_t start_ns = clock_read_ns(CLOCK_MONOTONIC); \
		const int result = (call);                               \
		const int saved = errno;                                 \
		tally_add(&tally_of_##name, start_ns);                   \
		errno = saved;                                           \
		return result;                                           \
	}

static inline void tally_print(const struct wait_tally *tally)
{
	printf("wait %s %s %ld %lld\n", tally->site, tally->leaf, tally->count, (long long)tally->ns);
}

#endif
