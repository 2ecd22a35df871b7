/* SPDX-License-Identifier: MIT */
// cflags: -Ipreload
// ldflags: preload/unwind.c preload/walk_cfi.c preload/walk_guess.c preload/rule_cache.c preload/rule_encode.c preload/cfi.c preload/cfi_program.c preload/dwarf_expression.c preload/safe_read.c preload/modules.c preload/module_rows.c preload/objects.c preload/image.c -lgcc_s -lunwind
/*
 * What a walk costs: nanoseconds a frame of the in-app unwinder, with all rules cached
 * (warm) and with none (cold), next to libunwind and libgcc in the same process on the
 * same stack.  The stack is recursion through functions of many shapes, and through
 * qsort, so that it crosses objects.
 */
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "modules.h"
#include "rule_cache.h"
#include "segment.h"
#include "unwind.h"

/* libgcc's, whose header has the same name as ours. */
int _Unwind_Backtrace(int (*callback)(void *context, void *argument), void *argument);
uint64_t _Unwind_GetIP(void *context);

#define DEPTH 28
#define ROUNDS 20000
#define COLD_ROUNDS 400

struct segment segment;

static struct unwind_bounds stack_bounds;
static volatile uint64_t sink;

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

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

static void NOINLINE report(const char *name, double ns, double frames, double reference)
{
	printf("%-34s %8.2f ns/frame  %6.2f x\n", name, ns / frames, ns / frames / reference);
}

static void NOINLINE measure(void)
{
	uint64_t frames[CPROF_STACK_FRAMES_MAX];
	void *addresses[CPROF_STACK_FRAMES_MAX];
	uint32_t count = walk_once(frames);
	double best = 1e30;

	for (int part = 0; part < 5; part++) {
		double start = now_ns();
		for (int i = 0; i < ROUNDS / 5; i++)
			sink += walk_once(frames);
		double ns = (now_ns() - start) / ((double)ROUNDS / 5);
		best = ns < best ? ns : best;
	}
	double warm = best / count;
	printf("%u frames\n", count);
	report("cprof, rules cached", best, count, warm);

	best = 1e30;
	for (int i = 0; i < COLD_ROUNDS; i++) {
		rule_cache_clear();
		double start = now_ns();
		sink += walk_once(frames);
		double ns = now_ns() - start;
		best = ns < best ? ns : best;
	}
	report("cprof, no rule cached", best, count, warm);

	double start = now_ns();
	for (int i = 0; i < ROUNDS / 10; i++)
		sink += (uint64_t)unw_backtrace(addresses, CPROF_STACK_FRAMES_MAX);
	report("libunwind unw_backtrace", (now_ns() - start) / ((double)ROUNDS / 10), count, warm);

	start = now_ns();
	for (int i = 0; i < ROUNDS / 20; i++)
		sink += step_through();
	report("libunwind unw_step", (now_ns() - start) / ((double)ROUNDS / 20), count, warm);

	start = now_ns();
	for (int i = 0; i < ROUNDS / 20; i++) {
		uint32_t n = 0;
		_Unwind_Backtrace(count_frame, &n);
		sink += n;
	}
	report("libgcc _Unwind_Backtrace", (now_ns() - start) / ((double)ROUNDS / 20), count, warm);
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
