/* SPDX-License-Identifier: MIT */
/*
 * A location's address is one of the run; with the mapping's start and file offset it
 * becomes an offset in the file, and by the ELF segments the address that debug
 * information uses.  Callers' addresses lie within the calling instruction: cprof
 * writes return addresses less one, as Go does.
 *
 * Each profile's locations are looked at once; its samples then only add.
 *
 * Context: command line; see pgo_samples.h.
 */
#include "pgo_samples.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "pprof_file.h"

typedef Perftools__Profiles__Location location_t;
typedef Perftools__Profiles__Mapping mapping_t;
typedef Perftools__Profiles__Profile profile_t;
typedef Perftools__Profiles__Sample sample_t;

/* Where a location lies. */
struct place {
	uint64_t id;      /* of the location */
	uint64_t address; /* in the binary, 0: elsewhere */
	const char *name; /* elsewhere: the linkage name of its function, or NULL */
};

/* ---- which mapping is the binary ------------------------------------------------------------- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/*
 * Whether a mapping is of the binary.  -errno, and said why, if it has its name but is
 * another build of it.
 */
static int is_of_binary(const struct pgo_binary *binary, bool is_any_build, const char *path,
			const profile_t *profile, const mapping_t *mapping)
{
	const char *build_id = pprof_file_string(profile, mapping->build_id);
	const char *file = pprof_file_string(profile, mapping->filename);
	if (build_id[0] && strcmp(build_id, binary->build_id) == 0)
		return 1;
	if (strcmp(base_name(file), binary->name) != 0)
		return 0;
	if (is_any_build)
		return 1;
	if (!build_id[0] || !binary->build_id[0])
		fprintf(stderr,
			"cprof pgo: %s: without a build id (link with -Wl,--build-id) nothing shows that %s "
			"is what was"
			" profiled; --allow-build-id-mismatch takes it on trust\n",
			build_id[0] ? binary->path : path, binary->path);
	else
		fprintf(stderr,
			"cprof pgo: %s: build id %s of %s is not that of %s, %s; --allow-build-id-mismatch"
			" uses it all the same\n",
			path, build_id, file, binary->path, binary->build_id);
	return -ESTALE;
}

/* ---- places of locations --------------------------------------------------------------------- */

/* The linkage name of the function that a location lies in, past all that is inlined there. */
static const char *outer_name(struct pgo_samples *samples, const profile_t *profile,
			      const location_t *location)
{
	if (location->n_line == 0)
		return NULL;
	const Perftools__Profiles__Function *function =
		pprof_file_function(profile, location->line[location->n_line - 1]->function_id);
	const char *name = function ? pprof_file_string(profile, function->system_name) : "";
	return name[0] ? allocated(arena_copy(&samples->names, name, strlen(name))) : NULL;
}

static int by_id(const void *left, const void *right)
{
	const struct place *a = left, *b = right;
	return a->id < b->id ? -1 : a->id > b->id;
}

static struct place *make_places(struct pgo_samples *samples, const struct pgo_binary *binary,
				 const profile_t *profile, const bool *is_binary)
{
	struct place *places = allocated(calloc(profile->n_location + 1, sizeof *places));
	for (size_t i = 0; i < profile->n_location; i++) {
		const location_t *location = profile->location[i];
		const mapping_t *mapping = pprof_file_mapping(profile, location->mapping_id);
		places[i].id = location->id;
		if (!mapping)
			continue;
		bool is_ours = false;
		for (size_t j = 0; j < profile->n_mapping; j++)
			is_ours = is_ours || (profile->mapping[j] == mapping && is_binary[j]);
		uint64_t offset = location->address - mapping->memory_start + mapping->file_offset;
		if (is_ours && location->address >= mapping->memory_start)
			pgo_binary_address(binary, offset, &places[i].address);
		else
			places[i].name = outer_name(samples, profile, location);
	}
	qsort(places, profile->n_location, sizeof *places, by_id);
	return places;
}

static const struct place *find_place(const struct place *places, size_t count, uint64_t id)
{
	const struct place wanted = {.id = id};
	return count ? bsearch(&wanted, places, count, sizeof *places, by_id) : NULL;
}

/* ---- adding up ------------------------------------------------------------------------------- */

static int by_address(const void *left, const void *right)
{
	const struct pgo_leaf *a = left, *b = right;
	return a->address < b->address ? -1 : a->address > b->address;
}

static int by_ends(const void *left, const void *right)
{
	const struct pgo_call *a = left, *b = right;
	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	if (a->to != b->to)
		return a->to < b->to ? -1 : 1;
	return strcmp(a->to_name ? a->to_name : "", b->to_name ? b->to_name : "");
}

