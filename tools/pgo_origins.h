/* SPDX-License-Identifier: MIT */
/*
 * Which lines of which file each function of a profile was compiled from, and hashes of
 * these, kept in a file beside the profile: OUT.sources.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_ORIGINS_H
#define TOOLS_PGO_ORIGINS_H

#include <stdio.h>

#include "arena.h"
#include "pgo_binary.h"
#include "pgo_tree.h"
#include "u64_map.h"

struct pgo_origin {
	const char *name; /* linkage name */
	const char *path;
	uint32_t first;      /* line */
	uint32_t last;       /* line; 0: not known */
	uint64_t first_hash; /* of the first line */
	uint64_t hash;       /* of all lines; 0 and 0: not known */
};

/* A zeroed one is empty and valid. */
struct pgo_origins {
	struct pgo_origin *items; /* after pgo_origins_seal() sorted by name */
	size_t count, capacity;
	char build_id[PGO_BUILD_ID_BYTES]; /* of the binary; "": not known */
	struct u64_map index;              /* by the address of the name */
	struct arena texts;
};

/* Notes where a function begins.  The texts must stay where they are. */
void pgo_origins_add(struct pgo_origins *origins, const char *name, const char *path, uint32_t first);

/* Sorts; each name once. */
void pgo_origins_seal(struct pgo_origins *origins);

/*
 * Reads the sources and hashes what they say.  *out_missing: functions whose files are not
 * there, and which get no hashes; *out_newer: functions whose files are younger than
 * `built` (seconds since 1970), and may have been others then.
 */
void pgo_origins_hash(struct pgo_origins *origins, int64_t built, size_t *out_missing, size_t *out_newer);

#define PGO_SOURCES_SUFFIX ".sources"

/* Writes the file beside a profile.  0, or -errno and said why. */
int pgo_origins_save(const struct pgo_origins *origins, const char *profile);

/* Writes and reads its content.  0 or -errno (-EBADMSG: it is something else). */
int pgo_origins_write(const struct pgo_origins *origins, FILE *to);
int pgo_origins_read(struct pgo_origins *origins, FILE *from);

/* Reads the file beside a profile.  0 or -errno. */
int pgo_origins_load(struct pgo_origins *origins, const char *profile);

/* Puts what `known` says of functions in the place of what is known of them. */
void pgo_origins_override(struct pgo_origins *origins, const struct pgo_origins *known);

/* The index of the origin of that name; their number if there is none. */
size_t pgo_origins_find(const struct pgo_origins *origins, const char *name);

void pgo_origins_fini(struct pgo_origins *origins);

#endif
