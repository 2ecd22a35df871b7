/* SPDX-License-Identifier: MIT */
/*
 * Context: collector; see trace_signal.h.
 */
#include "trace_signal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

void trace_signal_text(const struct trace_event *event, char *out_text)
{
	const char *name = sigabbrev_np(event->what);
	int64_t target = (int64_t)event->a;
	char number[16];
	char to[40];
	snprintf(number, sizeof number, "%u", event->what);
	if (event->flags & CPROF_EVENT_TO_THREAD)
		snprintf(to, sizeof to, "thread 0x%" PRIx64, event->a);
	else if (target == -1)
		snprintf(to, sizeof to, "all processes");
	else if (target == 0)
		snprintf(to, sizeof to, "its process group");
	else
		snprintf(to, sizeof to, "%s %" PRIu64, target < 0 ? "process group" : "process",
			 target < 0 ? -event->a : event->a);
	snprintf(out_text, TRACE_SIGNAL_TEXT_BYTES, "%s%s to %s", name ? "SIG" : "signal ",
		 name ? name : number, to);
}
