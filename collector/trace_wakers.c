/* SPDX-License-Identifier: MIT */
/*
 * Who ended a wait: the wakes on its object that lie within it, by another thread, tell;
 * which of them depends on what it waited for.
 *
 *   lock, barrier, end of a thread   the last one: it is free only after that; a reader lets
 *                                    no reader go on, but may let go before another one that was
 *                                    woken with it goes on
 *   condition variable, futex        the first one that woke nobody else yet, for a waiter
 *                                    stays only until it is woken; a broadcast wakes all
 *   semaphore                        a post may serve a thread that never waited.  There are
 *                                    as many of the last posts left as there are waiters, at
 *                                    most, and the one that goes on first took the first of these
 *   signal                           the first one that was sent to it, if no other can have been
 *                                    before it: see find_sent()
 *
 * Waits and wakes are sorted by object and time, and then met in that order.
 *
 * Context: collector; see trace_build.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "compare.h"
#include "lean_sort.h"
#include "trace_build.h"
#include "trace_holds.h"

/* So many wakes are looked at for a wait: a bound on the work that lies can make. */
#define LOOK_AT_MAX 256

enum meeting_kind { WAIT_BEGINS, WAKES, WAIT_ENDS };

struct meeting {
	uint64_t object;
	uint64_t time_ns;
	uint32_t index; /* into waits or wakes */
	uint8_t what;   /* as same_object() */
	uint8_t kind;
};

struct sweep {
	struct trace_model *model;
	uint32_t *wakes; /* of the object since somebody waits for it, in the order of time */
	uint32_t wake_count;
	uint32_t waiters;
	uint64_t took_ns; /* begin of the last wait that took the signal which is the object */
	uint64_t *left;   /* by wake: how many it may still free */
	struct trace_holds holds;
};

/*
 * A signal that was pending when a wait began ended it at once: one that was sent so much later
 * found nothing pending.
 */
#define PENDING_NS 1000000

/* What may be left of a signal that was sent. */
#define SENT 1u
#define IN_QUESTION 2u

/* Causes whose objects are the same. */
static uint8_t same_object(uint8_t what)
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
static bool may_free(const struct sweep *sweep, uint32_t index, const struct trace_wait *wait)
{
	const struct trace_wake *wake = &sweep->model->wakes[index];
	bool is_reader_s = wake->what == CPROF_WAIT_RWLOCK_WRITE && wake->count == 1;
	return sweep->left[index] && wake->thread != wait->thread && wake->time_ns >= wait->begin_ns &&
	       !(is_reader_s && wait->what == CPROF_WAIT_RWLOCK_READ);
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

static bool is_for_another(const struct trace_wake *wake, const struct trace_model_thread *thread)
{
	return wake->target && wake->target != (wake->is_by_tid ? thread->tid : thread->self);
}

/*
 * The kernel does not tell which kill() the signal is of that a waiter gets; so an arrow is drawn
 * where no other is in question.  Signals of one number that are sent while one is pending may
 * become one with it, or stay: those since the begin of the last wait that took one, unless they are
 * known to have ended a wait.  Several threads may send in another order than they say.  Of several
 * who wait any may take any of several: then all of these stay in question.
 */
static uint32_t find_sent(struct sweep *sweep, const struct trace_wait *wait)
{
	const struct trace_wake *wakes = sweep->model->wakes;
	const struct trace_model_thread *thread = &sweep->model->threads[wait->thread];
	uint32_t found = TRACE_NONE;
	uint32_t first = sweep->wake_count;
	uint32_t count = 0;
	bool may_be_pending = false;
	bool may_be_others = wait->is_foreign;
	while (first > 0 && sweep->wake_count - first < LOOK_AT_MAX) {
		uint32_t index = sweep->wakes[first - 1];
		const struct trace_wake *wake = &wakes[index];
		if (wake->time_ns < sweep->took_ns)
			break;
		first--;
		if (!sweep->left[index] || is_for_another(wake, thread))
			continue;
		if (wake->time_ns < wait->begin_ns) {
			may_be_pending = true;
			continue;
		}
		may_be_others |= sweep->left[index] == IN_QUESTION ||
				 (count && wakes[found].thread != wake->thread);
		found = index;
		count++;
	}
	sweep->took_ns = wait->begin_ns;
	if (count > 1 && sweep->waiters > 1) {
		may_be_others = true;
		for (uint32_t i = first; i < sweep->wake_count; i++)
			if (sweep->left[sweep->wakes[i]] && wakes[sweep->wakes[i]].time_ns >= wait->begin_ns)
				sweep->left[sweep->wakes[i]] = IN_QUESTION;
	}
	if (count == 0 || may_be_others || wakes[found].thread == wait->thread ||
	    (may_be_pending && wakes[found].time_ns - wait->begin_ns < PENDING_NS))
		return TRACE_NONE;
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
	case CPROF_WAIT_SIGNAL:
		wake = find_sent(sweep, wait);
		break;
	default:
		wake = find_last(sweep, wait);
		break;
	}
	if (wake == TRACE_NONE)
		return;
	struct trace_wake *by = &sweep->model->wakes[wake];
	/* Whoever holds a lock lets go of it once; it needs no count. */
	if (wait->what == CPROF_WAIT_SIGNAL)
		sweep->left[wake] = 0;
	else if (by->count && (wait->what == CPROF_WAIT_COND || wait->what == CPROF_WAIT_FUTEX ||
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
		/* A signal stays pending when nobody waits. */
		if (sweep->waiters++ == 0 && meeting->what != CPROF_WAIT_SIGNAL)
			sweep->wake_count = 0;
		break;
	case WAKES:
		if (sweep->waiters || meeting->what == CPROF_WAIT_SIGNAL)
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
	return count;
}

/* How many waits a wake may end. */
static uint64_t freed_by(const struct trace_wake *wake)
{
	if (wake->what == CPROF_WAIT_SIGNAL)
		return SENT;
	return wake->count ? wake->count : UINT64_MAX;
}

static void begin_object(struct sweep *sweep)
{
	sweep->wake_count = 0;
	sweep->took_ns = 0;
	trace_holds_new_object(&sweep->holds);
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
			sweep.left[i] = freed_by(&model->wakes[i]);
		size_t count = make_meetings(model, meetings);
		error = lean_sort(meetings, count, sizeof *meetings, by_object);
		for (size_t i = 0; i < count && !error; i++) {
			if (i && (meetings[i].object != meetings[i - 1].object ||
				  meetings[i].what != meetings[i - 1].what))
				begin_object(&sweep);
			meet(&sweep, &meetings[i]);
		}
	}
	trace_holds_end(&sweep.holds);
	free(meetings);
	free(sweep.wakes);
	free(sweep.left);
	return error;
}