static void add_leaf(struct pgo_samples *samples, uint64_t address, uint64_t count)
{
	samples->leaves = grown(samples->leaves, samples->leaf_count, &samples->leaf_capacity,
				sizeof *samples->leaves);
	samples->leaves[samples->leaf_count++] = (struct pgo_leaf){address, count};
}

static void add_call(struct pgo_samples *samples, const struct place *from, const struct place *to,
		     uint64_t count)
{
	samples->calls = grown(samples->calls, samples->call_count, &samples->call_capacity,
			       sizeof *samples->calls);
	samples->calls[samples->call_count++] = (struct pgo_call){from->address, to->address, to->name,
								  count};
}

/*
 * Sorts, and makes one of those that are equal; `count_at` is where in an item its count
 * is.  Returns how many are left.
 */
static size_t sum_equal(void *items, size_t count, size_t size, size_t count_at,
			int (*compare)(const void *left, const void *right))
{
	char *item = items, *kept = NULL;
	if (count)
		qsort(items, count, size, compare);
	for (size_t i = 0; i < count; i++, item += size) {
		if (kept && compare(kept, item) == 0) {
			*(uint64_t *)(void *)(kept + count_at) += *(uint64_t *)(void *)(item + count_at);
			continue;
		}
		kept = kept ? kept + size : items;
		memmove(kept, item, size);
	}
	return kept ? (size_t)(kept - (char *)items) / size + 1 : 0;
}

void pgo_samples_seal(struct pgo_samples *samples)
{
	samples->leaf_count = sum_equal(samples->leaves, samples->leaf_count, sizeof *samples->leaves,
					offsetof(struct pgo_leaf, count), by_address);
	samples->call_count = sum_equal(samples->calls, samples->call_count, sizeof *samples->calls,
					offsetof(struct pgo_call, count), by_ends);
}

/* The first of sorted items, each beginning with its address, that is at an address or behind it. */
static size_t first_from(const void *items, size_t count, size_t size, uint64_t address)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint64_t at;
		memcpy(&at, (const char *)items + middle * size, sizeof at);
		if (at < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

_Static_assert(offsetof(struct pgo_leaf, address) == 0, "first_from() looks there");
_Static_assert(offsetof(struct pgo_call, from) == 0, "first_from() looks there");

size_t pgo_samples_leaf(const struct pgo_samples *samples, uint64_t address)
{
	return first_from(samples->leaves, samples->leaf_count, sizeof *samples->leaves, address);
}

size_t pgo_samples_call(const struct pgo_samples *samples, uint64_t address)
{
	return first_from(samples->calls, samples->call_count, sizeof *samples->calls, address);
}

static void add_sample(struct pgo_samples *samples, const struct place *places, size_t place_count,
		       const sample_t *sample, size_t value_index)
{
	int64_t value = value_index < sample->n_value ? sample->value[value_index] : 0;
	if (value <= 0)
		return;
	uint64_t count = (uint64_t)value;
	samples->read += count;
	const struct place *callee = NULL;
	for (size_t i = 0; i < sample->n_location_id; i++) {
		const struct place *place = find_place(places, place_count, sample->location_id[i]);
		if (i == 0 && place && place->address) {
			add_leaf(samples, place->address, count);
			samples->used += count;
		} else if (i == 0) {
			samples->foreign += count;
		} else if (place && place->address && callee && (callee->address || callee->name)) {
			add_call(samples, place, callee, count);
		}
		callee = place;
	}
	if (sample->n_location_id == 0)
		samples->foreign += count;
}

int pgo_samples_add(struct pgo_samples *samples, const struct pgo_binary *binary, bool is_any_build,
		    const char *path, const profile_t *profile)
{
	int value_index = pprof_file_value_index(profile, "samples");
	if (value_index < 0 || pprof_file_value_index(profile, "cpu") < 0) {
		fprintf(stderr, "cprof pgo: %s is no CPU profile (sample types samples and cpu)\n", path);
		return -EINVAL;
	}
	bool *is_binary = allocated(calloc(profile->n_mapping + 1, sizeof *is_binary));
	for (size_t i = 0; i < profile->n_mapping; i++) {
		int found = is_of_binary(binary, is_any_build, path, profile, profile->mapping[i]);
		if (found < 0) {
			free(is_binary);
			return found;
		}
		is_binary[i] = found;
	}
	struct place *places = make_places(samples, binary, profile, is_binary);
	for (size_t i = 0; i < profile->n_sample; i++)
		add_sample(samples, places, profile->n_location, profile->sample[i], (size_t)value_index);
	free(places);
	free(is_binary);
	samples->files++;
	/* A hundred profiles have mostly the same addresses. */
	pgo_samples_seal(samples);
	return 0;
}

void pgo_samples_fini(struct pgo_samples *samples)
{
	free(samples->leaves);
	free(samples->calls);
	arena_fini(&samples->names);
	*samples = (struct pgo_samples){0};
}
