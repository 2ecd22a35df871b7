/* SPDX-License-Identifier: MIT */
/*
 * A private segment for unit tests of preload/: anonymous memory in place of the
 * shared one, and a process that is RECORDING into it.
 */
#ifndef TESTS_OWN_SEGMENT_H
#define TESTS_OWN_SEGMENT_H

#include <string.h>
#include <sys/mman.h>

#include "process.h"
#include "segment.h"
#include "thread.h"

static inline void own_segment_open(uint64_t bytes)
{
	static atomic_u32 recording = PROCESS_RECORDING;
	segment.geometry = cprof_geometry(cprof_segment_size(bytes));
	segment.base = mmap(NULL, segment.geometry.segment_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	process_word = &recording;
	memset(&thread_tls, 0, sizeof thread_tls);
}

#endif
