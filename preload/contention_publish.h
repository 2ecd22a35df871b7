/* SPDX-License-Identifier: MIT */
/*
 * A wait as the thread's slot shows it to whoever dumps threads (struct cprof_waiting).
 *
 * Context: any (async-signal-safe), on the thread that owns the slot.
 */
#ifndef PRELOAD_CONTENTION_PUBLISH_H
#define PRELOAD_CONTENTION_PUBLISH_H

#include "cprof_shm.h"
#include "unwind.h"

/* What a slot shows, or showed before. */
struct publication {
	uint32_t what; /* enum cprof_wait */
	uint64_t object;
	uint64_t since_ns;
	uint64_t function;
	uint64_t pc;
	uint64_t sp;
	uint64_t fp;
};

struct published {
	struct cprof_thread *slot; /* NULL: nothing was published */
	struct publication outer;  /* the wait that this one interrupted */
};

/*
 * Shows a wait.  What a wait showed that was left by a jump, a cancellation or an
 * exception is taken away and comes out as *out_stale, else with `what` NONE.
 */
void contention_publish(struct published *out_published, struct cprof_thread *slot,
			const struct publication *publication, struct publication *out_stale);

/* The wait ended: shows what was shown before. */
void contention_withdraw(const struct published *published);

/* The thread ends, or begins: it waits for nothing. */
void contention_withdraw_all(struct cprof_thread *slot, struct publication *out_stale);

#endif
