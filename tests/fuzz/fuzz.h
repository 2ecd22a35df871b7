/* SPDX-License-Identifier: MIT */
/*
 * What a fuzzer is: one function that must come back for any bytes.  libFuzzer calls it
 * (make fuzz), or driver.c (make test).
 *
 * Context: test programs, one thread.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A failed assertion of the fuzzer's own. */
static inline void fuzz_demand(int holds)
{
	if (!holds)
		abort();
}

/* The bytes as a string of their own, to be freed. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	fuzz_demand(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif
