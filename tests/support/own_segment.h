/* SPDX-License-Identifier: MIT */
/*
 * A private segment for unit tests of preload/: anonymous memory in place of the
 * shared one, and a process that is RECORDING into it.
 */
#ifndef TESTS_OWN_SEGMENT_H
#define TESTS_OWN_SEGMENT_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "process.h"
#include "real.h"
#include "segment.h"
#include "thread.h"
#include "trace.h"

static inline void own_segment_open(uint64_t bytes)
{
	static atomic_u32 recording = PROCESS_RECORDING;
	segment.geometry = cprof_geometry(cprof_segment_size(bytes));
	segment.base = mmap(NULL, segment.geometry.segment_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	process_word = &recording;
	memset(&thread_tls, 0, sizeof thread_tls);
}

/* The same with a flight recorder of so many bytes, and the functions to be called through. */
static inline void own_segment_open_traced(uint64_t trace_bytes)
{
	cr_assert(real_resolve());
	real_resolve_optional();
	own_segment_open(UINT64_C(16) << 20);
	segment_control()->trace_chunk_count = trace_chunks_for(trace_bytes);
	store_relaxed(&segment_control()->trace, CPROF_TRACE_FLIGHT);
	trace_follow_segment();
}

/* As for a thread that was made under our eyes: its stack's bounds are known. */
static inline void own_thread_attach(void)
{
	pthread_attr_t attributes;
	void *low;
	size_t bytes;
	cr_assert_eq(pthread_getattr_np(pthread_self(), &attributes), 0);
	cr_assert_eq(pthread_attr_getstack(&attributes, &low, &bytes), 0);
	cr_assert_eq(pthread_attr_destroy(&attributes), 0);
	const struct unwind_bounds bounds = {
		.low = (uint64_t)(uintptr_t)low,
		.high = (uint64_t)(uintptr_t)low + bytes,
	};
	thread_attach(NULL, &bounds);
}

#endif
