/* SPDX-License-Identifier: MIT */
/*
 * One pass over the events finds threads, regions and tasks, and collects waits and
 * wakes (trace_pass.c); then the waits of each thread are made to nest, wakers are found
 * (trace_wakers.c), and everything becomes steps (trace_steps.c).
 *
 * Context: collector; see trace_model.h.
 */
#include "trace_model.h"

#include <stdlib.h>

#include "trace_build.h"

int trace_model_build(const struct trace_input *input, struct trace_model *out_model)
{
	*out_model = (struct trace_model){.input = input};
	int error = trace_events_read(input, &out_model->events);
	if (!error)
		error = trace_build_intervals(out_model);
	trace_events_keep_shown(&out_model->events);
	if (!error)
		error = trace_build_waits(out_model);
	if (!error)
		error = trace_build_wakers(out_model);
	if (!error)
		error = trace_build_steps(out_model);
	return error;
}

void trace_model_free(struct trace_model *model)
{
	trace_events_free(&model->events);
	free(model->threads);
	free(model->waits);
	free(model->wakes);
	free(model->locks);
	free(model->holds);
	free(model->regions);
	free(model->tasks);
	free(model->heap);
	free(model->steps);
	*model = (struct trace_model){0};
}
