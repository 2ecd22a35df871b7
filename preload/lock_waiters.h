/* SPDX-License-Identifier: MIT */
/*
 * Who waits for which lock, so that a release can be charged with what it made others
 * wait.  Only waits are entered here; a lock that nobody waits for is not known.
 *
 * One word holds, for a lock, the number n of its waiters and the sum S of the times
 * from which each of them is still uncharged.  At time T they have waited n*T - S since
 * they were last charged, without anybody knowing one waiter from the other:
 *
 *   join at T           n+1, S+T    a wait begins, with nothing to charge
 *   release at T        S = n*T     charged to the holder that releases
 *   acquire at T        n-1, S = (n-1)*T    charged to the release that ended the wait:
 *                                   it includes the time that waking up took
 *   give up at T        n-1, S-T    charged to nobody yet: what was waited stays in S
 *                                   for the holder's release, together with the wait
 *   cancel              n-1, S - the time of the join: as if it had never come
 *
 * So the charges for a lock add up to what its waiters waited, to the last unit.  A
 * wait is counted once, with the charge at its end.  An acquisition that does not know
 * the release that ended it (it came between the failed try and the join) does as one
 * that gives up.  One that comes while the releaser still walks its stack leaves its
 * charge with the entry, for the releaser to take:
 *
 *   releaser                                  who acquired
 *   --------                                  ------------
 *   release_begin: released = PENDING         finds PENDING
 *   the real unlock
 *   release_end: released = its stack (A)     left += charge (C)
 *   takes what is left        (B)             if released is a stack now: takes it back
 *
 *   If B comes before C, C sees B and so A; else B takes it.
 *
 * A handler that interrupts a wait between its join and its being shown (contention.c), and
 * jumps away, leaves its count behind: some tens of instructions.
 *
 * The table is private to the process.  A lock's entry is found by address among the
 * slots of one bucket; it is given to another lock when nobody waits for it.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_LOCK_WAITERS_H
#define PRELOAD_LOCK_WAITERS_H

#include "cprof_atomic.h"
#include "cprof_compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define LOCK_WAITERS_BUCKETS 128u
#define LOCK_WAITERS_SLOTS 8u

/* Everything that is charged at one moment. */
struct lock_charge {
	uint64_t waits;
	uint64_t delay_ns;
};

/* How a release is recorded: its stack's id, its labels', and what each of its waits counts for. */
struct lock_releaser {
	uint32_t stack;
	uint32_t labels;
	uint32_t scale; /* 0: not sampled, nothing is recorded */
};

/* A release between its two halves. */
struct lock_release {
	struct lock_waiters *entry;
	struct lock_charge charge;
	uint64_t ticket;
	uint32_t waiters; /* that still wait */
};

/*
 * Counts, for each hash of an address, the entries with something in them, and above
 * that, in units of LOCK_WAITERS_LEFT, those with waits that nobody was charged with and
 * no waiters.
 */
#define LOCK_WAITERS_FILTER_WORDS 2048u
#define LOCK_WAITERS_LEFT 0x100u
extern atomic_u16 lock_waiters_filter[LOCK_WAITERS_FILTER_WORDS] __attribute__((visibility("hidden")));

static ALWAYS_INLINE uint64_t lock_waiters_hash(const void *lock)
{
	return (uint64_t)(uintptr_t)lock * UINT64_C(0x9e3779b97f4a7c15);
}

static ALWAYS_INLINE atomic_u16 *lock_waiters_filter_word(const void *lock)
{
	return &lock_waiters_filter[lock_waiters_hash(lock) >> 32 & (LOCK_WAITERS_FILTER_WORDS - 1)];
}

/* What the filter says of this lock, as every unlock asks.  0: nobody waits for it. */
static ALWAYS_INLINE uint32_t lock_waiters_look(const void *lock)
{
	/* Relaxed: a waiter that comes at this moment is charged to the next release. */
	return load_relaxed(lock_waiters_filter_word(lock));
}

/*
 * Makes lock_waiters_look() see a wait, whether or not it joins, and takes that away.  A word
 * that overflows says for some time that waits are left.
 */
static ALWAYS_INLINE void lock_waiters_show(const void *lock)
{
	add_relaxed(lock_waiters_filter_word(lock), UINT16_C(1)); /* as lock_waiters_look() */
}
static ALWAYS_INLINE void lock_waiters_hide(const void *lock)
{
	sub_relaxed(lock_waiters_filter_word(lock), UINT16_C(1)); /* likewise */
}

/* A wait for `lock` begins.  NULL: there is no room; it is charged to nobody (counted). */
struct lock_waiters *lock_waiters_join(const void *lock, uint64_t now_ns);

/*
 * The caller, who joined at `start_ns`, holds the lock now.  True: *out_charge belongs to
 * *out_releaser; false: it is left to the releaser, or to the next release.
 */
bool lock_waiters_acquire(struct lock_waiters *entry, uint64_t start_ns, uint64_t now_ns,
			  struct lock_charge *out_charge, struct lock_releaser *out_releaser);

/* How many releases there were while somebody waited: a wait compares it with that at its start. */
uint32_t lock_waiters_releases(const struct lock_waiters *entry);

/* What all waiters have waited since they were last charged. */
uint64_t lock_waiters_uncharged_ns(const struct lock_waiters *entry, uint64_t now_ns);

/* As lock_waiters_acquire(), of a holder that did not release where it is seen: charged to nobody (counted). */
void lock_waiters_acquire_unseen(struct lock_waiters *entry, uint64_t now_ns);

/* The wait ended without the lock: it is left to the holder's release. */
void lock_waiters_give_up(struct lock_waiters *entry, uint64_t now_ns);

/* It was no wait after all: what was charged for it meanwhile is given back. */
void lock_waiters_cancel(struct lock_waiters *entry, uint64_t start_ns);

/* The same for a wait that was left, which does not end any more: the lock is found by its address. */
void lock_waiters_abandon(const void *lock, uint64_t start_ns);

/*
 * The holder is about to release: takes what is to be charged to it, if that is at least
 * `delay_ns_min`; less is left to the next release while there are waiters.  False:
 * nothing is charged.  Else followed, after the real release, by
 * lock_waiters_release_end(), so that acquisitions can be charged to the same stack; it
 * returns what came in between.
 */
bool lock_waiters_release_begin(const void *lock, uint64_t now_ns, uint64_t delay_ns_min,
				struct lock_release *out_release);
struct lock_charge lock_waiters_release_end(const struct lock_release *release,
					    struct lock_releaser releaser);

/* The real release failed: nothing was released. */
void lock_waiters_release_undo(const struct lock_release *release);

/* In a forked child: those who waited are not here. */
void lock_waiters_forget(void);

#endif
