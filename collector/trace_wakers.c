/* SPDX-License-Identifier: MIT */
/*
 * Who ended a wait: the wakes on its object that lie within it, by another thread, tell;
 * which of them depends on what it waited for.
 *
 *   lock, barrier, end of a thread   the last one: it is free only after that
 *   condition variable, futex        the first one that woke nobody else yet, for a waiter
 *                                    stays only until it is woken; a broadcast wakes all
 *   semaphore                        a post may serve a thread that never waited.  There are
 *                                    as many of the last posts left as there are waiters, at
 *                                    most, and the one that goes on first took the first of these
 *
 * Waits and wakes are sorted by object and time, and then met in that order.
 *
 * Context: collector; see trace_build.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "compare.h"
#include "trace_build.h"
#include "trace_holds.h"

/* So many wakes are looked at for a wait: a bound on the work that lies can make. */
#define LOOK_AT_MAX 256

enum meeting_kind { WAIT_BEGINS, WAKES, WAIT_ENDS };

struct meeting {
	uint64_t object;
	uint64_t time_ns;
	uint32_t what; /* as same_object() */
	uint32_t kind;
	uint32_t index; /* into waits or wakes */
};

struct sweep {
	struct trace_model *model;
	uint32_t *wakes; /* of the object since somebody waits for it, in the order of time */
	uint32_t wake_count;
	uint32_t waiters;
	uint64_t *left; /* by wake: how many it may still free */
	struct trace_holds holds;
};

/* Causes whose objects are the same. */
static uint32_t same_object(uint32_t what)
{
	return what == CPROF_WAIT_RWLOCK_WRITE ? CPROF_WAIT_RWLOCK_READ : what;
}

static int by_object(const void *left, const void *right)
{
	const struct meeting *a = left;
	const struct meeting *b = right;
	int order = compare_u64(a->what, b->what);
	if (!order)
		order = compare_u64(a->object, b->object);
	if (!order)
		order = compare_u64(a->time_ns, b->time_ns);
	if (!order)
		order = compare_u64(a->kind, b->kind);
	return order ? order : compare_u64(a->index, b->index);
}

/* Whether a wake may be what ended a wait, of an object that both are about. */
static bool may_free(const struct sweep *sweep, uint32_t wake, const struct trace_wait *wait)
{
	return sweep->left[wake] && sweep->model->wakes[wake].thread != wait->thread &&
	       sweep->model->wakes[wake].time_ns >= wait->begin_ns;
}

static uint32_t find_last(const struct sweep *sweep, const struct trace_wait *wait)
{
	uint32_t looked = 0;
	for (uint32_t i = sweep->wake_count; i-- > 0 && looked < LOOK_AT_MAX; looked++)
		if (may_free(sweep, sweep->wakes[i], wait))
			return sweep->wakes[i];
	return TRACE_NONE;
}

static uint32_t find_first(const struct sweep *sweep, const struct trace_wait *wait)
{
	uint32_t low = 0;
	uint32_t high = sweep->wake_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (sweep->model->wakes[sweep->wakes[middle]].time_ns < wait->begin_ns)
			low = middle + 1;
		else
			high = middle;
	}
	for (uint32_t i = low; i < sweep->wake_count && i - low < LOOK_AT_MAX; i++)
		if (may_free(sweep, sweep->wakes[i], wait))
			return sweep->wakes[i];
	return TRACE_NONE;
}

static uint32_t find_token(const struct sweep *sweep, const struct trace_wait *wait)
{
	uint32_t found = TRACE_NONE;
	uint32_t looked = 0;
	uint32_t seen = 0;
	for (uint32_t i = sweep->wake_count; i-- > 0 && looked < LOOK_AT_MAX && seen < sweep->waiters;
	     looked++) {
		if (!may_free(sweep, sweep->wakes[i], wait))
			continue;
		found = sweep->wakes[i];
		seen++;
	}
	return found;
}

