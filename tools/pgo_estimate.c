/* SPDX-License-Identifier: MIT */
/*
 * A block that runs x times a second takes x times the time of its instructions, so the
 * samples of a block divided by the number of its instructions, of which a division counts
 * for many, are, but for what waits for memory, proportional to x.  That is the estimator
 * `average`: it uses all of a block's samples, also those on instructions without a line,
 * and gives every place of the block the same count, which is what they have.  `max` is
 * what AutoFDO does without branch records: the most that any instruction of a place has.
 *
 * A place that several blocks contain gets the largest count, since a compiler takes the
 * largest of a block's places.  A function's head is the count of its first block, or, if
 * that is more, the sum of the calls on stacks that went to it: the first block is short and
 * so has few samples or none.
 *
 * A block with a call that is on a stack did run, however few samples it has itself, and
 * so did the first one of a function with samples, whoever called it; such a block gets
 * half a sample, the mean of what could be there and was not seen.
 *
 * A call's count is split by the samples beneath it; a callee that was inlined there after
 * its promotion has a count of its own.
 *
 * Context: command line; see pgo_estimate.h.
 */
#include "pgo_estimate.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "pgo_code.h"
#include "u64_map.h"

/* One sample on one instruction: so that averages have some digits. */
#define SCALE 1000.0
#define COUNT_MAX 1e15
#define EVIDENCE_SAMPLES 0.5
#define RANGES_MAX 100000
/* An indirect call is hot if its block has this share of all samples. */
#define HOT_SHARE 0.01

/* How often a function was entered by one call. */
struct entry {
	const char *name;
	double count;
};

struct estimate {
	const struct pgo_estimate_options *options;
	const struct pgo_binary *binary;
	struct pgo_debug *debug;
	const struct pgo_samples *samples;
	struct pgo_tree *tree;
	struct pgo_origins *origins;
	struct pgo_coverage *coverage;
	struct entry *entries;
	size_t entry_count, entry_capacity;
	struct u64_map seen; /* functions, by where their DIE is */
};

/* A count as it is written; so that sums of what a hostile profile says fit too. */
static uint64_t whole(double count)
{
	return count < COUNT_MAX ? (uint64_t)count : (uint64_t)COUNT_MAX;
}

/* ---- the code of one function ---------------------------------------------------------------- */

static int by_start(const void *left, const void *right)
{
	const struct pgo_code_range *a = left, *b = right;
	return a->start < b->start ? -1 : a->start > b->start;
}

static struct pgo_code_range *ranges_of(Dwarf_Die *function, size_t *out_count)
{
	struct pgo_code_range *ranges = NULL;
	size_t count = 0, capacity = 0;
	Dwarf_Addr base, start, end;
	ptrdiff_t offset = 0;
	while (count < RANGES_MAX && (offset = dwarf_ranges(function, offset, &base, &start, &end)) > 0) {
		ranges = grown(ranges, count, &capacity, sizeof *ranges);
		ranges[count++] = (struct pgo_code_range){start, end};
	}
	if (count)
		qsort(ranges, count, sizeof *ranges, by_start);
	*out_count = count;
	return ranges;
}

/* What the estimator says of the instructions of a function. */
struct counts {
	double *of_place; /* for an instruction's place */
	double *of_block; /* for the block that an instruction is in: of a call */
};

static double samples_of(const struct pgo_block *block, const bool *has_run)
{
	bool is_evident = false;
	for (size_t i = block->first; i < block->first + block->count; i++)
		is_evident = is_evident || has_run[i];
	return block->samples ? (double)block->samples : is_evident ? EVIDENCE_SAMPLES : 0;
}

/* `has_run` tells of instructions that did run, whatever samples there are. */
static void counts_init(struct counts *counts, const struct pgo_code *code, enum pgo_estimator estimator,
			const bool *has_run)
{
	counts->of_place = allocated(calloc(code->count + 1, sizeof(double)));
	counts->of_block = allocated(calloc(code->count + 1, sizeof(double)));
	for (size_t i = 0; i < code->block_count; i++) {
		const struct pgo_block *block = &code->blocks[i];
		double average = samples_of(block, has_run) / (double)block->cost, largest = average;
		bool is_max = estimator == PGO_ESTIMATE_MAX && block->samples;
		for (size_t j = block->first; j < block->first + block->count; j++)
			if (largest < (double)code->samples[j])
				largest = (double)code->samples[j];
		for (size_t j = block->first; j < block->first + block->count; j++) {
			counts->of_place[j] = SCALE * (is_max ? (double)code->samples[j] : average);
			counts->of_block[j] = SCALE * (is_max ? largest : average);
		}
	}
}

static void counts_fini(struct counts *counts)
{
	free(counts->of_place);
	free(counts->of_block);
}

/* ---- into the tree --------------------------------------------------------------------------- */

