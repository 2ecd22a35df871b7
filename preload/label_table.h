/* SPDX-License-Identifier: MIT */
/*
 * The label interning table: a set of labels -> id, insert-only, lock-free, bounded.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_LABEL_TABLE_H
#define PRELOAD_LABEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "cprof_shm.h"

/*
 * Returns the id of the set `outer` with one label more, interning it if it is new; key and
 * value are cut at CPROF_LABEL_KEY_BYTES and CPROF_LABEL_VALUE_BYTES.  `outer` itself: the
 * table or the set is full (counted).  An `outer` that is no set counts as none.
 */
uint32_t label_table_add(uint32_t outer, const char *key, const char *value);

/*
 * What a forked child takes along, so that the ids it inherited stay good: a copy of the
 * table, in memory of its own.  Empty if there are no labels, or no memory for it.
 */
struct label_table_copy {
	void *bytes; /* NULL: empty */
	size_t byte_count;
	uint64_t index_bytes; /* of these, first */
	uint64_t labels_used;
	uint32_t levels_used;
};

/* Before the parent's segment is replaced. */
void label_table_keep(struct label_table_copy *out_copy);

/* Fills the new segment's table. False: it stays empty. */
bool label_table_restore(const struct label_table_copy *copy);

/* Gives the copy's memory back. */
void label_table_drop(const struct label_table_copy *copy);

#endif
