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
 *     trace relay CPUS    items, each of which two threads work on in turns and hand to each
 *                     other, under a lock and with a signal: some 100,000 events in a second
 *                     cpu_ms    CPU time of all, for a fixed amount of work
 *                     events    in a second: a wait for the item is one, the signal that ends
 *                               it another
 *                     waited    how often a thread had to wait for its item, %
 *
 * The first is the library's own code, in this process; the others are programs like any
 * other, to be run with the library and without.  CPUS is how many they get: on one, each
 * wake is a switch; on two, the two threads have one each, and what one wrote is in the other's
 * cache.  Left to the scheduler they would be moved between these, by how it happens to go, and
 * differ by more than what is to be measured.
 *
 * Who has handed an item over has nothing to do before it comes back.  So nearly each turn begins
 * with a wait, and a wake ends it, which cost many times what is to be measured: with a queue, from which a
 * thread takes what it finds, there were half as many or twice as many from one run to the next.
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
#define ITEMS 3     /* more than CPUs: these have always something to do, and do not sleep */
#define TURNS 15000 /* of each thread with its item */
/*
 * Steps of a multiplication, each of which waits for the one before, in a turn: 17 us on one CPU, 21 on
 * two, where more turns are under way at once.  So there are 100,000 events in a second, here, on either.
 */
#define STEPS_ALONE 19800
#define STEPS_BESIDE 24500
/* Locks that nobody wants, in a turn. */
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

static struct item {
	pthread_mutex_t mutex;
	pthread_cond_t comes[2]; /* to the one, or the other */
	int whose;
	unsigned waits;
} items[ITEMS];

static pthread_barrier_t all_begin;

static uint64_t work(uint64_t x)
{
	pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
	const int steps = cpu_count == 1 ? STEPS_ALONE : STEPS_BESIDE;
	for (int i = 0; i < steps; i++) {
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

/* `place`: two for each item, one for each of its threads. */
static void *relay(void *place)
{
	long number = (long)(intptr_t)place;
	struct item *item = &items[number / 2];
	int me = number % 2;
	uint64_t x = 1;
	pin_thread(me);
	pthread_barrier_wait(&all_begin);
	for (int i = 0; i < TURNS; i++) {
		pthread_mutex_lock(&item->mutex);
		for (; item->whose != me; item->waits++)
			pthread_cond_wait(&item->comes[me], &item->mutex);
		pthread_mutex_unlock(&item->mutex);
		x = work(x);
		pthread_mutex_lock(&item->mutex);
		item->whose = !me;
		pthread_mutex_unlock(&item->mutex);
		pthread_cond_signal(&item->comes[!me]);
	}
	return NULL;
}

static void measure_relay(void)
{
	pthread_t threads[2 * ITEMS];
	unsigned waits = 0;
	pthread_barrier_init(&all_begin, NULL, 2 * ITEMS + 1);
	for (int i = 0; i < ITEMS; i++) {
		pthread_mutex_init(&items[i].mutex, NULL);
		pthread_cond_init(&items[i].comes[0], NULL);
		pthread_cond_init(&items[i].comes[1], NULL);
	}
	for (int i = 0; i < 2 * ITEMS; i++)
		if (pthread_create(&threads[i], NULL, relay, (void *)(intptr_t)i) != 0)
			exit(1);
	pthread_barrier_wait(&all_begin);
	uint64_t start = bench_ns(CLOCK_PROCESS_CPUTIME_ID), wall = bench_wall_ns();
	for (int i = 0; i < 2 * ITEMS; i++)
		pthread_join(threads[i], NULL);
	double seconds = (double)(bench_wall_ns() - wall) / 1e9;
	printf("cpu_ms %.2f\n", (double)(bench_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / 1e6);
	for (int i = 0; i < ITEMS; i++)
		waits += items[i].waits;
	printf("events %.0f\n", 2.0 * waits / seconds);
	printf("waited %.1f\n", 100.0 * waits / (2 * ITEMS * TURNS));
}

int main(int argc, char **argv)
{
	cpu_count = argc == 3 ? atoi(argv[2]) : 0;
	if (cpu_count > 0 && strcmp(argv[1], "relay") == 0) {
		measure_relay();
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
