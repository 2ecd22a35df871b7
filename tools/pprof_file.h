/* SPDX-License-Identifier: MIT */
/*
 * A pprof file, decoded and safe to follow: every index that the accessors meet is
 * checked, since a file may be anything.
 *
 * Context: command line.
 */
#ifndef TOOLS_PPROF_FILE_H
#define TOOLS_PPROF_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "profile.pb-c.h"

/*
 * Reads and decodes.  0 or -errno (-EBADMSG: not a pprof file).  The caller frees
 * *out_profile with perftools__profiles__profile__free_unpacked(profile, NULL).
 */
int pprof_file_load(const char *path, Perftools__Profiles__Profile **out_profile);

/* A string of the table; "" if the index is not valid. */
const char *pprof_file_string(const Perftools__Profiles__Profile *profile, int64_t index);

/* Which of a sample's values has this type ("cpu", "inuse_space"); -1 if none. */
int pprof_file_value_index(const Perftools__Profiles__Profile *profile, const char *type);

/* By id; NULL if there is none. */
const Perftools__Profiles__Location *pprof_file_location(const Perftools__Profiles__Profile *profile,
							 uint64_t id);
const Perftools__Profiles__Function *pprof_file_function(const Perftools__Profiles__Profile *profile,
							 uint64_t id);
const Perftools__Profiles__Mapping *pprof_file_mapping(const Perftools__Profiles__Profile *profile,
						       uint64_t id);

/*
 * The name of a sample's innermost function as `go tool pprof` calls it: that of the
 * first line, else [basename of the object], else <unknown>.  Written to `name`.
 */
void pprof_file_leaf_name(const Perftools__Profiles__Profile *profile,
			  const Perftools__Profiles__Sample *sample, char *name, size_t name_bytes);

#endif
