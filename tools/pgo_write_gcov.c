/* SPDX-License-Identifier: MIT */
/*
 * What gcc 12 reads with -fauto-profile=: AFDO version 2, little endian words of 32
 * bits, counters of 64 as two words with the lower first (gcc/auto-profile.cc,
 * gcc/gcov-io.h, of gcc 12):
 *
 *     magic, version, 0
 *     tag aa, length, count of names, each: bytes with the 0 behind it, characters
 *     tag ac, length, count of functions, each: head count, instance
 *     tag ae, length, 0 modules
 *
 *     instance: name, count of places, count of call sites,
 *         each place: line << 16 | discriminator, count of targets, count,
 *             each target: kind of histogram, name (64 bits), count
 *         each call site: line << 16 | discriminator, instance
 *
 * Context: command line; see pgo_write.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "pgo_write.h"

#define MAGIC UINT32_C(0x67636461) /* gcda */
#define VERSION 2
#define TAG_NAMES UINT32_C(0xaa000000)
#define TAG_FUNCTIONS UINT32_C(0xac000000)
#define TAG_MODULES UINT32_C(0xae000000)
#define HISTOGRAM_INDIRECT_CALL 7

struct names {
	const char **items; /* sorted, each once */
	size_t count, capacity;
};

static void put_word(FILE *to, uint32_t word)
{
	const uint8_t bytes[4] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
				  (uint8_t)(word >> 24)};
	fwrite(bytes, sizeof bytes, 1, to);
}

static void put_counter(FILE *to, uint64_t counter)
{
	put_word(to, (uint32_t)counter);
	put_word(to, (uint32_t)(counter >> 32));
}

static void add_name(struct names *names, const char *name)
{
	names->items = grown(names->items, names->count, &names->capacity, sizeof *names->items);
	names->items[names->count++] = name;
}

static void add_names(struct names *names, const struct pgo_node *node)
{
	add_name(names, node->name);
	for (size_t i = 0; i < node->body_count; i++)
		for (size_t j = 0; j < node->bodies[i].target_count; j++)
			add_name(names, node->bodies[i].targets[j].name);
	for (size_t i = 0; i < node->inlinee_count; i++)
		add_names(names, node->inlinees[i].node);
}

static int by_text(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static uint32_t index_of(const struct names *names, const char *name)
{
	const char *const *found = bsearch(&name, names->items, names->count, sizeof *names->items, by_text);
	return (uint32_t)(found - (const char *const *)names->items);
}

static void put_place(FILE *to, struct pgo_place place)
{
	put_word(to, place.line << 16 | (place.discriminator & 0xffff));
}

static void put_instance(FILE *to, const struct names *names, const struct pgo_node *node)
{
	put_word(to, index_of(names, node->name));
	put_word(to, (uint32_t)node->body_count);
	put_word(to, (uint32_t)node->inlinee_count);
	for (size_t i = 0; i < node->body_count; i++) {
		const struct pgo_body *body = &node->bodies[i];
		put_place(to, body->place);
		put_word(to, (uint32_t)body->target_count);
		put_counter(to, body->count);
		for (size_t j = 0; j < body->target_count; j++) {
			put_word(to, HISTOGRAM_INDIRECT_CALL);
			put_counter(to, index_of(names, body->targets[j].name));
			put_counter(to, body->targets[j].count);
		}
	}
	for (size_t i = 0; i < node->inlinee_count; i++) {
		put_place(to, node->inlinees[i].place);
		put_instance(to, names, node->inlinees[i].node);
	}
}

static void put_names(FILE *to, const struct names *names)
{
	put_word(to, TAG_NAMES);
	put_word(to, 0);
	put_word(to, (uint32_t)names->count);
	for (size_t i = 0; i < names->count; i++) {
		size_t size = strlen(names->items[i]) + 1;
		put_word(to, (uint32_t)size);
		fwrite(names->items[i], size, 1, to);
	}
}

int pgo_write_gcov(const struct pgo_tree *tree, FILE *to)
{
	struct names names = {0};
	/* The reader takes index 0 for no name. */
	add_name(&names, "");
	for (size_t i = 0; i < tree->function_count; i++)
		add_names(&names, tree->functions[i]);
	qsort(names.items, names.count, sizeof *names.items, by_text);
	size_t kept = 0;
	for (size_t i = 0; i < names.count; i++)
		if (!kept || strcmp(names.items[kept - 1], names.items[i]) != 0)
			names.items[kept++] = names.items[i];
	names.count = kept;

	put_word(to, MAGIC);
	put_word(to, VERSION);
	put_word(to, 0);
	put_names(to, &names);
	put_word(to, TAG_FUNCTIONS);
	put_word(to, 0);
	put_word(to, (uint32_t)tree->function_count);
	for (size_t i = 0; i < tree->function_count; i++) {
		put_counter(to, tree->functions[i]->head);
		put_instance(to, &names, tree->functions[i]);
	}
	put_word(to, TAG_MODULES);
	put_word(to, 0);
	put_word(to, 0);
	free(names.items);
	return fflush(to) == 0 && !ferror(to) ? 0 : -EIO;
}
