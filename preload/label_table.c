/* SPDX-License-Identifier: MIT */
/*
 * As in the stack table, a set is written to the arena first and published by one CAS of
 * its index slot: nobody waits, and no reader meets half a set.
 *
 * Context: any (async-signal-safe).
 */
#include "label_table.h"

#include <string.h>
#include <sys/mman.h>

#include "segment.h"
#include "sys.h"

#define UNIT_BYTES 8u

/* A label as it is looked for. */
struct label {
	uint32_t outer;
	uint32_t hash;
	uint16_t depth;
	uint16_t key_bytes;
	uint16_t value_bytes;
	const char *key;
	const char *value;
};

static uint16_t length_of(const char *text, uint16_t bytes_max)
{
	uint16_t bytes = 0;
	while (bytes < bytes_max && text[bytes])
		bytes++;
	return bytes;
}

static uint64_t hash_text(uint64_t hash, const char *text, uint16_t bytes)
{
	/* FNV-1a (Fowler, Noll, Vo), 64 bits: labels are short. */
	for (uint16_t i = 0; i < bytes; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static struct cprof_label_set *set_at(uint32_t id)
{
	return (struct cprof_label_set *)(void *)(segment_labels() + (uint64_t)id * UNIT_BYTES);
}

/* Labels of a set that the program handed in: it may be anything, and must not lead astray. */
static uint16_t depth_of(uint32_t id)
{
	/* Relaxed: whoever passed the id ordered its set before this. */
	uint64_t used = load_relaxed(&segment_control()->labels_used);
	uint64_t end = (uint64_t)id * UNIT_BYTES + sizeof(struct cprof_label_set);
	if (id == 0 || id > used || end > segment.geometry.labels_bytes)
		return 0;
	return set_at(id)->depth;
}

static bool is_label(uint32_t id, const struct label *label)
{
	const struct cprof_label_set *set = set_at(id);
	uint64_t end = (uint64_t)id * UNIT_BYTES + offsetof(struct cprof_label_set, text) + label->key_bytes +
		       label->value_bytes;
	/* The program may have written nonsense over the index. */
	if (end > segment.geometry.labels_bytes)
		return false;
	return set->outer == label->outer && set->key_bytes == label->key_bytes &&
	       set->value_bytes == label->value_bytes &&
	       memcmp(set->text, label->key, label->key_bytes) == 0 &&
	       memcmp(set->text + label->key_bytes, label->value, label->value_bytes) == 0;
}

/* Writes the set to the arena.  Returns its id, 0 if the arena is full. */
static uint32_t store(const struct label *label)
{
	struct cprof_control *control = segment_control();
	uint64_t bytes = offsetof(struct cprof_label_set, text) + label->key_bytes + label->value_bytes;
	uint64_t units = (bytes + UNIT_BYTES - 1) / UNIT_BYTES;
	uint64_t capacity = segment.geometry.labels_bytes / UNIT_BYTES;
	/* Relaxed: the numbers need only be disjoint; the set is published by its slot. */
	uint64_t at = load_relaxed(&control->labels_used);
	if (at > capacity || at + units + 1 > capacity)
		return 0;
	at = 1 + add_relaxed(&control->labels_used, units);
	if (at > capacity || at + units > capacity) {
		sub_relaxed(&control->labels_used, units);
		return 0;
	}
	struct cprof_label_set *set = set_at((uint32_t)at);
	set->hash = label->hash;
	set->outer = label->outer;
	set->key_bytes = label->key_bytes;
	set->value_bytes = label->value_bytes;
	set->depth = label->depth;
	memcpy(set->text, label->key, label->key_bytes);
	memcpy(set->text + label->key_bytes, label->value, label->value_bytes);
	return (uint32_t)at;
}

/* The id of the set, 0 if there is no room. */
static uint32_t intern(const struct label *label)
{
	const struct cprof_levels *levels = &segment.geometry.label_index;
	uint32_t stored = 0;
	for (uint32_t level = 0; level < levels->level_count; level++) {
		cprof_label_slot *bucket =
			segment_label_bucket(cprof_levels_bucket(levels, level, label->hash));
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			/* Acquire: pairs with the CAS below; else we see the id before the text. */
			uint64_t slot = load_acquire(&bucket[i]);
			if (slot == 0) {
				if (!stored && !(stored = store(label)))
					return 0;
				/* On failure `slot` is what somebody else put there: judged below. */
				if (cas_acq_rel(&bucket[i], &slot, (uint64_t)label->hash << 32 | stored)) {
					segment_raise(&segment_control()->label_levels_used, level + 1);
					return stored;
				}
			}
			if ((uint32_t)(slot >> 32) == label->hash && is_label((uint32_t)slot, label))
				return (uint32_t)slot; /* `stored`, if any, stays unused: rare and small */
		}
	}
	return 0;
}

uint32_t label_table_add(uint32_t outer, const char *key, const char *value)
{
	struct label label = {
		.outer = outer,
		.depth = (uint16_t)(depth_of(outer) + 1),
		.key_bytes = length_of(key, CPROF_LABEL_KEY_BYTES),
		.value_bytes = length_of(value, CPROF_LABEL_VALUE_BYTES),
		.key = key,
		.value = value,
	};
	if (label.depth == 1)
		label.outer = 0;
	uint64_t hash = cprof_mix64((uint64_t)label.outer << 32 | (uint32_t)label.key_bytes << 16 |
				    label.value_bytes);
	hash = hash_text(hash, key, label.key_bytes);
	hash = hash_text(hash, value, label.value_bytes);
	label.hash = (uint32_t)(cprof_mix64(hash) >> 16);
	uint32_t id = label.depth <= CPROF_LABELS_MAX ? intern(&label) : 0;
	if (id)
		return id;
	segment_count(CPROF_LABELS_LOST, 1);
	return label.outer;
}

/* Bytes of the index that its first levels take. */
static uint64_t index_bytes_of(uint32_t levels_used)
{
	const struct cprof_levels *levels = &segment.geometry.label_index;
	uint32_t last = levels_used < levels->level_count ? levels_used : levels->level_count;
	if (last == 0)
		return 0;
	uint64_t buckets = levels->first_bucket[last - 1] + levels->bucket_mask[last - 1] + 1;
	return buckets * CPROF_BUCKET_SLOTS * sizeof(cprof_label_slot);
}

void label_table_keep(struct label_table_copy *out_copy)
{
	struct cprof_control *control = segment_control();
	/* Relaxed: the threads that wrote to it are not here; what they did not finish has no slot. */
	uint64_t used = load_relaxed(&control->labels_used);
	uint32_t levels_used = load_relaxed(&control->label_levels_used);
	uint64_t units_max = segment.geometry.labels_bytes / UNIT_BYTES;
	*out_copy = (struct label_table_copy){.bytes = NULL};
	if (used == 0)
		return;
	if (used >= units_max)
		used = units_max - 1;
	/* One level more: its mark is raised after its first key is in. */
	uint64_t index_bytes = index_bytes_of(levels_used + 1);
	uint64_t bytes = index_bytes + (used + 1) * UNIT_BYTES;
	long at = sys_call6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	if (sys_is_error(at))
		return;
	*out_copy = (struct label_table_copy){
		.bytes = (void *)at,
		.byte_count = bytes,
		.index_bytes = index_bytes,
		.labels_used = used,
		.levels_used = levels_used,
	};
	memcpy(out_copy->bytes, segment_label_bucket(0), index_bytes);
	memcpy((char *)out_copy->bytes + index_bytes, segment_labels(), (used + 1) * UNIT_BYTES);
}

bool label_table_restore(const struct label_table_copy *copy)
{
	struct cprof_control *control = segment_control();
	uint64_t label_bytes = (copy->labels_used + 1) * UNIT_BYTES;
	/* A segment of another size has other places, and may be too small. */
	if (!copy->bytes || copy->index_bytes != index_bytes_of(copy->levels_used + 1) ||
	    label_bytes > segment.geometry.labels_bytes)
		return false;
	memcpy(segment_label_bucket(0), copy->bytes, copy->index_bytes);
	memcpy(segment_labels(), (const char *)copy->bytes + copy->index_bytes, label_bytes);
	store_relaxed(&control->labels_used, copy->labels_used); /* nobody else is here yet */
	store_relaxed(&control->label_levels_used, copy->levels_used);
	return true;
}

void label_table_drop(const struct label_table_copy *copy)
{
	if (copy->bytes)
		(void)sys_call2(SYS_munmap, (long)copy->bytes, (long)copy->byte_count);
}
