/* SPDX-License-Identifier: MIT */
/*
 * Block and mutex profile: what the interposed functions that wait, and those that
 * release a lock, tell of themselves.
 *
 * Which waits are recorded, by Go's rule: with the rate r (CPROF_BLOCK_RATE), one of
 * d >= r nanoseconds always, as one wait of d; a shorter one with probability d / r, as
 * r / d waits of r nanoseconds together.  The expectations of both sums are the true
 * ones, whatever waits share a stack.
 *
 * Which releases: one of n (CPROF_MUTEX_FRACTION), scaled by n, with all that others
 * waited for it (lock_waiters.h).  A release that is charged with less than the block
 * rate is recorded by the rule above, or left to the next one while others wait: a
 * lock that is released a million times a second is not walked from each time.  For
 * the same reason, and to save reading the clock, one that wakes nobody, because who
 * waits has been woken already and is on its way, is charged at rate 1 only.
 *
 * A holder may release where it is not seen: in another process, by code that does not
 * call us.  Who then gets the lock has found no release since its wait began, and much
 * that is uncharged; that is charged to nobody, and counted, or its own next release
 * would have to take it.  Where a lock changes hands both here and there, the last
 * release here is charged.
 *
 * An interposed function looks at one word and passes the call on by a jump.  Only when
 * the word is set its watched_ twin tries first; only a failed try comes here.
 *
 * While a trace is taken, each wait leaves an event at its end, and each release that
 * others wait for one of its own, whatever the rates.  Calls of the C library that may
 * block (CPROF_WAIT_READ and on) are watched only then, and are in no profile; many do not
 * wait, so only those that take CONTENTION_CALL_NS_MIN leave an event.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_CONTENTION_H
#define PRELOAD_CONTENTION_H

#include "contention_publish.h"
#include "contention_wake.h"
#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "cprof_shm.h"
#include "lock_waiters.h"
#include "segment.h"
#include "tick_clock.h"
#include "unwind.h"

/*
 * What the interposed functions look at: a word that is 0 until there is a segment, then
 * the segment's.  A forked child that has not registered sees its parent's.
 */
extern const atomic_u32 *contention_word __attribute__((visibility("hidden")));

static ALWAYS_INLINE bool contention_is_on(void)
{
	return load_relaxed(contention_word) != 0; /* from some call on; which one does not matter */
}

/* The process records from now on: its control block's word counts. */
void contention_follow_segment(void);
/* It never will. */
void contention_turn_off(void);

/* A wait under way, on the waiting thread's stack. */
struct contention_wait {
	bool is_watched; /* else nothing else is set */
	bool is_short;   /* it began the short way: contention_short.c */
	bool is_walked;  /* `stack` is set */
	enum cprof_wait what;
	const void *object;
	uint32_t image; /* whose segment all this is in */
	uint32_t stack;
	const void *function;
	const struct unwind_regs *regs; /* the caller's, on the stack beside this */
	uint64_t start_ns;
	uint64_t rate_ns;
	uint64_t random;              /* decides whether it is recorded */
	struct lock_waiters *waiters; /* the lock's entry, or NULL */
	uint32_t releases;            /* of it, so far */
	bool is_shared;               /* by processes */
	struct cprof_thread *slot;    /* that shows it, or NULL */
};

/* What is shown of a wait that begins. */
static ALWAYS_INLINE struct publication contention_publication(const struct contention_wait *wait)
{
	return (struct publication){
		.what = wait->what,
		.object = (uint64_t)(uintptr_t)wait->object,
		.since_ns = wait->start_ns,
		.function = (uint64_t)(uintptr_t)wait->function,
		.pc = wait->regs->pc,
		.sp = wait->regs->sp,
		.fp = wait->regs->fp,
	};
}

/*
 * A wait begins, by the function `function` called with `regs` as its caller's registers.
 * `object`: what is waited for.
 */
void contention_wait_begin(struct contention_wait *out_wait, enum cprof_wait what, const void *object,
			   const void *function, const struct unwind_regs *regs);

enum contention_end {
	CONTENTION_ACQUIRED,  /* it waited, and has what it waited for */
	CONTENTION_INHERITED, /* the same, but its holder died with it */
	CONTENTION_GAVE_UP,   /* it waited in vain: a timeout, a signal */
	CONTENTION_NO_WAIT    /* it failed at once */
};
void contention_wait_end(struct contention_wait *wait, enum contention_end end);

/* What an error number of the pthread functions says. */
enum contention_end contention_end_of(int error);

/*
 * Whether this unlock may have to be charged with something: then it is enclosed in the
 * next two.  `wakes`: it has somebody to wake, as far as the lock itself tells.
 */
static ALWAYS_INLINE bool contention_may_be_charged(const void *lock)
{
	return lock_waiters_look(lock) != 0;
}
static ALWAYS_INLINE bool contention_must_be_charged(const void *lock, bool wakes)
{
	/* Relaxed: as contention_is_on(). */
	return wakes || lock_waiters_look(lock) >= LOCK_WAITERS_LEFT ||
	       load_relaxed(&segment_control()->block_rate_ns) <= 1;
}

struct contention_release {
	bool is_charged; /* else the next two are not set */
	uint32_t scale;
	struct lock_release release;
	bool is_waking; /* else the next one is not set */
	struct contention_wake wake;
};

/* `what`: of the waits, `wakes` as above. */
void contention_release_begin(struct contention_release *out_release, enum cprof_wait what, const void *lock,
			      bool wakes);
/* `was_released`: the real function succeeded. */
void contention_release_end(struct contention_release *release, bool was_released, const void *function,
			    const struct unwind_regs *regs);

/* The thread ends: it waits for nothing any more, however it left its last wait. */
void contention_thread_ends(struct cprof_thread *slot);

/* In a forked child, before its first recording. */
void contention_forget(void);

/* What a wait of d nanoseconds counts for at a rate; weight 0: it is not recorded. */
struct contention_sample {
	uint64_t weight; /* 16 fractional bits */
	uint64_t value;
};
struct contention_sample contention_sample(uint64_t waits, uint64_t delay_ns, uint64_t rate_ns,
					   uint64_t random);

#endif
