/* SPDX-License-Identifier: MIT */
/*
 * The price of malloc and free.  Prints
 *
 *     ns       CPU time for each pair: of one thread the median over batches, of more the mean
 *     pairs    pairs in a microsecond of real time, all threads together
 *
 *     malloc pair [THREADS]    malloc(64), free
 *     malloc mixed [THREADS]   sizes of 16 bytes to 4 KiB, each freed 1024 allocations later
 *     malloc few [THREADS]     the same, each freed 16 allocations later
 *     malloc deep [THREADS]    malloc(64), free, in the 10th frame of the stack
 *
 * Context: benchmarks.
 */
#include <alloca.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

#define BATCHES 15
#define BATCH_NS 8000000u
#define THREADS_MAX 64
#define THREADS_NS 200000000u
#define CHUNK_PAIRS 1024u
#define PLACE_STEP 272u /* odd times 16: goes through all that a page has */
#define PLACES 4096u
#define WINDOW 1024u
#define FEW 16u
#define SIZES 65536u
/* _start, __libc_start_main, __libc_start_call_main, main and measure() are five of the ten. */
#define RECURSIONS 5

typedef void work(unsigned pairs);

struct worker {
	pthread_t thread;
	work *work;
	uint64_t pairs;
	uint64_t cpu_ns;
};

static uint16_t sizes[SIZES];
static pthread_barrier_t start_line;
static uint64_t end_ns; /* written before the start line, read after it */

/* Small ones are common, large ones rare, as in programs. */
static void draw_sizes(void)
{
	uint32_t random = 12345;
	for (unsigned i = 0; i < SIZES; i++) {
		/* Marsaglia's xorshift32 (2003). */
		random ^= random << 13;
		random ^= random >> 17;
		random ^= random << 5;
		sizes[i] = (uint16_t)(16 + (random >> 8) % (UINT32_C(1) << (4 + random % 9)));
	}
}

static __attribute__((noinline)) void run_pairs(unsigned pairs)
{
	for (unsigned i = 0; i < pairs; i++) {
		void *p = malloc(64);
		BENCH_OPAQUE(p);
		free(p);
	}
}

/* `in_use` is known where this is inlined. */
static inline __attribute__((always_inline)) void run_window(unsigned pairs, unsigned in_use)
{
	static __thread void *window[WINDOW];
	static __thread unsigned at;
	unsigned i = at;
	for (unsigned end = at + pairs; i != end; i++) {
		void **place = &window[i % in_use];
		free(*place);
		*place = malloc(sizes[i % SIZES]);
	}
	at = i;
}

static __attribute__((noinline)) void run_mixed(unsigned pairs)
{
	run_window(pairs, WINDOW);
}

static __attribute__((noinline)) void run_few(unsigned pairs)
{
	run_window(pairs, FEW);
}

static __attribute__((noinline)) void descend(unsigned pairs, int recursions)
{
	if (recursions > 1) {
		descend(pairs, recursions - 1);
		BENCH_OPAQUE(pairs); /* no tail call */
		return;
	}
	run_pairs(pairs);
	BENCH_OPAQUE(pairs);
}

static void run_deep(unsigned pairs)
{
	descend(pairs, RECURSIONS - 1); /* run_pairs() is the last of them */
}

/*
 * Runs a chunk, each time elsewhere on the stack: how that lies to the heap and to other
 * variables costs or spares up to 2 ns a pair, with cprof as without, and a preloaded library or
 * a longer environment moves it (Mytkowicz et al., "Producing wrong data without doing anything
 * obviously wrong!", 2009).
 */
static __attribute__((noinline)) void run_chunk(work *run)
{
	static __thread unsigned place;
	place = (place + PLACE_STEP) % PLACES;
	void *gap = alloca(place + 1);
	BENCH_OPAQUE(gap);
	run(CHUNK_PAIRS);
	BENCH_OPAQUE(gap);
}

static __attribute__((noinline)) void measure(work *run)
{
	double batches[BATCHES] = {0};
	uint64_t start_ns = bench_wall_ns(), all_pairs = 0;
	for (int b = -1; b < BATCHES; b++) {
		uint64_t start = bench_thread_ns(), ns;
		uint64_t pairs = 0;
		do {
			run_chunk(run);
			pairs += CHUNK_PAIRS;
			ns = bench_thread_ns() - start;
		} while (ns < BATCH_NS);
		all_pairs += pairs;
		if (b >= 0) /* the first one warms up */
			batches[b] = (double)ns / (double)pairs;
	}
	printf("ns %.3f\n", bench_median(batches, BATCHES));
	printf("pairs %.3f\n", (double)all_pairs * 1e3 / (double)(bench_wall_ns() - start_ns));
}

static void *worker_main(void *argument)
{
	struct worker *me = argument;
	run_chunk(me->work); /* warms up */
	pthread_barrier_wait(&start_line);
	uint64_t start = bench_thread_ns();
	do {
		run_chunk(me->work);
		me->pairs += CHUNK_PAIRS;
	} while (bench_wall_ns() < end_ns);
	me->cpu_ns = bench_thread_ns() - start;
	return NULL;
}

static int measure_threads(work *run, unsigned count)
{
	static struct worker workers[THREADS_MAX];
	uint64_t pairs = 0, cpu_ns = 0;
	if (count > THREADS_MAX || pthread_barrier_init(&start_line, NULL, count + 1))
		return 1;
	for (unsigned i = 0; i < count; i++) {
		workers[i].work = run;
		if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]))
			return 1;
	}
	uint64_t start_ns = bench_wall_ns();
	end_ns = start_ns + THREADS_NS;
	pthread_barrier_wait(&start_line);
	for (unsigned i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		pairs += workers[i].pairs;
		cpu_ns += workers[i].cpu_ns;
	}
	printf("ns %.3f\n", (double)cpu_ns / (double)pairs);
	printf("pairs %.3f\n", (double)pairs * 1e3 / (double)(bench_wall_ns() - start_ns));
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	unsigned threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	work *run = strcmp(name, "pair") == 0    ? run_pairs
		    : strcmp(name, "mixed") == 0 ? run_mixed
		    : strcmp(name, "few") == 0   ? run_few
		    : strcmp(name, "deep") == 0  ? run_deep
						 : NULL;
	if (!run)
		return 2;
	draw_sizes();
	if (threads)
		return measure_threads(run, threads);
	measure(run);
	return 0;
}
