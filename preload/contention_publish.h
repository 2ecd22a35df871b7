/* SPDX-License-Identifier: MIT */
/*
 * A wait as the thread's slot shows it to whoever dumps threads (struct cprof_waiting).
 *
 * Context: any (async-signal-safe), on the thread that owns the slot.
 */
#ifndef PRELOAD_CONTENTION_PUBLISH_H
#define PRELOAD_CONTENTION_PUBLISH_H

#include <stdbool.h>

#include "cprof_shm.h"
#include "unwind.h"

/* What a slot shows, or showed before. */
struct publication {
	uint32_t what;  /* enum cprof_wait */
	uint32_t stack; /* id, 0: not walked so far */
	uint64_t object;
	uint64_t since_ns;
	uint64_t function;
	uint64_t pc;
	uint64_t sp;
	uint64_t fp;
};

/* Waits that others interrupted and that are to be shown again: deeper ones are not shown. */
#define CONTENTION_OUTER_MAX 3u

/* Shows a wait until it is withdrawn, in place of the one that it interrupted. False: it cannot be shown. */
bool contention_publish(struct cprof_thread *slot, const struct publication *publication);

/* The stack of the wait that was published last has been walked. */
void contention_publish_stack(struct cprof_thread *slot, uint32_t stack);

/*
 * Before a wait of a caller at `sp` is shown: takes away the innermost one, if that was left
 * by a jump, a cancellation or an exception.  False: there is none.
 */
bool contention_take_stale(struct cprof_thread *slot, uint64_t sp, const struct unwind_bounds *bounds,
			   struct publication *out_stale);

/* Whether the wait that began then, by a caller at `sp`, is still among those that are shown. */
bool contention_is_shown(struct cprof_thread *slot, uint64_t since_ns, uint64_t sp);

/* Takes the innermost wait away and shows the one that it interrupted. False: there is none. */
bool contention_withdraw(struct cprof_thread *slot, struct publication *out_publication);

/* What interrupted its owner in the middle of one of these does not come back to it. */
void contention_mend(struct cprof_thread *slot);

/* The thread begins. */
void contention_show_nothing(struct cprof_thread *slot);

#endif
