/* SPDX-License-Identifier: MIT */
/*
 * Many waits, short and long ones mixed by a seed, for estimates from samples.
 *
 *     contention_mix block RATE_NS SEED     100 call sites, each with waits around the rate
 *     contention_mix mutex FRACTION SEED [RATE_NS]    contended releases, with one waiter each
 *
 * For each site what the program's clock says, and the variance that the estimates of
 * both sums have by theory.  A wait of d with the rate r counts as r / d with probability
 * d / r, so the variances are r / d - 1 and d (r - d); one of d >= r is exact.  A release
 * that is recorded once in n times, n fold, has (n - 1) and (n - 1) d^2.
 *
 *     site NAME WAITS NANOSECONDS VARIANCE_OF_WAITS VARIANCE_OF_NANOSECONDS
 *
 * Context: test program.
 */
#include "lock_victim.h"
#include "victim.h"

#include <sched.h>
#include <sys/prctl.h>

#define SHORT_WAITS 120
#define LONG_WAITS 12
#define RELEASES 4000

static uint64_t seed;
static double rate_ns, fraction;

struct figures {
	long waits;
	double ns, variance_of_waits, variance_of_ns;
};

static void print(const char *name, const struct figures *f)
{
	printf("site %s %ld %.0f %.6g %.6g\n", name, f->waits, f->ns, f->variance_of_waits, f->variance_of_ns);
}

/* ---- block -------------------------------------------------------------------------- */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

/* Waits in vain until the deadline; how long it took by the clock around it. */
static inline __attribute__((always_inline)) int64_t wait_for(int64_t ns)
{
	const int64_t start = clock_read_ns(CLOCK_MONOTONIC);
	const struct timespec until = {(start + ns) / 1000000000, (start + ns) % 1000000000};
	pthread_mutex_clocklock(&held, CLOCK_MONOTONIC, &until);
	return clock_read_ns(CLOCK_MONOTONIC) - start;
}

#define MIX(number) \
	FRAME static int64_t mix_##number(int64_t ns) { return wait_for(ns); }
#define TEN(t) MIX(t##0) MIX(t##1) MIX(t##2) MIX(t##3) MIX(t##4) MIX(t##5) MIX(t##6) MIX(t##7) MIX(t##8) MIX(t##9)
TEN(0) TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9)
#undef MIX
#define MIX(number) {"mix_" #number, mix_##number},
static const struct {
	const char *name;
	int64_t (*wait)(int64_t ns);
} sites[] = {TEN(0) TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9)};

static void mix_block(void)
{
	prctl(PR_SET_TIMERSLACK, 1);
	pthread_mutex_lock(&held);
	for (size_t s = 0; s < sizeof sites / sizeof sites[0]; s++) {
		struct figures f = {0, 0, 0, 0};
		for (int i = 0; i < SHORT_WAITS + LONG_WAITS; i++) {
			const double share = (double)(random_next(&seed) >> 11) / 0x1p53;
			const double wanted = i < SHORT_WAITS ? rate_ns * (0.1 + 0.6 * share) : rate_ns * (1 + 2 * share);
			const double d = (double)sites[s].wait((int64_t)wanted);
			f.waits++;
			f.ns += d;
			if (d < rate_ns) {
				f.variance_of_waits += rate_ns / d - 1;
				f.variance_of_ns += d * (rate_ns - d);
			}
		}
		print(sites[s].name, &f);
	}
}

/* ---- mutex -------------------------------------------------------------------------- */

static pthread_mutex_t passed = PTHREAD_MUTEX_INITIALIZER;
static int turn; /* 1: the waiter's, 0: the holder's */
static struct figures releases;

FRAME static void mix_passes_on(void)
{
	pthread_mutex_unlock(&passed);
	NO_TAIL_CALL();
}

FRAME static void mix_releases(void)
{
	pthread_mutex_unlock(&passed);
	NO_TAIL_CALL();
}

static void wait_turn(int whose)
{
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != whose)
		sched_yield();
}

static void *waiter_of_mutex(void *unused)
{
	for (int i = 0; i < RELEASES; i++) {
		wait_turn(1);
		const int64_t start = clock_read_ns(CLOCK_MONOTONIC);
		pthread_mutex_lock(&passed);
		const double d = (double)(clock_read_ns(CLOCK_MONOTONIC) - start);
		releases.waits++;
		releases.ns += d;
		const double folds = fraction * (d < rate_ns ? rate_ns / d : 1);
		releases.variance_of_waits += folds - 1;
		releases.variance_of_ns += (folds - 1) * d * d;
		mix_passes_on();
		__atomic_store_n(&turn, 0, __ATOMIC_RELEASE);
	}
	return unused;
}

static void mix_mutex(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, waiter_of_mutex, NULL);
	for (int i = 0; i < RELEASES; i++) {
		pthread_mutex_lock(&passed);
		__atomic_store_n(&turn, 1, __ATOMIC_RELEASE);
		/* glibc's mark of a mutex that is waited for. */
		while (__atomic_load_n(&passed.__data.__lock, __ATOMIC_RELAXED) != 2)
			sched_yield();
		const int64_t end = clock_read_ns(CLOCK_MONOTONIC) + 10000 + (int64_t)(random_next(&seed) % 60000);
		while (clock_read_ns(CLOCK_MONOTONIC) < end)
			;
		mix_releases();
		wait_turn(0);
	}
	pthread_join(thread, NULL);
	print("mix_releases", &releases);
}

int main(int argc, char **argv)
{
	begin();
	if (argc < 4)
		return 2;
	seed = strtoull(argv[3], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
	if (!strcmp(argv[1], "block")) {
		rate_ns = atof(argv[2]);
		mix_block();
	} else {
		fraction = atof(argv[2]);
		rate_ns = argc > 4 ? atof(argv[4]) : 0;
		mix_mutex();
	}
	return 0;
}
