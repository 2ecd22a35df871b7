/* SPDX-License-Identifier: MIT */
/*
 * The code of one function as instructions and basic blocks, with the samples that fell
 * on each.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_CODE_H
#define TOOLS_PGO_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "pgo_binary.h"
#include "pgo_samples.h"
#include "pgo_x86.h"

struct pgo_code_range {
	uint64_t start, end;
};

/* Instructions that run one after another, entered only at the first and left only at the last. */
struct pgo_block {
	size_t first, count; /* instructions */
	uint64_t cost;       /* sum of theirs */
	uint64_t samples;
};

struct pgo_code {
	struct pgo_instruction *instructions; /* by address within each range */
	uint64_t *samples;                    /* of each instruction */
	size_t *block_of;                     /* of each instruction */
	size_t count, capacity;
	struct pgo_block *blocks;
	size_t block_count;
};

/*
 * Decodes the ranges, sorted by address.  What is no instruction counts as one of one
 * byte.
 */
void pgo_code_read(struct pgo_code *code, const struct pgo_binary *binary, const struct pgo_samples *samples,
		   const struct pgo_code_range *ranges, size_t range_count);

/* The index of the instruction that an address lies in; SIZE_MAX if there is none. */
size_t pgo_code_find(const struct pgo_code *code, uint64_t address);

void pgo_code_fini(struct pgo_code *code);

#endif
