/* SPDX-License-Identifier: MIT */
/*
 * How signals that the program sends and takes are put in words, in both formats alike.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_TRACE_SIGNAL_H
#define COLLECTOR_TRACE_SIGNAL_H

#include "trace_events.h"

#define TRACE_SIGNAL_NAME_BYTES 24
#define TRACE_SIGNAL_TEXT_BYTES 80

/* "SIGTERM", "signal 44". */
void trace_signal_name(uint8_t number, char out_name[TRACE_SIGNAL_NAME_BYTES]);

/* "SIGTERM to process 1234", "SIGTERM from process 77": of a CPROF_EVENT_SIGNAL, CPROF_EVENT_SIGNAL_TAKEN. */
void trace_signal_text(const struct trace_event *event, char out_text[TRACE_SIGNAL_TEXT_BYTES]);

#endif
