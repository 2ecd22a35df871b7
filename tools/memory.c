/* SPDX-License-Identifier: MIT */
/*
 * Context: command line; see memory.h.
 */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>

void *allocated(void *p)
{
	if (!p) {
		fputs("cprof: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	return p;
}

void *grown(void *array, size_t count, size_t *capacity, size_t element_bytes)
{
	if (count < *capacity)
		return array;
	*capacity = *capacity ? 2 * *capacity : 64;
	return allocated(reallocarray(array, *capacity, element_bytes));
}
