/* SPDX-License-Identifier: MIT */
// cflags: -DCPROF_TEST -Ipreload -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-omit-frame-pointer -fno-stack-protector
/*
 * What the trace costs.
 *
 *     trace           nanoseconds of CPU time for one event, the best of several parts:
 *                     event     without a stack
 *                     stack     with one of 10 frames, seen before
 *     trace handoff CPUS  two threads that wake each other by semaphores, each time:
 *                     ns        CPU time of both; a wait and a wake, each with its stack
 *     trace queue CPUS    one thread works and puts what it has done into a queue, from which
 *                     another one takes it: some 100,000 events in a second
 *                     cpu_ms    CPU time of both, for a fixed amount of work
 *                     events    in a second: a wait of the taker is one, the signal that ends it
 *                               another; items that it finds without a wait are none
 *
 * The first is the library's own code, in this process; the others are programs like any
 * other, to be run with the library and without.  CPUS is how many they get: on one, each
 * wake is a switch; on two, each thread has its own, which sleeps between two items, and
 * what the thread needs next is in no cache.  Left to the scheduler they would be moved
 * between these, by how it happens to go, and differ by more than what is to be measured.
 *
 * Context: benchmarks.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "modules.h"
#include "process.h"
#include "real.h"
#include "record.h"
#include "segment.h"
#include "trace.h"

#define PARTS 9
#define EVENTS 20000
#define DEPTH 10
#define HANDOFFS 40000
#define ITEMS 60000
/* Steps of a multiplication each waits for, between two items: about 19 us. */
#define STEPS 22000
/* Locks that nobody wants, between two items. */
#define LOCKS 10

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

static int cpu_count;

/* To one of the CPUs that this process may use: the thread's own, if it gets as many as there are threads. */
static void pin_thread(int thread)
{
	cpu_set_t allowed, one;
	int wanted = cpu_count > 1 ? thread : 0, cpu = 0;
	if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
		exit(1);
	for (; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && wanted-- == 0)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) != 0)
		exit(1);
}

/* The first thread is pinned once the other, which would inherit that, has begun. */
static pthread_barrier_t both_begin;

static void start_other(void *(*run)(void *), pthread_t *out_thread)
{
	pthread_barrier_init(&both_begin, NULL, 2);
	if (pthread_create(out_thread, NULL, run, NULL) != 0)
		exit(1);
	pthread_barrier_wait(&both_begin);
	pin_thread(0);
}

static void other_begins(void)
{
	pin_thread(1);
	pthread_barrier_wait(&both_begin);
}

static sem_t turns[2];

static void *wake_the_other(void *unused)
{
	other_begins();
	for (int i = 0; i < HANDOFFS; i++) {
		sem_wait(&turns[1]);
		sem_post(&turns[0]);
	}
	return unused;
}

static void measure_handoff(void)
{
	pthread_t other;
	sem_init(&turns[0], 0, 0);
	sem_init(&turns[1], 0, 0);
	start_other(wake_the_other, &other);
	uint64_t start = bench_ns(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < HANDOFFS; i++) {
		sem_post(&turns[1]);
		sem_wait(&turns[0]);
	}
	pthread_join(other, NULL);
	printf("ns %.1f\n", (double)(bench_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / (2 * HANDOFFS));
}

static pthread_mutex_t queue_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_filled = PTHREAD_COND_INITIALIZER;
static unsigned queued, waits; /* under the mutex */

static void *take_items(void *unused)
{
	other_begins();
	for (unsigned taken = 0; taken < ITEMS; taken++) {
		pthread_mutex_lock(&queue_mutex);
		for (; queued == 0; waits++)
			pthread_cond_wait(&queue_filled, &queue_mutex);
		queued--;
		pthread_mutex_unlock(&queue_mutex);
	}
	return unused;
}

static uint64_t make_item(uint64_t x)
{
	static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
	for (int i = 0; i < STEPS; i++) {
		x = x * UINT64_C(0x9e3779b97f4a7c15) + 1;
		BENCH_OPAQUE(x);
	}
	for (int i = 0; i < LOCKS; i++) {
		pthread_mutex_lock(&own);
		BENCH_OPAQUE(x);
		pthread_mutex_unlock(&own);
	}
	return x;
}

static void measure_queue(void)
{
	pthread_t taker;
	uint64_t x = 1;
	start_other(take_items, &taker);
	uint64_t start = bench_ns(CLOCK_PROCESS_CPUTIME_ID), wall = bench_wall_ns();
	for (int i = 0; i < ITEMS; i++) {
		x = make_item(x);
		pthread_mutex_lock(&queue_mutex);
		queued++;
		pthread_mutex_unlock(&queue_mutex);
		pthread_cond_signal(&queue_filled);
	}
	pthread_join(taker, NULL);
	printf("cpu_ms %.2f\n", (double)(bench_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / 1e6);
	printf("events %.0f\n", 2.0 * waits * 1e9 / (double)(bench_wall_ns() - wall));
}

int main(int argc, char **argv)
{
	cpu_count = argc == 3 ? atoi(argv[2]) : 0;
	if (cpu_count > 0 && strcmp(argv[1], "queue") == 0) {
		measure_queue();
		return 0;
	}
	if (cpu_count > 0 && strcmp(argv[1], "handoff") == 0) {
		measure_handoff();
		return 0;
	}
	open_segment();
	measure("event", add_event);
	measure_deep(DEPTH - 6);
	return 0;
}
