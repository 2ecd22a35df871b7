/* SPDX-License-Identifier: MIT */
/*
 * The price of a mutex.  Prints
 *
 *     ns       CPU time for each lock and unlock: of one thread the median over batches
 *     locks    locks in a microsecond of real time, all threads together
 *
 *     lock             one thread that nobody disturbs
 *     lock THREADS     threads that all want the same mutex: each holds it for about a
 *                      fifth of its time
 *
 * Context: benchmarks.
 */
#include <pthread.h>
#include <stdio.h>

#include "clock.h"

#define BATCHES 15
#define BATCH_NS 8000000u
#define CHUNK_LOCKS 1024u
#define THREADS_MAX 64
#define THREADS_NS 1000000000u
/* Steps of a multiplication each waits for: about 1 ns. */
#define STEPS_INSIDE 200
#define STEPS_OUTSIDE 800

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t guarded; /* under the mutex */
static pthread_barrier_t start_line;
static uint64_t end_ns; /* written before the start line, read after it */

static uint64_t work(uint64_t x, int steps)
{
	for (int i = 0; i < steps; i++) {
		x = x * UINT64_C(0x9e3779b97f4a7c15) + 1;
		BENCH_OPAQUE(x);
	}
	return x;
}

static __attribute__((noinline)) void run_uncontended(unsigned locks)
{
	for (unsigned i = 0; i < locks; i++) {
		pthread_mutex_lock(&mutex);
		BENCH_OPAQUE(i);
		pthread_mutex_unlock(&mutex);
	}
}

static void measure_uncontended(void)
{
	double batches[BATCHES] = {0};
	for (int b = -1; b < BATCHES; b++) {
		uint64_t start = bench_thread_ns(), ns;
		uint64_t locks = 0;
		do {
			run_uncontended(CHUNK_LOCKS);
			locks += CHUNK_LOCKS;
			ns = bench_thread_ns() - start;
		} while (ns < BATCH_NS);
		if (b >= 0) /* the first one warms up */
			batches[b] = (double)ns / (double)locks;
	}
	printf("ns %.3f\n", bench_median(batches, BATCHES));
}

static void *worker_main(void *out_locks)
{
	uint64_t x = (uint64_t)(uintptr_t)out_locks, locks = 0;
	pthread_barrier_wait(&start_line);
	do {
		for (int i = 0; i < 32; i++) {
			pthread_mutex_lock(&mutex);
			guarded = work(guarded, STEPS_INSIDE);
			pthread_mutex_unlock(&mutex);
			x = work(x, STEPS_OUTSIDE);
		}
		locks += 32;
	} while (bench_wall_ns() < end_ns);
	*(uint64_t *)out_locks = locks;
	return NULL;
}

static int measure_contended(unsigned count)
{
	static pthread_t threads[THREADS_MAX];
	static uint64_t locks[THREADS_MAX];
	uint64_t sum = 0;
	if (count > THREADS_MAX || pthread_barrier_init(&start_line, NULL, count + 1))
		return 1;
	for (unsigned i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, worker_main, &locks[i]))
			return 1;
	uint64_t start_ns = bench_wall_ns();
	end_ns = start_ns + THREADS_NS;
	pthread_barrier_wait(&start_line);
	for (unsigned i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		sum += locks[i];
	}
	printf("locks %.4f\n", (double)sum * 1e3 / (double)(bench_wall_ns() - start_ns));
	return 0;
}

static void *nothing(void *argument)
{
	return argument;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return measure_contended((unsigned)strtoul(argv[1], NULL, 10));
	/* A process that ever had two threads: locks are the real ones. */
	pthread_t thread;
	if (pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL))
		return 1;
	measure_uncontended();
	return 0;
}
