/* SPDX-License-Identifier: MIT */
/*
 * The tables of one pprof file while it is made: strings, functions, locations and
 * mappings, each entry once.  Frame words go in, location ids come out.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PPROF_TABLES_H
#define COLLECTOR_PPROF_TABLES_H

#include <stdbool.h>

#include "arena.h"
#include "profile.h"
#include "profile.pb-c.h"
#include "u64_map.h"

/* A growing array of pointers. */
struct pointer_list {
	void **items;
	size_t count;
	size_t capacity;
};

/* Adds an item; a failure is remembered. */
void pointer_list_add(struct pointer_list *list, void *item, bool *is_failed);

#define PPROF_NO_MODULE UINT32_MAX

struct pprof_location {
	Perftools__Profiles__Location message;
	/* Index into the profile's modules; their number: code in no module; or PPROF_NO_MODULE. */
	uint32_t module;
};

struct pprof_tables {
	const struct profile *profile;
	struct arena arena; /* of all messages and strings */
	bool is_failed;     /* no memory at some point: the tables are not complete */

	struct pointer_list strings;
	struct pointer_list functions; /* Perftools__Profiles__Function */
	struct pointer_list locations; /* struct pprof_location */
	struct u64_map string_of;
	struct u64_map function_of;
	struct u64_map location_of_frame;
	struct u64_map location_of_address;
};

/* Starts with the empty string. `profile` is borrowed until _fini. */
void pprof_tables_init(struct pprof_tables *tables, const struct profile *profile);
void pprof_tables_fini(struct pprof_tables *tables);

/* Index of a string; bytes that are not UTF-8 are replaced. */
int64_t pprof_tables_string(struct pprof_tables *tables, const char *text);

/* Location id of a frame word; 0 if the frame is not to be shown (cprof's own). */
uint64_t pprof_tables_frame(struct pprof_tables *tables, uint64_t frame);

/* Location id of a function that stands for something which is not code. */
uint64_t pprof_tables_synthetic(struct pprof_tables *tables, const char *name);

/*
 * Puts mappings, locations, functions and strings into the message; last of all
 * (pprof_mappings.c).
 */
void pprof_tables_finish(struct pprof_tables *tables, Perftools__Profiles__Profile *out_message);

/* The first of the probes for this hash for which is_equal() holds; or where to put it. */
bool pprof_tables_probe(const struct u64_map *map, uint64_t *hash,
			bool (*is_equal)(const void *, uint32_t, const void *), const void *context,
			const void *key, uint32_t *out_index);

#endif
