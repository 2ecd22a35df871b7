/* SPDX-License-Identifier: MIT */
/*
 * A block begins where a range does, where a jump of the function leads, and behind an
 * instruction that may go elsewhere.  Calls return, so they end no block.  Jumps through
 * tables lead where nothing here sees: what they lead to follows a jump anyway.
 *
 * Context: command line; see pgo_code.h.
 */
#include "pgo_code.h"

#include <stdbool.h>
#include <stdlib.h>

#include "memory.h"

static void decode_range(struct pgo_code *code, const struct pgo_binary *binary, struct pgo_code_range range)
{
	for (uint64_t address = range.start; address < range.end;) {
		size_t size = 0;
		const uint8_t *bytes = pgo_binary_code(binary, address, &size);
		struct pgo_instruction instruction;
		if (!bytes)
			return;
		if (size > range.end - address)
			size = range.end - address;
		if (!pgo_x86_decode(bytes, size, address, &instruction))
			instruction = (struct pgo_instruction){.address = address, .length = 1, .cost = 1};
		code->instructions = grown(code->instructions, code->count, &code->capacity,
					   sizeof *code->instructions);
		code->instructions[code->count++] = instruction;
		address += instruction.length;
	}
}

size_t pgo_code_find(const struct pgo_code *code, uint64_t address)
{
	size_t low = 0, high = code->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct pgo_instruction *at = &code->instructions[middle];
		if (address < at->address)
			high = middle;
		else if (address - at->address < at->length)
			return middle;
		else
			low = middle + 1;
	}
	return SIZE_MAX;
}

static void make_blocks(struct pgo_code *code)
{
	bool *is_first = allocated(calloc(code->count + 1, sizeof *is_first));
	for (size_t i = 0; i < code->count; i++) {
		const struct pgo_instruction *at = &code->instructions[i];
		if (i == 0 || at[-1].address + at[-1].length != at->address)
			is_first[i] = true;
		if (at->flow != PGO_FLOW_JUMP && at->flow != PGO_FLOW_BRANCH && at->flow != PGO_FLOW_END)
			continue;
		is_first[i + 1] = true;
		size_t target = at->flow == PGO_FLOW_END ? SIZE_MAX : pgo_code_find(code, at->target);
		if (target != SIZE_MAX)
			is_first[target] = true;
	}
	code->blocks = allocated(calloc(code->count + 1, sizeof *code->blocks));
	for (size_t i = 0; i < code->count; i++) {
		if (is_first[i])
			code->blocks[code->block_count++].first = i;
		struct pgo_block *block = &code->blocks[code->block_count - 1];
		block->count++;
		block->cost += code->instructions[i].cost;
		block->samples += code->samples[i];
		code->block_of[i] = code->block_count - 1;
	}
	free(is_first);
}

void pgo_code_read(struct pgo_code *code, const struct pgo_binary *binary, const struct pgo_samples *samples,
		   const struct pgo_code_range *ranges, size_t range_count)
{
	*code = (struct pgo_code){0};
	for (size_t i = 0; i < range_count; i++)
		decode_range(code, binary, ranges[i]);
	code->samples = allocated(calloc(code->count + 1, sizeof *code->samples));
	code->block_of = allocated(calloc(code->count + 1, sizeof *code->block_of));
	for (size_t i = 0; i < range_count; i++)
		for (size_t j = pgo_samples_leaf(samples, ranges[i].start);
		     j < samples->leaf_count && samples->leaves[j].address < ranges[i].end; j++) {
			size_t at = pgo_code_find(code, samples->leaves[j].address);
			if (at != SIZE_MAX)
				code->samples[at] += samples->leaves[j].count;
		}
	make_blocks(code);
}

void pgo_code_fini(struct pgo_code *code)
{
	free(code->instructions);
	free(code->samples);
	free(code->block_of);
	free(code->blocks);
	*code = (struct pgo_code){0};
}
