/* SPDX-License-Identifier: MIT */
/* What the tests of the unwinder share: a segment, the bounds of the stack, and walks. */
#ifndef TESTS_WALK_FIXTURE_H
#define TESTS_WALK_FIXTURE_H

#include <pthread.h>

#include "modules.h"
#include "own_segment.h"
#include "unwind.h"

#ifdef __SANITIZE_ADDRESS__
#define HAS_ADDRESS_SANITIZER true
#else
#define HAS_ADDRESS_SANITIZER false
#endif

#define FRAMES_MAX CPROF_STACK_FRAMES_MAX

struct stack {
	uint64_t frames[FRAMES_MAX];
	uint32_t count;
	uint16_t flags;
};

static struct unwind_bounds bounds; /* of the main thread's stack */
static const struct unwind_bounds no_bounds;

static inline void find_bounds(struct unwind_bounds *out_bounds)
{
	pthread_attr_t attributes;
	void *low;
	size_t bytes;
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstack(&attributes, &low, &bytes);
	pthread_attr_destroy(&attributes);
	out_bounds->low = (uint64_t)low;
	out_bounds->high = (uint64_t)low + bytes;
}

static inline void walk_fixture_set_up(void)
{
	own_segment_open(UINT64_C(16) << 20);
	modules_init();
	modules_forget();
	find_bounds(&bounds);
}

static inline void walk(const struct unwind_regs *regs, const struct unwind_bounds *in, struct stack *out)
{
	out->count = unwind_walk(regs, in, out->frames, FRAMES_MAX, &out->flags);
}

/* The run-time address that a frame stands for. */
static inline uint64_t pc_of(uint64_t frame)
{
	uint32_t row = cprof_frame_module(frame);
	return cprof_frame_offset(frame) + (row == CPROF_MODULE_NONE ? 0 : segment_module(row)->bias);
}

/* The stack above the function that this is inlined into. */
static ALWAYS_INLINE void walk_from_here(const struct unwind_bounds *in, struct stack *out)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	walk(&regs, in, out);
}

#endif
