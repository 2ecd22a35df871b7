/* SPDX-License-Identifier: MIT */
// cflags: -DCPROF_TEST -Ipreload -Icollector -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-omit-frame-pointer -fno-stack-protector
/*
 * What one event of the trace costs the library's own code, in this process: nanoseconds of CPU
 * time, the best of several parts.  Prints
 *
 *     event     without a stack
 *     stack     with one of 10 frames, seen before
 *
 * The window has been gone round once before, as in any program that has run for some time, and
 * the processor's counter is used as far as the collector would allow it.
 *
 * Context: benchmarks.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "modules.h"
#include "process.h"
#include "real.h"
#include "record.h"
#include "segment.h"
#include "tick_rate.h"
#include "trace.h"

#define PARTS 9
#define EVENTS 20000
#define DEPTH 10

/* The stack's bounds are known, as those of threads that the library saw begin. */
static void attach(void)
{
	pthread_attr_t attributes;
	void *low;
	size_t bytes;
	if (pthread_getattr_np(pthread_self(), &attributes) != 0 ||
	    pthread_attr_getstack(&attributes, &low, &bytes) != 0)
		exit(1);
	uint64_t start = (uint64_t)(uintptr_t)low;
	thread_attach(NULL, &(struct unwind_bounds){.low = start, .high = start + bytes});
}

static void open_segment(void)
{
	static atomic_u32 recording = PROCESS_RECORDING;
	uint64_t bytes = cprof_segment_size(UINT64_C(256) << 20);
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			  -1, 0);
	if (base == MAP_FAILED || !real_resolve())
		exit(1);
	real_resolve_optional();
	segment.geometry = cprof_geometry(bytes);
	segment.base = base;
	process_word = &recording;
	/* Of the default size. */
	segment_control()->trace_chunk_count = trace_chunks_for(UINT64_C(10) << 20);
	store_relaxed(&segment_control()->trace, CPROF_TRACE_FLIGHT); /* there is one thread */
	trace_follow_segment();
	modules_init();
	attach();
}

/* As the collector does, in its time. */
static void tell_tick_rate(void)
{
	struct tick_rate rate = {0};
	uint64_t now = 0;
	for (int i = 0; i < 20 && now == 0; i++) {
		now = tick_rate_now(&rate);
		usleep(10000);
	}
	store_relaxed(&segment_control()->tick_rate, now); /* a setting */
}

static NOINLINE void add_event(uint64_t value)
{
	struct guard guard;
	if (!guard_enter(&guard))
		exit(1);
	trace_event(&guard, &(struct trace_event){.kind = CPROF_EVENT_HEAP, .a = value});
	guard_leave(&guard);
}

static NOINLINE void add_event_with_stack(uint64_t value)
{
	struct guard guard;
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	if (!guard_enter(&guard))
		exit(1);
	uint32_t stack = record_stack_above(&guard, (const void *)(uintptr_t)malloc, &regs);
	trace_event(&guard, &(struct trace_event){.kind = CPROF_EVENT_WAKE, .stack = stack, .a = value});
	guard_leave(&guard);
}

static void measure(const char *name, void (*add)(uint64_t))
{
	double best = 1e30;
	for (int part = 0; part < PARTS; part++) {
		uint64_t start = bench_thread_ns();
		for (uint64_t i = 0; i < EVENTS; i++)
			add(i);
		double each = (double)(bench_thread_ns() - start) / EVENTS;
		best = each < best ? each : best;
	}
	printf("%s %.2f\n", name, best);
}

/* main() and those below it are frames too. */
static NOINLINE void measure_deep(int depth)
{
	if (depth > 0)
		measure_deep(depth - 1);
	else
		measure("stack", add_event_with_stack);
	__asm__ volatile("" : : : "memory"); /* no tail call */
}

int main(void)
{
	open_segment();
	tell_tick_rate();
	for (uint32_t i = 0; i < segment_control()->trace_chunk_count * CPROF_TRACE_CHUNK_EVENTS; i++)
		add_event(i);
	measure("event", add_event);
	measure_deep(DEPTH - 6);
	return 0;
}
