/* SPDX-License-Identifier: MIT */
/*
 * Who held a mutex while others waited for it, found out while the waits and wakes of
 * each mutex are met in the order of time.
 *
 * Context: collector; for trace_wakers.c alone.
 */
#ifndef COLLECTOR_TRACE_HOLDS_H
#define COLLECTOR_TRACE_HOLDS_H

#include "trace_model.h"

struct trace_holds {
	struct trace_model *model;
	uint32_t *waits;  /* for the mutex, that are in progress */
	uint32_t *places; /* of each wait in these */
	size_t wait_count;
	uint64_t last_wake_ns;
	uint64_t taken_ns; /* since when `holder` has it */
	uint32_t holder;   /* thread; TRACE_NONE: not known */
	uint32_t lock;     /* into locks; TRACE_NONE: has none yet */
};

/* Makes room in the model too.  0 or -ENOMEM; to be ended in any case. */
int trace_holds_begin(struct trace_holds *holds, struct trace_model *model);
void trace_holds_end(struct trace_holds *holds);

/* What happens next to a mutex; a new one begins only when nobody waits for the one before. */
void trace_holds_new_object(struct trace_holds *holds);
void trace_holds_wait_begins(struct trace_holds *holds, uint32_t wait);
void trace_holds_wakes(struct trace_holds *holds, uint32_t wake);
void trace_holds_wait_ends(struct trace_holds *holds, uint32_t wait);

#endif
