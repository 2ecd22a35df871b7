/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzzer without libFuzzer, the same each time: over each file, over each file cut
 * and changed in places that a seed determines, and over nothing.
 *
 *     fuzz_X MUTATIONS FILE...
 *
 * Says which input it was when one crashes or takes longer than 20 seconds.
 *
 * Context: test program, one thread.
 */
#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define INPUT_BYTES_MAX ((size_t)1 << 20)
#define PATIENCE_S 20

static uint64_t state;
static char what[512];

/* xorshift64* (Vigna 2016). */
static uint64_t next_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

static void say_which(int number)
{
	if (write(STDERR_FILENO, what, strlen(what)) < 0)
		_exit(3);
	signal(number, SIG_DFL);
	raise(number);
}

/* In memory of its own size, so that a sanitizer sees what is read behind it. */
static void run(const uint8_t *bytes, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);
	fuzz_demand(exact != NULL);
	memcpy(exact, bytes, size);
	alarm(PATIENCE_S);
	(void)LLVMFuzzerTestOneInput(exact, size);
	alarm(0);
	free(exact);
}

static void run_mutated(const uint8_t *bytes, size_t size)
{
	static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '\n', ' ', '%'};
	uint8_t *changed = malloc(size + 1);
	fuzz_demand(changed != NULL);
	memcpy(changed, bytes, size);
	for (uint64_t changes = 1 + next_random() % 8; size > 0 && changes > 0; changes--) {
		size_t at = next_random() % size;
		uint64_t kind = next_random() % 8;
		if (kind < 3)
			changed[at] = telling[next_random() % sizeof telling];
		else if (kind < 6)
			changed[at] ^= (uint8_t)(1u << next_random() % 8);
		else if (kind == 6)
			memset(changed + at, (int)(next_random() & 0xff), (size - at) % 9);
		else
			memmove(changed + at, changed + next_random() % size / 2, (size - at) / 2);
	}
	if (next_random() % 4 == 0)
		size = size ? next_random() % size : 0;
	run(changed, size);
	free(changed);
}

int main(int argc, char **argv)
{
	static uint8_t bytes[INPUT_BYTES_MAX];
	static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};
	long mutations = argc > 1 ? atol(argv[1]) : 0;
	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		signal(deadly[i], say_which);
	run(bytes, 0);
	for (int i = 2; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");
		size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
		if (!file || fclose(file))
			return 2;
		state = UINT64_C(0x9e3779b97f4a7c15);
		for (long m = 0; m <= mutations; m++) {
			snprintf(what, sizeof what, "%.400s, mutation %ld\n", argv[i], m);
			if (m == 0)
				run(bytes, size);
			else
				run_mutated(bytes, size);
		}
	}
	printf("%d inputs, %ld mutations of each\n", argc > 2 ? argc - 2 : 0, mutations);
	return 0;
}
