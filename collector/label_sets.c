/* SPDX-License-Identifier: MIT */
/*
 * A set is a chain of labels, each id smaller than the one before, so that whatever the
 * segment holds, following one ends.
 *
 * Context: collector, main thread.
 */
#include "label_sets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNIT_BYTES 8u

int label_sets_read(const struct segment_reader *reader, struct label_sets *out_sets)
{
	uint64_t units = load_acquire(&segment_reader_control(reader)->labels_used); /* they are there */
	uint64_t units_max = reader->geometry.labels_bytes / UNIT_BYTES;
	struct label_sets sets = {0};
	/* Ids count from 1, so the last set ends one unit further. */
	sets.units = units == 0 ? 0 : units < units_max ? units + 1 : units_max;
	if (sets.units) {
		sets.table = calloc(sets.units, UNIT_BYTES);
		if (!sets.table)
			return -ENOMEM;
		int error = segment_reader_copy(reader, reader->geometry.labels_offset,
						sets.units * UNIT_BYTES, sets.table);
		if (error) {
			free(sets.table);
			return error;
		}
	}
	*out_sets = sets;
	return 0;
}

/* The label at an id and its text.  False: there is none. */
static bool look(const struct label_sets *sets, uint32_t id, struct cprof_label_set *out_set,
		 const char **out_text)
{
	const uint64_t header_bytes = offsetof(struct cprof_label_set, text);
	uint64_t at = (uint64_t)id * UNIT_BYTES;
	uint64_t end = sets->units * UNIT_BYTES;
	if (id == 0 || at >= end || end - at < sizeof *out_set)
		return false;
	memcpy(out_set, sets->table + at, sizeof *out_set);
	if (out_set->outer >= id || out_set->key_bytes > CPROF_LABEL_KEY_BYTES ||
	    out_set->value_bytes > CPROF_LABEL_VALUE_BYTES || out_set->depth == 0 ||
	    end - at - header_bytes < (uint64_t)out_set->key_bytes + out_set->value_bytes)
		return false;
	*out_text = (const char *)sets->table + at + header_bytes;
	return true;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct profile_label *)a)->key, ((const struct profile_label *)b)->key);
}

static bool has_key(const struct label_set *set, const char *key)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (!strcmp(set->labels[i].key, key))
			return true;
	return false;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return cprof_mix64(hash);
}

/* Follows the chain from its last label on.  NULL: no memory; count 0: it is no set. */
static struct label_set *build(struct label_sets *sets, uint32_t id)
{
	struct cprof_label_set link;
	const char *text;
	struct label_set *set = arena_alloc(&sets->arena,
					    sizeof *set + CPROF_LABELS_MAX * sizeof set->labels[0]);
	for (; set && set->count < CPROF_LABELS_MAX && look(sets, id, &link, &text); id = link.outer) {
		const char *key = arena_copy(&sets->arena, text, link.key_bytes);
		const char *value = arena_copy(&sets->arena, text + link.key_bytes, link.value_bytes);
		if (!key || !value)
			return NULL;
		if (!has_key(set, key))
			set->labels[set->count++] = (struct profile_label){.key = key, .text = value};
	}
	if (!set)
		return NULL;
	qsort(set->labels, set->count, sizeof set->labels[0], by_key);
	for (uint32_t i = 0; i < set->count; i++)
		set->hash = hash_text(hash_text(set->hash, set->labels[i].key), set->labels[i].text);
	return set;
}

static bool is_equal(const struct label_set *a, const struct label_set *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (strcmp(a->labels[i].key, b->labels[i].key) != 0 ||
		    strcmp(a->labels[i].text, b->labels[i].text) != 0)
			return false;
	return true;
}

/* The index of a set with this content, which becomes `set` if there is none. */
static int intern(struct label_sets *sets, const struct label_set *set, uint32_t *out_index)
{
	uint64_t hash = set->hash;
	for (; u64_map_find(&sets->index_of_hash, hash, out_index); hash++)
		if (is_equal(sets->sets[*out_index], set))
			return 0;
	if (sets->count == sets->capacity) {
		size_t capacity = sets->capacity ? 2 * sets->capacity : 16;
		const struct label_set **grown = reallocarray(sets->sets, capacity, sizeof(void *));
		if (!grown)
			return -ENOMEM;
		sets->sets = grown;
		sets->capacity = capacity;
	}
	*out_index = (uint32_t)sets->count;
	if (u64_map_put(&sets->index_of_hash, hash, *out_index))
		return -ENOMEM;
	sets->sets[sets->count++] = set;
	return 0;
}

int label_sets_find(struct label_sets *sets, uint32_t id, const struct label_set **out_set)
{
	struct cprof_label_set link;
	const char *text;
	uint32_t index;
	if (!look(sets, id, &link, &text)) {
		*out_set = NULL;
		return 0;
	}
	if (!u64_map_find(&sets->index_of_id, id, &index)) {
		struct label_set *set = build(sets, id);
		if (!set || intern(sets, set, &index) || u64_map_put(&sets->index_of_id, id, index))
			return -ENOMEM;
	}
	*out_set = sets->sets[index];
	return 0;
}

void label_sets_free(struct label_sets *sets)
{
	free(sets->table);
	free(sets->sets);
	arena_fini(&sets->arena);
	u64_map_fini(&sets->index_of_id);
	u64_map_fini(&sets->index_of_hash);
	*sets = (struct label_sets){0};
}
