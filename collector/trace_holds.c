/* SPDX-License-Identifier: MIT */
/*
 * While somebody waits for a mutex every unlock of it is recorded.  So whoever unlocks it
 * has held it since its own wait for it was over, or at least since the first of those who
 * still wait began to, if nobody unlocked it in between.  Times before, and locks that
 * nobody waits for, are not recorded.
 *
 * Context: collector; see trace_holds.h.
 */
#include "trace_holds.h"

#include <errno.h>
#include <stdlib.h>

#include "compare.h"

/* Those that were waited for most; more tracks than that nobody looks through. */
#define LOCKS_SHOWN 64

/* Of more who wait nobody looks for the first: a bound on the work that lies can make. */
#define LOOK_AT_MAX 4096

int trace_holds_begin(struct trace_holds *holds, struct trace_model *model)
{
	*holds = (struct trace_holds){.model = model, .holder = TRACE_NONE, .lock = TRACE_NONE};
	holds->waits = calloc(model->wait_count + 1, sizeof *holds->waits);
	holds->places = calloc(model->wait_count + 1, sizeof *holds->places);
	model->locks = calloc(model->wake_count + 1, sizeof *model->locks);
	model->holds = calloc(model->wake_count + 1, sizeof *model->holds);
	return holds->waits && holds->places && model->locks && model->holds ? 0 : -ENOMEM;
}

static int by_waited(const void *left, const void *right)
{
	return compare_u64(*(const uint64_t *)right, *(const uint64_t *)left);
}

void trace_holds_end(struct trace_holds *holds)
{
	struct trace_model *model = holds->model;
	uint64_t least = 0;
	uint64_t *waited = calloc(model->lock_count + 1, sizeof *waited);
	for (size_t i = 0; waited && i < model->lock_count; i++)
		waited[i] = model->locks[i].waited_ns;
	if (waited && model->lock_count > LOCKS_SHOWN) {
		qsort(waited, model->lock_count, sizeof *waited, by_waited);
		least = waited[LOCKS_SHOWN - 1];
	}
	for (size_t i = 0, shown = 0; waited && i < model->lock_count; i++) {
		model->locks[i].is_shown = model->locks[i].waited_ns >= least && shown < LOCKS_SHOWN;
		shown += model->locks[i].is_shown;
	}
	free(waited);
	free(holds->waits);
	free(holds->places);
	*holds = (struct trace_holds){0};
}

void trace_holds_new_object(struct trace_holds *holds)
{
	holds->lock = TRACE_NONE;
}

void trace_holds_wait_begins(struct trace_holds *holds, uint32_t wait)
{
	if (holds->wait_count == 0) {
		/* What happened while nobody waited is not known. */
		holds->last_wake_ns = 0;
		holds->holder = TRACE_NONE;
	}
	holds->places[wait] = (uint32_t)holds->wait_count;
	holds->waits[holds->wait_count++] = wait;
}

/* Since when the one who unlocks has certainly had it; 0: not known. */
static uint64_t held_since(const struct trace_holds *holds, const struct trace_wake *wake)
{
	uint64_t since_ns = 0;
	if (holds->holder != TRACE_NONE)
		return holds->holder == wake->thread ? holds->taken_ns : 0;
	for (size_t i = 0; i < holds->wait_count && holds->wait_count <= LOOK_AT_MAX; i++) {
		uint64_t begin_ns = holds->model->waits[holds->waits[i]].begin_ns;
		if (begin_ns > holds->last_wake_ns && (since_ns == 0 || begin_ns < since_ns))
			since_ns = begin_ns;
	}
	return since_ns;
}

void trace_holds_wakes(struct trace_holds *holds, uint32_t index)
{
	struct trace_model *model = holds->model;
	const struct trace_wake *wake = &model->wakes[index];
	uint64_t since_ns = holds->wait_count ? held_since(holds, wake) : 0;
	holds->last_wake_ns = wake->time_ns;
	holds->holder = TRACE_NONE;
	if (since_ns == 0 || since_ns >= wake->time_ns)
		return;
	if (holds->lock == TRACE_NONE) {
		holds->lock = (uint32_t)model->lock_count++;
		model->locks[holds->lock] = (struct trace_lock){.object = wake->object};
	}
	model->holds[model->hold_count++] = (struct trace_hold){since_ns, wake->time_ns, holds->lock, index};
}

void trace_holds_wait_ends(struct trace_holds *holds, uint32_t index)
{
	const struct trace_wait *wait = &holds->model->waits[index];
	uint32_t last = holds->waits[--holds->wait_count];
	holds->waits[holds->places[index]] = last;
	holds->places[last] = holds->places[index];
	if (holds->lock != TRACE_NONE)
		holds->model->locks[holds->lock].waited_ns += wait->end_ns - wait->begin_ns;
	if (wait->gave_up || wait->is_open)
		return;
	holds->holder = wait->thread;
	holds->taken_ns = wait->end_ns;
}
