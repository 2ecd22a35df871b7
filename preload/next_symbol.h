/* SPDX-License-Identifier: MIT */
/*
 * What dlsym(RTLD_NEXT) gives, without asking it: some 170 names are looked up at the
 * start of every process, and dlsym takes a microsecond for one that libc has, several for
 * one that nobody has (it allocates an error text).  Answers are dlsym's; where one cannot
 * be told from the objects' own hash tables, dlsym is asked.
 *
 * Context: init.
 */
#ifndef PRELOAD_NEXT_SYMBOL_H
#define PRELOAD_NEXT_SYMBOL_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#define NEXT_OBJECTS_MAX 32u

/* An object's dynamic symbols, hashed; points into the object. */
struct next_object {
	uint64_t bias;
	const ElfW(Sym) *symbols;
	const char *strings;
	const uint16_t *versions; /* NULL: none */
	const uint64_t *bloom;
	const uint32_t *buckets, *chains;
	uint32_t bloom_mask, bloom_shift, bucket_count, first_symbol;
};

/* The objects behind us in the order of the search.  Lives on the stack of whoever looks several names up. */
struct next_scope {
	struct next_object objects[NEXT_OBJECTS_MAX];
	uint32_t count;
	/*
	 * Up to libc the objects are those that were loaded at the start, which are the ones
	 * that are searched; behind it may be some that a dlopen() keeps for itself.
	 */
	uint32_t start_count;
	bool is_whole; /* a name that is in none of them is nowhere */
};

/* Without `link_map` (glibc before 2.35 does not tell us ours) all is asked of dlsym. */
void next_scope_open(struct next_scope *out_scope, const struct link_map *ours);

/* Ours, or NULL. */
struct link_map *next_own_object(void);

/* As dlsym(RTLD_NEXT, name); NULL if there is none. */
void *next_symbol(const struct next_scope *scope, const char *name);

/* The same for pthread_cond_*, of which dlsym gives the oldest version before glibc 2.36. */
void *next_symbol_default(const struct next_scope *scope, const char *name);

/* libc's own default version, whoever interposes it. */
void *next_symbol_of_libc(const struct next_scope *scope, const char *name);

/* Whether an object in front of us, the executable included, has `name`, or may have it. */
bool next_may_be_in_front(const struct link_map *ours, const char *name);

/* Whether the executable was linked with any library; also where that is not to be known. */
bool next_executable_has_libraries(const struct link_map *ours);

#endif
