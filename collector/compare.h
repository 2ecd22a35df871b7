/* SPDX-License-Identifier: MIT */
/*
 * The order of two numbers as qsort() and bsearch() want it.
 *
 * Context: collector, command line; pure.
 */
#ifndef COLLECTOR_COMPARE_H
#define COLLECTOR_COMPARE_H

#include <stdint.h>

static inline int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

#endif
