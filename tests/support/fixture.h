/* SPDX-License-Identifier: MIT */
/*
 * A scratch directory for a test, programs compiled into it, and their symbols as
 * other tools see them.
 *
 * Context: tests.
 */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The scratch directory: made before a test, removed with all in it after. */
void fixture_begin(void);
void fixture_end(void);
extern char fixture_dir[64];

/* Writes DIR/name. */
void fixture_write(const char *name, const char *text);

/*
 * Runs a shell command in the scratch directory; the test fails if it does.  Returns
 * what it wrote to its standard output, which lives as long as the test.
 */
char *fixture_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A pipe to be written to, and what was written since the last call, which lives until the next. */
int fixture_pipe(void);
const char *fixture_said(void);

/* Whether a program is in PATH. */
bool fixture_has(const char *program);

/* DIR/name; lives as long as the test. */
const char *fixture_path(const char *name);

/* Address and size of a symbol of DIR/name, by nm; the test fails if it has none. */
uint64_t fixture_symbol(const char *name, const char *symbol, uint64_t *out_size);

/* The build id of DIR/name; 0 if it has none. */
uint32_t fixture_build_id(const char *name, uint8_t out_id[32]);

#endif