static void end_wait(struct sweep *sweep, uint32_t index)
{
	struct trace_wait *wait = &sweep->model->waits[index];
	uint32_t wake;
	switch (wait->what) {
	case CPROF_WAIT_COND:
	case CPROF_WAIT_FUTEX:
		wake = find_first(sweep, wait);
		break;
	case CPROF_WAIT_SEMAPHORE:
		wake = find_token(sweep, wait);
		break;
	default:
		wake = find_last(sweep, wait);
		break;
	}
	if (wake == TRACE_NONE)
		return;
	struct trace_wake *by = &sweep->model->wakes[wake];
	/* Whoever holds a lock lets go of it once; it needs no count. */
	if (by->count && (wait->what == CPROF_WAIT_COND || wait->what == CPROF_WAIT_FUTEX ||
			  wait->what == CPROF_WAIT_SEMAPHORE))
		sweep->left[wake]--;
	wait->waker = wake;
	wait->next_woken = by->first_woken;
	by->first_woken = index;
}

/* What it says about who holds a mutex. */
static void meet_mutex(struct sweep *sweep, const struct meeting *meeting)
{
	switch ((enum meeting_kind)meeting->kind) {
	case WAIT_BEGINS:
		trace_holds_wait_begins(&sweep->holds, meeting->index);
		break;
	case WAKES:
		trace_holds_wakes(&sweep->holds, meeting->index);
		break;
	case WAIT_ENDS:
		trace_holds_wait_ends(&sweep->holds, meeting->index);
		break;
	}
}

static void meet(struct sweep *sweep, const struct meeting *meeting)
{
	if (meeting->what == CPROF_WAIT_MUTEX)
		meet_mutex(sweep, meeting);
	switch ((enum meeting_kind)meeting->kind) {
	case WAIT_BEGINS:
		if (sweep->waiters++ == 0)
			sweep->wake_count = 0;
		break;
	case WAKES:
		if (sweep->waiters)
			sweep->wakes[sweep->wake_count++] = meeting->index;
		break;
	case WAIT_ENDS:
		if (!sweep->model->waits[meeting->index].gave_up &&
		    !sweep->model->waits[meeting->index].is_open)
			end_wait(sweep, meeting->index);
		sweep->waiters--;
		break;
	}
}

static size_t make_meetings(const struct trace_model *model, struct meeting *out_meetings)
{
	size_t count = 0;
	for (uint32_t i = 0; i < model->wait_count; i++) {
		const struct trace_wait *wait = &model->waits[i];
		struct meeting meeting = {
			.object = wait->object, .what = same_object(wait->what), .index = i};
		if (wait->object == 0)
			continue;
		meeting.kind = WAIT_BEGINS;
		meeting.time_ns = wait->begin_ns;
		out_meetings[count++] = meeting;
		meeting.kind = WAIT_ENDS;
		meeting.time_ns = wait->end_ns;
		out_meetings[count++] = meeting;
	}
	for (uint32_t i = 0; i < model->wake_count; i++) {
		const struct trace_wake *wake = &model->wakes[i];
		if (wake->object && wake->time_ns >= model->input->from_ns)
			out_meetings[count++] = (struct meeting){.object = wake->object,
								 .time_ns = wake->time_ns,
								 .what = same_object(wake->what),
								 .kind = WAKES,
								 .index = i};
	}
	qsort(out_meetings, count, sizeof *out_meetings, by_object);
	return count;
}

int trace_build_wakers(struct trace_model *model)
{
	struct meeting *meetings = calloc(2 * model->wait_count + model->wake_count + 1, sizeof *meetings);
	struct sweep sweep = {.model = model,
			      .wakes = calloc(model->wake_count + 1, sizeof *sweep.wakes),
			      .left = calloc(model->wake_count + 1, sizeof *sweep.left)};
	int error = trace_holds_begin(&sweep.holds, model);
	if (!meetings || !sweep.wakes || !sweep.left)
		error = -ENOMEM;
	if (!error) {
		for (size_t i = 0; i < model->wake_count; i++)
			sweep.left[i] = model->wakes[i].count ? model->wakes[i].count : UINT64_MAX;
		size_t count = make_meetings(model, meetings);
		for (size_t i = 0; i < count; i++) {
			if (i && meetings[i].object != meetings[i - 1].object)
				trace_holds_new_object(&sweep.holds);
			meet(&sweep, &meetings[i]);
		}
	}
	trace_holds_end(&sweep.holds);
	free(meetings);
	free(sweep.wakes);
	free(sweep.left);
	return error;
}
