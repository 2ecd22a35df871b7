/* SPDX-License-Identifier: MIT */
/*
 * zlib reads compressed and plain files alike, as `go tool pprof` does; the generated
 * decoder does the rest.  Ids are dense and start at 1 in what cprof writes; other
 * writers' files are searched.
 *
 * Context: command line.
 */
#include "pprof_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FILE_BYTES_MAX (UINT32_C(1) << 30)

/* Reads all of it; *out_bytes is malloc'ed. */
static int read_all(const char *path, uint8_t **out_bytes, size_t *out_size)
{
	gzFile file = gzopen(path, "rbe");
	if (!file)
		return errno ? -errno : -ENOMEM;
	uint8_t *bytes = NULL;
	size_t size = 0, capacity = 0;
	int error = 0;
	for (;;) {
		if (size == capacity) {
			capacity = capacity ? 2 * capacity : 64 << 10;
			uint8_t *larger = capacity <= FILE_BYTES_MAX ? realloc(bytes, capacity) : NULL;
			if (!larger) {
				error = -ENOMEM;
				break;
			}
			bytes = larger;
		}
		size_t room = capacity - size;
		int got = gzread(file, bytes + size, (unsigned)(room > 1 << 20 ? 1 << 20 : room));
		if (got < 0)
			error = -EBADMSG;
		if (got <= 0)
			break;
		size += (size_t)got;
	}
	/* A file that ends in the middle is only noticed here. */
	if (gzclose_r(file) != Z_OK && !error)
		error = -EBADMSG;
	if (error) {
		free(bytes);
		return error;
	}
	*out_bytes = bytes;
	*out_size = size;
	return 0;
}

int pprof_file_load(const char *path, Perftools__Profiles__Profile **out_profile)
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	int error = read_all(path, &bytes, &size);
	if (error)
		return error;
	Perftools__Profiles__Profile *profile = perftools__profiles__profile__unpack(NULL, size, bytes);
	free(bytes);
	if (!profile)
		return -EBADMSG;
	if (profile->n_sample_type == 0 || profile->n_string_table == 0) {
		perftools__profiles__profile__free_unpacked(profile, NULL);
		return -EBADMSG;
	}
	*out_profile = profile;
	return 0;
}

const char *pprof_file_string(const Perftools__Profiles__Profile *profile, int64_t index)
{
	return index >= 0 && (uint64_t)index < profile->n_string_table ? profile->string_table[index] : "";
}

int pprof_file_value_index(const Perftools__Profiles__Profile *profile, const char *type)
{
	for (size_t i = 0; i < profile->n_sample_type; i++)
		if (strcmp(pprof_file_string(profile, profile->sample_type[i]->type), type) == 0)
			return (int)i;
	return -1;
}

/* An element with an `id` field by that id, or NULL. */
#define FIND_BY_ID(array, count, wanted, out_element)                            \
	do {                                                                     \
		(out_element) = NULL;                                            \
		if ((wanted)-1 < (count) && (array)[(wanted)-1]->id == (wanted)) \
			(out_element) = (array)[(wanted)-1];                     \
		for (size_t i_ = 0; !(out_element) && i_ < (count); i_++)        \
			if ((array)[i_]->id == (wanted))                         \
				(out_element) = (array)[i_];                     \
	} while (0)

const Perftools__Profiles__Location *pprof_file_location(const Perftools__Profiles__Profile *profile,
							 uint64_t id)
{
	const Perftools__Profiles__Location *location;
	FIND_BY_ID(profile->location, profile->n_location, id, location);
	return location;
}

const Perftools__Profiles__Function *pprof_file_function(const Perftools__Profiles__Profile *profile,
							 uint64_t id)
{
	const Perftools__Profiles__Function *function;
	FIND_BY_ID(profile->function, profile->n_function, id, function);
	return function;
}

const Perftools__Profiles__Mapping *pprof_file_mapping(const Perftools__Profiles__Profile *profile,
						       uint64_t id)
{
	const Perftools__Profiles__Mapping *mapping;
	FIND_BY_ID(profile->mapping, profile->n_mapping, id, mapping);
	return mapping;
}

void pprof_file_leaf_name(const Perftools__Profiles__Profile *profile,
			  const Perftools__Profiles__Sample *sample, char *name, size_t name_bytes)
{
	const Perftools__Profiles__Location *location = NULL;
	const Perftools__Profiles__Function *function = NULL;
	const Perftools__Profiles__Mapping *mapping = NULL;
	if (sample->n_location_id)
		location = pprof_file_location(profile, sample->location_id[0]);
	if (location && location->n_line)
		function = pprof_file_function(profile, location->line[0]->function_id);
	if (function) {
		snprintf(name, name_bytes, "%s", pprof_file_string(profile, function->name));
		return;
	}
	if (location)
		mapping = pprof_file_mapping(profile, location->mapping_id);
	const char *path = mapping ? pprof_file_string(profile, mapping->filename) : "";
	const char *slash = strrchr(path, '/');
	if (path[0])
		snprintf(name, name_bytes, "[%s]", slash ? slash + 1 : path);
	else
		snprintf(name, name_bytes, "<unknown>");
}
