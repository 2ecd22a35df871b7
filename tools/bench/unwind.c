/* SPDX-License-Identifier: MIT */
// cflags: -Ipreload -fPIC -fvisibility=hidden -fno-stack-protector -fno-plt
// ldflags: preload/unwind.c preload/walk_cfi.c preload/walk_guess.c preload/rule_cache.c preload/rule_encode.c preload/cfi.c preload/cfi_program.c preload/dwarf_expression.c preload/safe_read.c preload/modules.c preload/module_rows.c preload/objects.c preload/image.c -lgcc_s -lunwind
/*
 * What a walk costs: nanoseconds a frame of the in-app unwinder, with all rules cached
 * (warm) and with none (cold), next to libunwind and libgcc in the same process on the
 * same stack.  The stack is recursion through functions of many shapes, and through
 * qsort, so that it crosses objects.  Each figure is the best of several parts.  Prints
 *
 *     UNWINDER_warm, UNWINDER_cold    nanoseconds a frame
 *
 * Context: benchmarks.
 */
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "clock.h"
#include "modules.h"
#include "rule_cache.h"
#include "segment.h"
#include "unwind.h"

/* libgcc's, whose header has the same name as ours. */
int _Unwind_Backtrace(int (*callback)(void *context, void *argument), void *argument);
uint64_t _Unwind_GetIP(void *context);

#define DEPTH 28
#define PARTS 7
#define BATCH 20

struct segment segment;

static struct unwind_bounds stack_bounds;
static volatile uint64_t sink;

static void map_segment(void)
{
	uint64_t bytes = cprof_segment_size(UINT64_C(16) << 20);
	segment.geometry = cprof_geometry(bytes);
	segment.base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (segment.base == MAP_FAILED)
		exit(1);
}

static uint32_t NOINLINE walk_once(uint64_t *frames)
{
	struct unwind_regs regs;
	uint16_t flags;
	unwind_regs_of_caller(&regs);
	uint32_t count = unwind_walk(&regs, &stack_bounds, frames, CPROF_STACK_FRAMES_MAX, &flags);
	if (flags)
		printf("walk ended with flags %u after %u frames\n", flags, count);
	return count;
}

static int count_frame(void *context, void *argument)
{
	sink += _Unwind_GetIP(context);
	++*(uint32_t *)argument;
	return 0;
}

static uint32_t step_through(void)
{
	unw_context_t context;
	unw_cursor_t cursor;
	uint32_t count = 0;
	unw_getcontext(&context);
	unw_init_local(&cursor, &context);
	do {
		unw_word_t ip;
		unw_get_reg(&cursor, UNW_REG_IP, &ip);
		sink += ip;
		count++;
	} while (unw_step(&cursor) > 0);
	return count;
}

/* One walk by each; what they return is the number of frames. */
static uint32_t walk_cprof(void)
{
	uint64_t frames[CPROF_STACK_FRAMES_MAX];
	return walk_once(frames);
}

static uint32_t walk_unw_backtrace(void)
{
	void *addresses[CPROF_STACK_FRAMES_MAX];
	return (uint32_t)unw_backtrace(addresses, CPROF_STACK_FRAMES_MAX);
}

static uint32_t walk_libgcc(void)
{
	uint32_t count = 0;
	_Unwind_Backtrace(count_frame, &count);
	return count;
}

static void keep(void)
{
}

static void forget_libunwind(void)
{
	unw_flush_cache(unw_local_addr_space, 0, 0);
}

/* Prints nanoseconds a frame; `before` comes before every walk and is not counted. */
static void NOINLINE measure_one(const char *name, uint32_t (*walk)(void), void (*before)(void), int rounds)
{
	double best = 1e30;
	uint32_t frames = walk();
	for (int part = 0; part < PARTS; part++) {
		uint64_t ns = 0;
		for (int i = 0; i < rounds; i++) {
			before();
			uint64_t start = bench_wall_ns();
			/* A batch where nothing is forgotten: the clock costs as much as a few frames. */
			for (int j = 0; j < (before == keep ? BATCH : 1); j++)
				sink += walk();
			ns += bench_wall_ns() - start;
		}
		double each = (double)ns / rounds / (before == keep ? BATCH : 1) / frames;
		best = each < best ? each : best;
	}
	printf("%s %.3f\n", name, best);
}

static void NOINLINE measure(void)
{
	measure_one("cprof_warm", walk_cprof, keep, 100);
	measure_one("libunwind_warm", walk_unw_backtrace, keep, 50);
	measure_one("libunwind_step_warm", step_through, keep, 10);
	measure_one("libgcc_warm", walk_libgcc, keep, 10);
	measure_one("cprof_cold", walk_cprof, rule_cache_clear, 40);
	measure_one("libunwind_cold", step_through, forget_libunwind, 40);
	measure_one("libgcc_cold", walk_libgcc, keep, 10);
}

static void descend(int depth);

static int depth_below_sort;

static int compare(const void *a, const void *b)
{
	int depth = depth_below_sort;
	depth_below_sort = -1;
	if (depth >= 0)
		descend(depth);
	return *(const int *)a - *(const int *)b;
}

/* Frames of different sizes, with and without saved registers. */
#define DEFINE_SHAPE(n)                                                                          \
	static void NOINLINE __attribute__((optimize("omit-frame-pointer"))) shape##n(int depth) \
	{                                                                                        \
		volatile char room[24 * (n) + 8];                                                \
		room[0] = (char)depth;                                                           \
		descend(depth - 1);                                                              \
		sink += (uint64_t)room[0];                                                       \
	}
/* clang-format off */
DEFINE_SHAPE(1)
DEFINE_SHAPE(2)
DEFINE_SHAPE(3)
DEFINE_SHAPE(4)
DEFINE_SHAPE(5)
/* clang-format on */

static void NOINLINE descend(int depth)
{
	if (depth <= 0) {
		measure();
		return;
	}
	int pair[2] = {0, 0};
	switch (depth % 12) {
	case 0:
		depth_below_sort = depth - 1;
		qsort(pair, 2, sizeof(pair[0]), compare);
		return;
	case 1:
	case 2:
		shape1(depth);
		break;
	case 3:
	case 4:
		shape2(depth);
		break;
	case 5:
	case 6:
	case 7:
		shape3(depth);
		break;
	case 8:
	case 9:
		shape4(depth);
		break;
	default:
		shape5(depth);
	}
	sink++;
}

int main(void)
{
	map_segment();
	modules_init();
	modules_forget();
	stack_bounds.low = (uint64_t)__builtin_frame_address(0) - (1 << 20);
	stack_bounds.high = (uint64_t)__builtin_frame_address(0) + 256;
	descend(DEPTH);
	return 0;
}
