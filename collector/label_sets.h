/* SPDX-License-Identifier: MIT */
/*
 * The label table of a segment, read: ids of label sets -> labels as a profile shows
 * them.  Sets that say the same in another order are one; of equal keys the last one
 * counts.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_LABEL_SETS_H
#define COLLECTOR_LABEL_SETS_H

#include "arena.h"
#include "profile.h"
#include "segment_reader.h"
#include "u64_map.h"

/* Sorted by key; equal sets are one object. */
struct label_set {
	uint64_t hash;
	uint32_t count; /* at least 1 */
	struct profile_label labels[];
};

/* All zero is empty and valid.  Owns all sets. */
struct label_sets {
	unsigned char *table; /* copy of the label arena */
	uint64_t units;
	struct arena arena;
	struct u64_map index_of_id;
	struct u64_map index_of_hash;
	const struct label_set **sets;
	size_t count;
	size_t capacity;
};

/* Copies the table.  0, -ENOMEM or a read error; then *out_sets is untouched. */
int label_sets_read(const struct segment_reader *reader, struct label_sets *out_sets);

/*
 * The set with this id, NULL for 0 and for what is no set.  It lives as long as `sets`.
 * 0 or -ENOMEM.
 */
int label_sets_find(struct label_sets *sets, uint32_t id, const struct label_set **out_set);

/* Accepts a zeroed one. */
void label_sets_free(struct label_sets *sets);

#endif
