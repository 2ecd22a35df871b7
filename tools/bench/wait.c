/* SPDX-License-Identifier: MIT */
/* ldflags: -ldl */
/*
 * Programs whose threads wait for and wake each other, to be run with the library and without.
 *
 *     wait handoff CPUS  two threads that wake each other by semaphores, each time:
 *                     ns        CPU time of both; a wait and a wake, each with its stack
 *     wait relay CPUS    items, each of which two threads work on in turns and hand to each
 *                     other, under a lock and with a signal: 100,000 events in a second
 *                     added     what the flight recorder adds to the CPU time of all, %
 *                     turn_ns   CPU time of a turn without it
 *                     events    in a second: a wait for the item is one, the signal that ends
 *                               it another
 *                     waited    how often a thread had to wait for its item, %
 *
 * CPUS is how many they get: on one, each wake is a switch; on two, the two threads have one
 * each, and what one wrote is in the other's cache.  Left to the scheduler they would be moved
 * between these, by how it happens to go, and differ by more than what is to be measured.
 *
 * Who has handed an item over has nothing to do before it comes back.  So nearly each turn begins
 * with a wait, and a wake ends it, which cost many times what is to be measured: with a queue,
 * from which a thread takes what it finds, there were half as many or twice as many from one run
 * to the next.
 * Two processes that do the same still differ by more than the recorder costs, by how their
 * memory happens to lie and by what the machine does meanwhile.  So it is turned on and off in
 * one process, for milliseconds, and neighbours are compared.
 *
 * Context: benchmarks.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "recorder.h"

#define HANDOFFS 40000
#define ITEMS 3 /* more than CPUs: these have always something to do, and do not sleep */
#define THREADS (2 * ITEMS)
/* Locks that nobody wants, in a turn. */
#define LOCKS 10
#define EVENTS_PER_SECOND 100000.0
/* Steps of a multiplication, each of which waits for the one before, in a turn: at the beginning. */
#define STEPS_FIRST 20000u
#define STEPS_MIN 100u
#define ADJUSTMENTS 6
#define ADJUSTMENT_US 150000u
/* A part with the recorder, or without: what it finds first is what the other kind left in the caches. */
#define PAIRS 150
#define PART_BEFORE_US 1500u
#define PART_US 12000u

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
} items[ITEMS];

/* What each thread did so far: in a line of its own, which only it writes. */
static struct done {
	_Alignas(64) atomic_u64 turns;
	atomic_u64 waits;
} done[THREADS];

static atomic_u32 steps = STEPS_FIRST;

static uint64_t work(uint64_t x)
{
	pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
	for (uint32_t i = load_relaxed(&steps); i > 0; i--) {
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
	for (;;) {
		pthread_mutex_lock(&item->mutex);
		for (; item->whose != me; add_own(&done[number].waits, 1))
			pthread_cond_wait(&item->comes[me], &item->mutex);
		pthread_mutex_unlock(&item->mutex);
		x = work(x);
		pthread_mutex_lock(&item->mutex);
		item->whose = !me;
		pthread_mutex_unlock(&item->mutex);
		pthread_cond_signal(&item->comes[!me]);
		add_own(&done[number].turns, 1);
	}
	return NULL;
}

struct moment {
	double cpu_ns, wall_ns, turns, waits;
};

static struct moment now(void)
{
	struct moment now = {.cpu_ns = (double)bench_ns(CLOCK_PROCESS_CPUTIME_ID),
			     .wall_ns = (double)bench_wall_ns()};
	for (int i = 0; i < THREADS; i++) {
		now.turns += (double)load_relaxed(&done[i].turns); /* a count */
		now.waits += (double)load_relaxed(&done[i].waits); /* likewise */
	}
	return now;
}

static double events_per_second(const struct moment *from, const struct moment *to)
{
	return 2 * (to->waits - from->waits) * 1e9 / (to->wall_ns - from->wall_ns);
}

/* As many steps as there are to be events. */
static void adjust(void)
{
	for (int i = 0; i < ADJUSTMENTS; i++) {
		struct moment from = now();
		usleep(ADJUSTMENT_US);
		struct moment to = now();
		double next = load_relaxed(&steps) * events_per_second(&from, &to) / EVENTS_PER_SECOND;
		store_relaxed(&steps, (uint32_t)(next > STEPS_MIN ? next : STEPS_MIN)); /* a setting */
	}
}

/* CPU time of a turn; 0: there was none. */
static double turn_ns(const struct recorder *recorder, bool is_on)
{
	recorder_turn(recorder, is_on);
	usleep(PART_BEFORE_US);
	struct moment from = now();
	usleep(PART_US);
	struct moment to = now();
	return to.turns > from.turns ? (to.cpu_ns - from.cpu_ns) / (to.turns - from.turns) : 0;
}

static void measure_relay(void)
{
	double added[PAIRS], without[PAIRS];
	size_t pairs = 0;
	const struct recorder recorder = recorder_find();
	for (int i = 0; i < ITEMS; i++) {
		pthread_mutex_init(&items[i].mutex, NULL);
		pthread_cond_init(&items[i].comes[0], NULL);
		pthread_cond_init(&items[i].comes[1], NULL);
	}
	recorder_turn(&recorder, false);
	for (int i = 0; i < THREADS; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, relay, (void *)(intptr_t)i) != 0)
			exit(1);
	}
	adjust();
	struct moment from = now();
	for (int i = 0; i < PAIRS; i++) {
		bool is_second = i % 2 != 0; /* on, off, off, on, ... */
		double first_ns = turn_ns(&recorder, !is_second);
		double second_ns = turn_ns(&recorder, is_second);
		double on_ns = is_second ? second_ns : first_ns, off_ns = is_second ? first_ns : second_ns;
		if (on_ns == 0 || off_ns == 0)
			continue;
		added[pairs] = 100 * (on_ns / off_ns - 1);
		without[pairs++] = off_ns;
	}
	struct moment to = now();
	if (pairs < PAIRS / 2)
		exit(1);
	printf("added %.3f\n", bench_median(added, pairs));
	printf("turn_ns %.0f\n", bench_median(without, pairs));
	printf("events %.0f\n", events_per_second(&from, &to));
	printf("waited %.1f\n", 100 * (to.waits - from.waits) / (to.turns - from.turns));
}

int main(int argc, char **argv)
{
	cpu_count = argc == 3 ? atoi(argv[2]) : 0;
	if (cpu_count > 0 && strcmp(argv[1], "relay") == 0)
		measure_relay();
	else if (cpu_count > 0 && strcmp(argv[1], "handoff") == 0)
		measure_handoff();
	else
		return 2;
	return 0;
}
