/* SPDX-License-Identifier: MIT */
/*
 * Compilers and binutils are run through the shell: slow, but they are the oracle.
 * What the functions return is kept in a list until the test ends.
 *
 * Context: tests; see fixture.h.
 */
#include "fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char fixture_dir[64];

static char **kept;
static size_t kept_count;

static char *keep(char *text)
{
	cr_assert_not_null(text);
	kept = reallocarray(kept, kept_count + 1, sizeof(*kept));
	cr_assert_not_null(kept);
	return kept[kept_count++] = text;
}

static char *print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *print(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	cr_assert(vasprintf(&text, format, args) >= 0);
	va_end(args);
	return keep(text);
}

void fixture_begin(void)
{
	strcpy(fixture_dir, "/tmp/cprof-unit.XXXXXX");
	cr_assert(mkdtemp(fixture_dir));
}

void fixture_end(void)
{
	cr_expect_eq(system(print("chmod -R u+rwx '%s'; rm -rf '%s'", fixture_dir, fixture_dir)), 0);
	while (kept_count)
		free(kept[--kept_count]);
	free(kept);
	kept = NULL;
}

const char *fixture_path(const char *name)
{
	return print("%s/%s", fixture_dir, name);
}

void fixture_write(const char *name, const char *text)
{
	FILE *file = fopen(fixture_path(name), "w");
	cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

char *fixture_run(const char *format, ...)
{
	char *command = NULL, *output = NULL;
	size_t size = 0;
	va_list args;
	va_start(args, format);
	cr_assert(vasprintf(&command, format, args) > 0);
	va_end(args);
	FILE *pipe = popen(print("cd '%s' && { %s\n}", fixture_dir, keep(command)), "r");
	FILE *sink = open_memstream(&output, &size);
	cr_assert(pipe && sink);
	for (int c; (c = fgetc(pipe)) != EOF;)
		fputc(c, sink);
	fclose(sink);
	keep(output);
	cr_assert_eq(pclose(pipe), 0, "%s\n%s", command, output);
	return output;
}

bool fixture_has(const char *program)
{
	return system(print("command -v %s >/dev/null", program)) == 0;
}

uint64_t fixture_symbol(const char *name, const char *symbol, uint64_t *out_size)
{
	char *row = fixture_run("nm -S %s | awk '$NF == \"%s\" {print $1, NF == 4 ? $2 : 0; exit}'", name,
				symbol);
	unsigned long address, size;
	cr_assert_eq(sscanf(row, "%lx %lx", &address, &size), 2, "%s has no %s", name, symbol);
	if (out_size)
		*out_size = size;
	return address;
}

uint32_t fixture_build_id(const char *name, uint8_t out_id[32])
{
	char *hex = fixture_run("readelf -n %s 2>/dev/null | sed -n 's/.*Build ID: //p'", name);
	uint32_t count = 0;
	unsigned byte;
	while (count < 32 && sscanf(hex + 2 * count, "%2x", &byte) == 1)
		out_id[count++] = (uint8_t)byte;
	return count;
}

static int listening_end; /* of fixture_pipe() */

int fixture_pipe(void)
{
	int ends[2];
	cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	listening_end = ends[0];
	return ends[1];
}

const char *fixture_said(void)
{
	static char text[4096];
	ssize_t n = read(listening_end, text, sizeof text - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}
