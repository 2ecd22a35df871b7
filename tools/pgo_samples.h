/* SPDX-License-Identifier: MIT */
/*
 * The samples of any number of CPU profiles that fall into one binary, added up by
 * address in its file, so that runs at different load addresses are one; and who
 * called whom on their stacks.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_SAMPLES_H
#define TOOLS_PGO_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "pgo_binary.h"
#include "profile.pb-c.h"

/* Samples taken at one instruction. */
struct pgo_leaf {
	uint64_t address;
	uint64_t count;
};

/* Samples with one call on their stacks; recursion counts once for each time. */
struct pgo_call {
	uint64_t from;       /* an address within the calling instruction */
	uint64_t to;         /* an address in the called function, 0 if that is in another object */
	const char *to_name; /* linkage name of a function in another object, else NULL */
	uint64_t count;
};

struct pgo_samples {
	struct pgo_leaf *leaves; /* sorted by address */
	size_t leaf_count, leaf_capacity;
	struct pgo_call *calls; /* sorted by from, to, to_name */
	size_t call_count, call_capacity;
	struct arena names;
	uint64_t read;    /* samples in all profiles */
	uint64_t used;    /* that were taken in the binary */
	uint64_t foreign; /* in another object, or nowhere */
	size_t files;
};

/*
 * Adds a profile read from `path`.  0, or -errno and said why: it is no CPU profile, or
 * the binary that it saw under this name has another build id, or none, and
 * `is_any_build` does not allow that.
 */
int pgo_samples_add(struct pgo_samples *samples, const struct pgo_binary *binary, bool is_any_build,
		    const char *path, const Perftools__Profiles__Profile *profile);

/* Sorts, after the last profile. */
void pgo_samples_seal(struct pgo_samples *samples);

/* Of sealed samples: the first leaf, or the first call from, at an address or behind it. */
size_t pgo_samples_leaf(const struct pgo_samples *samples, uint64_t address);
size_t pgo_samples_call(const struct pgo_samples *samples, uint64_t address);

void pgo_samples_fini(struct pgo_samples *samples);

#endif
