/* SPDX-License-Identifier: MIT */
/*
 * A pprof file as pprofq reads it: with the generated decoder and zlib, sharing no
 * code with the encoder.  What is wrong with a file ends the program.
 *
 * Context: tests.
 */
#ifndef TESTS_SUPPORT_PPROFQ_FILE_H
#define TESTS_SUPPORT_PPROFQ_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "profile.pb-c.h"

typedef Perftools__Profiles__Function function_t;
typedef Perftools__Profiles__Label label_t;
typedef Perftools__Profiles__Line line_t;
typedef Perftools__Profiles__Location location_t;
typedef Perftools__Profiles__Mapping mapping_t;
typedef Perftools__Profiles__Profile profile_t;
typedef Perftools__Profiles__Sample sample_t;

/* Prints a message and exits. */
__attribute__((noreturn, format(printf, 2, 3))) void pprofq_die(int status, const char *format, ...);

/* A pointer that must not be NULL, which would mean that there is no memory. */
void *pprofq_must(void *p);

/* Reads a file and indexes its tables.  One at a time. */
profile_t *pprofq_open(const char *path);
void pprofq_close(profile_t *p);

/* What an index or an id refers to; it must be there. */
const char *pprofq_string(const profile_t *p, int64_t index);
const location_t *pprofq_location(const profile_t *p, uint64_t id);
const function_t *pprofq_function(const profile_t *p, uint64_t id);

/* NULL if there is none. */
const mapping_t *pprofq_mapping(const profile_t *p, uint64_t id);

/* Exits with a message unless the file is what every pprof accepts, and what cprof promises. */
void pprofq_check(const profile_t *p);

#endif
