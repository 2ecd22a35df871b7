/* SPDX-License-Identifier: MIT */
/*
 * A wait is recorded at its end, so a thread's waits come in the order of their ends, and
 * those that lie within another (a handler's) come before it.  One that overlaps another
 * in part can only be a lie, or a clock that stepped: it is made to begin later.
 *
 * Context: collector; see trace_build.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "trace_build.h"

/* Two readings of the clock for one begin differ by less; two waits begin further apart. */
#define SAME_NS 1000

/* The last wait of a thread that is not nested, and so on back; by wait, and by thread. */
struct chains {
	uint32_t *last;
	uint32_t *before;
};

/* Fits a wait behind those of its thread that ended earlier.  False: nothing of it is left. */
static bool fit(struct trace_model *model, struct chains *chains, struct trace_wait *wait)
{
	const struct trace_model_thread *thread = &model->threads[wait->thread];
	if (wait->begin_ns < thread->begin_ns)
		wait->begin_ns = thread->begin_ns;
	for (uint32_t i = chains->last[wait->thread]; i != TRACE_NONE; i = chains->before[i]) {
		struct trace_wait *earlier = &model->waits[i];
		if (earlier->end_ns <= wait->begin_ns)
			break;
		if (earlier->begin_ns < wait->begin_ns) {
			wait->begin_ns = earlier->end_ns;
			break;
		}
	}
	return wait->begin_ns < wait->end_ns;
}

static void enter(struct trace_model *model, struct chains *chains, uint32_t index)
{
	const struct trace_wait *wait = &model->waits[index];
	uint32_t i = chains->last[wait->thread];
	for (; i != TRACE_NONE && model->waits[i].begin_ns >= wait->begin_ns; i = chains->before[i]) {
		model->waits[i].is_nested = true;
		model->threads[wait->thread].wait_count--;
	}
	chains->before[index] = i;
	chains->last[wait->thread] = index;
	model->threads[wait->thread].wait_count++;
}

/* The wait that a thread's slot shows.  False: none, or one that was over when the chunks were read. */
static bool open_wait(const struct trace_model *model, const struct chains *chains, uint32_t thread,
		      struct trace_wait *out_wait)
{
	const struct trace_thread *seen = model->events.threads[thread].seen;
	if (!seen || !seen->is_live || model->threads[thread].is_ended || seen->what == CPROF_WAIT_NONE ||
	    seen->what >= CPROF_WAIT_COUNT)
		return false;
	uint32_t last = chains->last[thread];
	if (last != TRACE_NONE && model->waits[last].what == seen->what &&
	    model->waits[last].object == seen->object &&
	    model->waits[last].begin_ns <= seen->since_ns + SAME_NS &&
	    seen->since_ns <= model->waits[last].begin_ns + SAME_NS)
		return false;
	*out_wait = (struct trace_wait){.begin_ns = seen->since_ns,
					.end_ns = model->input->until_ns,
					.object = seen->object,
					.thread = thread,
					.stack = seen->stack,
					.waker = TRACE_NONE,
					.next_woken = TRACE_NONE,
					.order = UINT32_MAX,
					.what = (uint8_t)seen->what,
					.is_open = true};
	return seen->since_ns > 0;
}

int trace_build_waits(struct trace_model *model)
{
	size_t room = model->wait_count + model->thread_count;
	struct chains chains = {.last = calloc(model->thread_count + 1, sizeof(uint32_t)),
				.before = calloc(room + 1, sizeof(uint32_t))};
	if (!chains.last || !chains.before) {
		free(chains.last);
		free(chains.before);
		return -ENOMEM;
	}
	for (size_t i = 0; i < model->thread_count; i++)
		chains.last[i] = TRACE_NONE;
	uint32_t kept = 0;
	for (size_t i = 0; i < model->wait_count; i++) {
		model->waits[kept] = model->waits[i];
		if (fit(model, &chains, &model->waits[kept]))
			enter(model, &chains, kept++);
	}
	for (uint32_t i = 0; i < model->thread_count; i++)
		if (open_wait(model, &chains, i, &model->waits[kept]) &&
		    fit(model, &chains, &model->waits[kept]))
			enter(model, &chains, kept++);
	model->wait_count = kept;
	free(chains.last);
	free(chains.before);
	return 0;
}