static struct pgo_body *body_of(struct pgo_node *function, const struct pgo_location *location)
{
	struct pgo_node *node = function;
	for (size_t i = location->frame_count - 1; i > 0; i--)
		node = pgo_node_inlinee(node, location->frames[i].place, location->frames[i - 1].name);
	return pgo_node_body(node, location->frames[0].place);
}

static void note_origins(struct estimate *e, const struct pgo_location *location)
{
	for (size_t i = 0; i < location->frame_count; i++) {
		const struct pgo_frame *frame = &location->frames[i];
		if (frame->origin && frame->origin->file && frame->origin->line)
			pgo_origins_add(e->origins, frame->name, frame->origin->file, frame->origin->line);
	}
}

static void add_places(struct estimate *e, struct pgo_node *function, const struct pgo_code *code,
		       const struct counts *counts)
{
	struct pgo_location location;
	for (size_t i = 0; i < code->count; i++) {
		bool is_covered = pgo_debug_locate(e->debug, code->instructions[i].address, &location);
		if (!is_covered) {
			e->coverage->no_debug += code->samples[i];
			continue;
		}
		if (!location.frames[0].line) {
			e->coverage->no_line += code->samples[i];
			continue;
		}
		if (location.frames[0].place.discriminator)
			e->coverage->has_discriminators = true;
		if (counts->of_place[i] <= 0)
			continue;
		note_origins(e, &location);
		uint64_t count = whole(counts->of_place[i] * location.copies);
		struct pgo_body *body = body_of(function, &location);
		if (body->count < count)
			body->count = count;
	}
}

/* The linkage name of what was called, NULL if it has none. */
static const char *name_of_callee(struct estimate *e, const struct pgo_call *call)
{
	Dwarf_Die function;
	if (!call->to)
		return call->to_name;
	return pgo_debug_function(e->debug, call->to, &function) ? pgo_debug_name(e->debug, &function) : NULL;
}

static void add_entry(struct estimate *e, const char *name, double count)
{
	e->entries = grown(e->entries, e->entry_count, &e->entry_capacity, sizeof *e->entries);
	e->entries[e->entry_count++] = (struct entry){name, count};
}

/* Splits a call's count among its callees on stacks.  Whether any of them has a name. */
static bool add_targets(struct estimate *e, struct pgo_node *function,
			const struct pgo_instruction *instruction, double count)
{
	struct pgo_location location;
	size_t first = pgo_samples_call(e->samples, instruction->address);
	size_t end = pgo_samples_call(e->samples, instruction->address + instruction->length);
	uint64_t all = 0;
	bool has_name = false;
	bool has_place = e->options->has_calls &&
			 pgo_debug_locate(e->debug, instruction->address, &location) &&
			 location.frames[0].line;
	for (size_t i = first; i < end; i++)
		all += e->samples->calls[i].count;
	for (size_t i = first; i < end; i++) {
		const struct pgo_call *call = &e->samples->calls[i];
		const char *name = name_of_callee(e, call);
		double share = count * (double)call->count / (double)all;
		if (!name)
			continue;
		has_name = true;
		add_entry(e, name, share);
		/* LLVM's text has no way to write a name with a space, as those for people have. */
		if (has_place && share >= 1 && !strchr(name, ' '))
			pgo_body_add_target(body_of(function, &location), name, whole(share));
	}
	return has_name;
}

/* What a compiler counts as the calls of an inlined function: the first of its places. */
static uint64_t entries_of(const struct pgo_node *inlined)
{
	while (!inlined->body_count && inlined->inlinee_count)
		inlined = inlined->inlinees[0].node;
	return inlined->body_count ? inlined->bodies[0].count : 0;
}

/*
 * What is inlined at the place of an indirect call is there because a profile told of it
 * before: it is still whom the call goes to.  Only clang gives each call of a line a place
 * of its own.
 */
static void add_inlined_targets(struct estimate *e, struct pgo_node *function,
				const struct pgo_instruction *call)
{
	struct pgo_location location;
	if (!e->options->has_calls || !pgo_debug_locate(e->debug, call->address, &location) ||
	    !location.frames[0].line || !location.is_clang)
		return;
	struct pgo_place place = location.frames[0].place;
	struct pgo_node *node = function;
	for (size_t i = location.frame_count - 1; node && i > 0; i--)
		node = pgo_node_find_inlinee(node, location.frames[i].place, location.frames[i - 1].name);
	for (size_t i = 0; node && i < node->inlinee_count; i++) {
		const struct pgo_inlinee *inlined = &node->inlinees[i];
		uint64_t count = entries_of(inlined->node);
		if (pgo_place_compare(inlined->place, place) != 0 || !count ||
		    strchr(inlined->node->name, ' '))
			continue;
		struct pgo_body *body = pgo_node_body(node, place);
		pgo_body_raise_target(body, inlined->node->name, count);
		if (body->count < count)
			body->count = count;
	}
}

