/* SPDX-License-Identifier: MIT */
/*
 * Context: collector; see trace_signal.h.
 */
#include "trace_signal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

void trace_signal_name(uint8_t number, char out_name[TRACE_SIGNAL_NAME_BYTES])
{
	const char *name = sigabbrev_np(number);
	if (name)
		snprintf(out_name, TRACE_SIGNAL_NAME_BYTES, "SIG%s", name);
	else
		snprintf(out_name, TRACE_SIGNAL_NAME_BYTES, "signal %u", number);
}

/* To whom it was sent, or by whom. */
static void other_side(const struct trace_event *event, char *out_text, size_t size)
{
	int64_t target = (int64_t)event->a;
	out_text[0] = '\0';
	if (event->kind == CPROF_EVENT_SIGNAL_TAKEN && target)
		snprintf(out_text, size, " from process %" PRIu64, event->a);
	else if (event->kind == CPROF_EVENT_SIGNAL_TAKEN)
		return;
	else if (event->flags & CPROF_EVENT_TO_TID && event->b)
		snprintf(out_text, size, " to thread %" PRIu64 " of process %" PRIu64, event->a, event->b);
	else if (event->flags & CPROF_EVENT_TO_TID)
		snprintf(out_text, size, " to thread %" PRIu64, event->a);
	else if (event->flags & CPROF_EVENT_TO_THREAD)
		snprintf(out_text, size, " to thread 0x%" PRIx64, event->a);
	else if (target == -1)
		snprintf(out_text, size, " to all processes");
	else if (target == 0)
		snprintf(out_text, size, " to its process group");
	else
		snprintf(out_text, size, " to %s %" PRIu64, target < 0 ? "process group" : "process",
			 target < 0 ? -event->a : event->a);
}

void trace_signal_text(const struct trace_event *event, char out_text[TRACE_SIGNAL_TEXT_BYTES])
{
	char name[TRACE_SIGNAL_NAME_BYTES];
	char other[TRACE_SIGNAL_TEXT_BYTES - TRACE_SIGNAL_NAME_BYTES];
	trace_signal_name(event->what, name);
	other_side(event, other, sizeof other);
	snprintf(out_text, TRACE_SIGNAL_TEXT_BYTES, "%s%s", name, other);
}
