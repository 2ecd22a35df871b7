/* SPDX-License-Identifier: MIT */
// ldflags: -lm
/*
 * Whatever is in errno stays there over calls that succeed and over samples; registers and
 * the floating-point environment as well.
 *
 * Context: test program.
 */
#include <fenv.h>
#include <pthread.h>

#include "hostile.h"

static int changes;

static void *checks(void *unused)
{
	void *blocks[64] = {NULL};
	uint64_t state = 88172645463325252u;
	fesetround(FE_UPWARD);
	volatile double third = 1.0;
	third /= 3;
	const double upward = third;
	for (int i = 0; i < 100000; i++) {
		const unsigned at = random_next(&state) % 64;
		errno = i % 130 + 1;
		free(blocks[at]);
		blocks[at] = malloc(random_next(&state) % 700);
		blocks[at] = realloc(blocks[at], random_next(&state) % 900 + 1);
		changes += errno != i % 130 + 1;
		volatile double again = 1.0;
		again /= 3;
		changes += again != upward;
	}
	for (int i = 0; i < 64; i++)
		free(blocks[i]);
	errno = EHWPOISON;
	const int64_t start = thread_cpu_ns();
	while (thread_cpu_ns() - start < 100000000) {
		spin_briefly();
		if (errno != EHWPOISON) {
			changes++;
			errno = EHWPOISON;
		}
	}
	changes += fegetround() != FE_UPWARD;
	return unused;
}

int main(void)
{
	pthread_t thread;
	checks(NULL);
	pthread_create(&thread, NULL, checks, NULL);
	pthread_join(thread, NULL);
	say("changes %d\n", changes);
	fesetround(FE_TONEAREST);
	hostile_works();
	return 0;
}
