/* SPDX-License-Identifier: MIT */
/*
 * How a signal that the program sends is put in words, in both formats alike.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_TRACE_SIGNAL_H
#define COLLECTOR_TRACE_SIGNAL_H

#include "trace_events.h"

#define TRACE_SIGNAL_TEXT_BYTES 80

/* "SIGTERM to process 1234": of a CPROF_EVENT_SIGNAL, in a buffer of that size at least. */
void trace_signal_text(const struct trace_event *event, char *out_text);

#endif