static void add_calls(struct estimate *e, struct pgo_node *function, const struct pgo_code *code,
		      const struct counts *counts, const bool *has_call)
{
	for (size_t i = 0; i < code->count; i++)
		if (code->instructions[i].flow == PGO_FLOW_CALL_INDIRECT)
			add_inlined_targets(e, function, &code->instructions[i]);
	for (size_t i = 0; i < code->count; i++) {
		const struct pgo_instruction *at = &code->instructions[i];
		bool has_target = has_call[i] && add_targets(e, function, at, counts->of_block[i]);
		if (at->flow != PGO_FLOW_CALL_INDIRECT || counts->of_block[i] <= 0)
			continue;
		double samples = (double)code->blocks[code->block_of[i]].samples;
		bool is_hot = samples >= HOT_SHARE * (double)e->samples->used;
		e->coverage->indirect_sites++;
		e->coverage->sites_with_targets += has_target;
		e->coverage->hot_sites_without_targets += is_hot && !has_target;
	}
}

static void add_function(struct estimate *e, Dwarf_Die *die)
{
	size_t range_count;
	struct pgo_code code;
	const char *name = pgo_debug_name(e->debug, die);
	struct pgo_code_range *ranges = ranges_of(die, &range_count);
	if (!name || !range_count) {
		free(ranges);
		return;
	}
	pgo_code_read(&code, e->binary, e->samples, ranges, range_count);
	bool *has_call = allocated(calloc(code.count + 1, sizeof *has_call));
	for (size_t i = 0; i < range_count; i++)
		for (size_t j = pgo_samples_call(e->samples, ranges[i].start);
		     j < e->samples->call_count && e->samples->calls[j].from < ranges[i].end; j++) {
			size_t at = pgo_code_find(&code, e->samples->calls[j].from);
			if (at != SIZE_MAX)
				has_call[at] = true;
		}
	struct counts counts;
	Dwarf_Addr entry = 0;
	size_t at = dwarf_entrypc(die, &entry) == 0 ? pgo_code_find(&code, entry) : SIZE_MAX;
	bool *has_run = allocated(calloc(code.count + 1, sizeof *has_run));
	memcpy(has_run, has_call, code.count * sizeof *has_run);
	if (at != SIZE_MAX)
		has_run[at] = true;
	counts_init(&counts, &code, e->options->estimator, has_run);
	free(has_run);
	struct pgo_node *function = pgo_tree_function(e->tree, name);
	if (at != SIZE_MAX)
		function->head += whole(counts.of_block[at]);
	add_places(e, function, &code, &counts);
	add_calls(e, function, &code, &counts, has_call);
	e->coverage->functions++;
	counts_fini(&counts);
	free(has_call);
	pgo_code_fini(&code);
	free(ranges);
}

/* The function at an address, unless it was seen to. */
static void visit(struct estimate *e, uint64_t address, uint64_t samples)
{
	Dwarf_Die function;
	uint32_t ignored;
	if (!pgo_debug_function(e->debug, address, &function)) {
		e->coverage->no_debug += samples;
		return;
	}
	uint64_t key = (uintptr_t)function.addr;
	if (u64_map_find(&e->seen, key, &ignored))
		return;
	if (u64_map_put(&e->seen, key, 0) != 0)
		allocated(NULL);
	add_function(e, &function);
}

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct entry *)left)->name, ((const struct entry *)right)->name);
}

static void add_heads(struct estimate *e)
{
	double sum = 0;
	size_t at = 0;
	if (e->entry_count)
		qsort(e->entries, e->entry_count, sizeof *e->entries, by_name);
	for (size_t i = 0; i < e->tree->function_count; i++) {
		struct pgo_node *function = e->tree->functions[i];
		while (at < e->entry_count && strcmp(e->entries[at].name, function->name) < 0)
			at++;
		for (sum = 0; at < e->entry_count && strcmp(e->entries[at].name, function->name) == 0; at++)
			sum += e->entries[at].count;
		if (function->head < whole(sum))
			function->head = whole(sum);
	}
}

void pgo_estimate(const struct pgo_estimate_options *options, const struct pgo_binary *binary,
		  struct pgo_debug *debug, const struct pgo_samples *samples, struct pgo_tree *out_tree,
		  struct pgo_origins *out_origins, struct pgo_coverage *out_coverage)
{
	*out_coverage = (struct pgo_coverage){.samples = samples->used};
	struct estimate e = {.options = options,
			     .binary = binary,
			     .debug = debug,
			     .samples = samples,
			     .tree = out_tree,
			     .origins = out_origins,
			     .coverage = out_coverage};
	for (size_t i = 0; i < samples->leaf_count; i++)
		visit(&e, samples->leaves[i].address, samples->leaves[i].count);
	for (size_t i = 0; i < samples->call_count; i++)
		visit(&e, samples->calls[i].from, 0);
	add_heads(&e);
	free(e.entries);
	u64_map_fini(&e.seen);
	pgo_origins_seal(out_origins);
}
