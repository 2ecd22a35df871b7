/* SPDX-License-Identifier: MIT */
/*
 * A source file as lines, and hashes of some of them: equal as long as what a compiler
 * sees on each line is the same.  Comments and the amount of blank space do not count;
 * which line something is on does, since a profile speaks of lines.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_SOURCE_H
#define TOOLS_PGO_SOURCE_H

#include <stddef.h>
#include <stdint.h>

struct pgo_source {
	char *text; /* owned, terminated */
	size_t size;
	size_t *starts; /* of lines; one more than there are: the end */
	size_t line_count;
};

/* Lines count from 1.  0 or -errno. */
int pgo_source_read(struct pgo_source *source, const char *path);

/* The same of a text, which is copied. */
void pgo_source_take(struct pgo_source *source, const char *text, size_t size);

void pgo_source_free(struct pgo_source *source);

/* Of `count` lines from `first`, as many of them as there are. */
uint64_t pgo_source_hash(const struct pgo_source *source, uint32_t first, uint32_t count);

/*
 * The line of the brace that ends the function that begins on line `first`; if there is
 * none, `first`.
 */
uint32_t pgo_source_function_end(const struct pgo_source *source, uint32_t first);

#endif
