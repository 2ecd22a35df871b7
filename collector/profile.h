/* SPDX-License-Identifier: MIT */
/*
 * The model of one profile of one process: what the aggregator hands to the pprof
 * encoder.  Plain data; stacks still are frame words (include/cprof_shm.h), which
 * the encoder symbolises through the modules' images.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_PROFILE_H
#define COLLECTOR_PROFILE_H

#include "cprof_shm.h"

#include <stddef.h>
#include <stdint.h>

struct image;    /* image.h: an opened ELF object with its symbol sources */
struct perf_map; /* perf_map.h: names of code made at run time */

/* A validated copy of a row of the module table. */
struct profile_module {
	uint32_t id;    /* row number: what frame words refer to */
	uint32_t flags; /* CPROF_MODULE_IS_* */
	uint64_t bias;
	uint64_t text_start;
	uint64_t text_end;
	uint64_t text_offset;
	const char *path; /* as the process saw it; "[vdso]" for the vdso */
	uint8_t build_id[CPROF_BUILD_ID_MAX];
	uint32_t build_id_bytes;
	struct image *image; /* borrowed; NULL if it could not be opened */
};

/* The module with this id, NULL if there is none.  `modules` are sorted by id. */
static inline const struct profile_module *profile_find_module(const struct profile_module *modules,
							       size_t module_count, uint32_t id)
{
	size_t low = 0;
	size_t high = module_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (modules[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < module_count && modules[low].id == id ? &modules[low] : NULL;
}

enum profile_kind {
	PROFILE_CPU,          /* values: samples/count, cpu/nanoseconds */
	PROFILE_HEAP,         /* alloc_objects, alloc_space, inuse_objects, inuse_space */
	PROFILE_BLOCK,        /* contentions/count, delay/nanoseconds: by who waited */
	PROFILE_MUTEX,        /* the same by who let others wait */
	PROFILE_THREADCREATE, /* threadcreate/count: by who started threads */
	PROFILE_THREADS,      /* threads/count: where threads are at a moment; not in the segment */
	PROFILE_KIND_COUNT
};

#define PROFILE_VALUES_MAX 4
#define PROFILE_LABELS_MAX CPROF_LABELS_MAX /* of a sample; further ones are not written */

/* What tells apart samples with equal stacks: a text or a number.  In the same order everywhere. */
struct profile_label {
	const char *key;
	const char *text; /* NULL: a number */
	int64_t number;
	const char *unit; /* of the number, such as "bytes" or "nanoseconds" */
};

struct profile_sample {
	const uint64_t *frames; /* leaf first; borrowed */
	uint32_t frame_count;   /* 0: a sample without a stack, shown as [no stack] */
	uint32_t stack_flags;   /* CPROF_STACK_*: truncated or broken ones end in a synthetic frame */
	uint32_t label_count;
	const struct profile_label *labels; /* borrowed, with their strings */
	int64_t values[PROFILE_VALUES_MAX];
};

struct profile {
	enum profile_kind kind;
	const struct profile_module *modules; /* sorted by id */
	size_t module_count;
	const struct perf_map *jit;           /* for frames in no module; NULL if there is none */
	const struct profile_sample *samples; /* equal ones are added up */
	size_t sample_count;
	int64_t time_ns;             /* wall clock at the start of what is covered */
	int64_t duration_ns;         /* CPU only; 0: not written */
	int64_t period;              /* CPU: nanoseconds; heap: bytes; others: 1 */
	const char *default_type;    /* what to show first; NULL: what its kind says */
	const char *const *comments; /* a leading '#' hides a comment from reports */
	size_t comment_count;
};

#endif
