/* SPDX-License-Identifier: MIT */
/*
 * A profile of a process that never ran, for tests of the encoder: a program and a
 * library are compiled into the scratch directory of fixture.h, and samples refer to
 * their functions.  What is encoded can be read with the generated decoder and with
 * `go tool pprof`.
 *
 * Context: tests of the collector.
 */
#ifndef TESTS_SUPPORT_FAKE_PROFILE_H
#define TESTS_SUPPORT_FAKE_PROFILE_H

#include <criterion/criterion.h>
#include <string.h>

#include "profile.h"
#include "profile.pb-c.h"

typedef Perftools__Profiles__Function function_t;
typedef Perftools__Profiles__Label label_t;
typedef Perftools__Profiles__Location location_t;
typedef Perftools__Profiles__Mapping mapping_t;
typedef Perftools__Profiles__Profile message_t;
typedef Perftools__Profiles__Sample sample_t;

/* Module ids; the library's row has a lower one than the program's.  LOST has no file. */
enum { LIBRARY_ROW = 2, MAIN = 3, CPROF = 7, LOST = 9 };

#define MAIN_BIAS UINT64_C(0x555555554000)
#define LIBRARY_BIAS UINT64_C(0x7ffff7a00000)

/* The library, the program, cprof, and what is lost. */
extern struct profile_module fake_modules[4];
/* One byte into main() and outer() of the program, into which inner() is inlined; of the library. */
extern uint64_t fake_main_offset, fake_inner_offset, fake_exported_offset, fake_hidden_offset;
extern struct profile_sample fake_samples[64];
extern struct profile fake_profile; /* a CPU profile without samples */
extern message_t *decoded;          /* what was encoded last */

/* Before and after a test. */
void fake_profile_begin(void);
void fake_profile_end(void);

static inline uint64_t called_from(uint32_t module, uint64_t offset)
{
	return cprof_frame(module, offset);
}

static inline uint64_t interrupted_at(uint32_t module, uint64_t offset)
{
	return cprof_frame(module, offset) | CPROF_FRAME_EXACT;
}

/* Adds a sample with `count` expiries of 10 ms; frames[0] is not used. */
void fake_profile_add(int64_t count, uint32_t flags, size_t frame_count, const uint64_t *frames);

#define ADD_SAMPLE(count, flags, ...)                                                                      \
	do {                                                                                               \
		static const size_t frame_count = sizeof((uint64_t[]){0, __VA_ARGS__}) / sizeof(uint64_t); \
		fake_profile_add(count, flags, frame_count - 1, (uint64_t[]){0, __VA_ARGS__});             \
	} while (0)

/* Encodes into DIR/name, and decodes what was written. */
void fake_profile_encode(const char *name);

const char *decoded_string(int64_t index);

/* The functions of a sample, leaf first, "a;b;c"; "?" for a location without one. */
const char *decoded_stack(size_t sample);

/* What `go tool pprof` says, on both outputs; without one the test is skipped. */
char *fixture_pprof(const char *arguments);

#define expect_contains(text, part) cr_expect(strstr((text), (part)), "no \"%s\" in:\n%s", (part), (text))
#define expect_lacks(text, part) cr_expect(!strstr((text), (part)), "\"%s\" in:\n%s", (part), (text))

#endif
