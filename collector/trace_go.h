/* SPDX-License-Identifier: MIT */
/*
 * A trace in the form of Go's runtime up to 1.21 ("go 1.19 trace"), which `go tool trace`
 * of every later Go reads too.  A thread is a goroutine that has a processor to itself.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TRACE_GO_H
#define COLLECTOR_TRACE_GO_H

#include "trace_model.h"
#include "trace_symbols.h"

/* 0 or -errno. */
int trace_go_write(const struct trace_model *model, struct trace_symbols *symbols,
		   const struct trace_sink *sink);

#endif
