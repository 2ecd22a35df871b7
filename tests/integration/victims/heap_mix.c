/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
// ldflags: -lm
/*
 * Blocks of 16 bytes to 64 MiB, all from one stack, and what a sampled estimate of
 * them may deviate by.
 *
 *     heap_mix RATE SEED
 *
 * A block of size s is sampled with p = 1 - exp(-s / RATE), independently of the
 * others, and then counts as 1/p blocks and s/p bytes.  So the variance of the
 * estimated sums is the sum of (1-p)/p and of s^2 (1-p)/p.  Prints
 *
 *     alloc OBJECTS BYTES VARIANCE_OF_OBJECTS VARIANCE_OF_BYTES
 *     inuse (the same for the blocks still allocated at the end)
 *
 * Context: test program.
 */
#include "victim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct sums {
	double objects, bytes, variance_objects, variance_bytes;
};

static void sums_add(struct sums *s, double size, double rate)
{
	const double p = -expm1(-size / rate);
	s->objects += 1;
	s->bytes += size;
	s->variance_objects += (1 - p) / p;
	s->variance_bytes += size * size * (1 - p) / p;
}

FRAME void *mixed_malloc(size_t bytes) { return malloc(bytes); }

#define PLACES 4096
static void *places[PLACES];
static size_t place_bytes[PLACES];

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const double rate = strtod(argv[1], NULL);
	uint64_t state = strtoull(argv[2], NULL, 10) * 2862933555777941757u + 3037000493u;
	struct sums alloc = {0}, inuse = {0};
	for (int i = 0; i < 200000; i++) {
		const uint64_t r = random_next(&state);
		size_t bytes;
		if (r % 1000 < 700) /* small, as programs have them */
			bytes = 16 + (r >> 20) % 112;
		else if (r % 1000 < 980)
			bytes = 128 + (r >> 20) % 8000;
		else if (r % 1000 < 999)
			bytes = 8192 + (r >> 20) % 100000;
		else
			bytes = (size_t)65536 << ((r >> 20) % 11);
		const size_t at = (r >> 40) % PLACES;
		free(places[at]);
		places[at] = mixed_malloc(bytes);
		place_bytes[at] = bytes;
		sums_add(&alloc, (double)bytes, rate);
	}
	for (int i = 0; i < PLACES; i++)
		if (places[i])
			sums_add(&inuse, (double)place_bytes[i], rate);
	printf("alloc %.0f %.0f %.6g %.6g\n", alloc.objects, alloc.bytes, alloc.variance_objects, alloc.variance_bytes);
	printf("inuse %.0f %.0f %.6g %.6g\n", inuse.objects, inuse.bytes, inuse.variance_objects, inuse.variance_bytes);
	return 0;
}
