/* SPDX-License-Identifier: MIT */
/*
 * A trace as Perfetto's protobuf: tracks of threads with their regions, beside each one
 * for its waits, tracks of tasks, counters, logs, CPU samples, and flows from who woke to
 * who was woken.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TRACE_PERFETTO_H
#define COLLECTOR_TRACE_PERFETTO_H

#include "trace_model.h"
#include "trace_symbols.h"

/* Names of what is shown; `cprof trace` knows it by them. */
#define PERFETTO_WAITS "waits" /* track and category */
#define PERFETTO_WAKES "wakes"
#define PERFETTO_LOCKS "locks"
#define PERFETTO_REGIONS "regions"
#define PERFETTO_TASKS "tasks"
#define PERFETTO_LOGS "logs"
#define PERFETTO_THREADS "threads"
#define PERFETTO_GAPS "gaps"
#define PERFETTO_MISSING_THREADS "threads missing" /* a slice among the gaps, as long as the trace */
#define PERFETTO_HEAP "live heap"

/* 0 or -errno. */
int trace_perfetto_write(const struct trace_model *model, struct trace_symbols *symbols,
			 const struct trace_sink *sink);

#endif
