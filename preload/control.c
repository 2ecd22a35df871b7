/* SPDX-License-Identifier: MIT */
/*
 * Written once for each segment, by load.c and by a forked child's first sample.
 *
 * Context: any (async-signal-safe).
 */
#include "control.h"

#include <string.h>
#include <time.h>

#include "config.h"
#include "interpose_malloc.h"
#include "segment.h"
#include "segment_file.h"
#include "session.h"
#include "sys.h"
#include "text.h"
#include "trace.h"

uint64_t control_clock_ns(clockid_t clock)
{
	struct timespec now = {0};
	(void)sys_call2(SYS_clock_gettime, clock, (long)&now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void control_fill(uint32_t pid, bool is_first, uint64_t clock_base_ns)
{
	struct cprof_control *control = segment_control();
	enum cprof_heap_state heap_state = config.heap_rate_bytes == 0 ? CPROF_HEAP_OFF
					   : heap_is_first()           ? CPROF_HEAP_ON
								       : CPROF_HEAP_UNAVAILABLE;
	control->magic = CPROF_MAGIC;
	control->version = CPROF_SHM_VERSION;
	control->pid = pid;
	control->is_first = is_first;
	control->heap_state = heap_state;
	control->is_heap_available = heap_is_first();
	control->start_realtime_ns = control_clock_ns(CLOCK_REALTIME);
	control->start_monotonic_ns = control_clock_ns(CLOCK_MONOTONIC);
	memcpy(control->token, session.token, sizeof control->token);
	struct text text;
	text_init(&text, control->name, sizeof control->name);
	text_add(&text, segment_file_program_name());
	text_init(&text, control->out_dir, sizeof control->out_dir);
	text_add(&text, config.out_dir);
	control->segment_bytes = segment.geometry.segment_bytes;
	/* What an image used before it was loaded, or its predecessor before exec, could not be sampled. */
	store_relaxed(&control->cpu_clock_base_ns, clock_base_ns);
	store_relaxed(&control->cpu_hz, config.cpu_hz); /* not shared with anybody yet */
	control->cpu_hz_at_start = config.cpu_hz;
	store_relaxed(&control->heap_rate_bytes,
		      heap_state == CPROF_HEAP_ON ? config.heap_rate_bytes : UINT64_C(0));
	store_relaxed(&control->block_rate_ns, config.block_rate_ns);
	store_relaxed(&control->mutex_fraction, config.mutex_fraction);
	store_relaxed(&control->trace, config.trace);
	store_relaxed(&control->trace_asked, config.trace);
	/* All there is for a trace that is streamed: the collector may then be late. */
	control->trace_chunk_count =
		trace_chunks_for(config.trace & CPROF_TRACE_STREAM ? UINT64_MAX : config.flight_bytes);
	control->flight_age_ns = config.flight_age_ns;
	store_relaxed(&control->contention, (uint32_t)(config.block_rate_ns != 0 ||
						       config.mutex_fraction != 0 || config.trace != 0));
}
