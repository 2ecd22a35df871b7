/* SPDX-License-Identifier: MIT */
/*
 * Compilers and binutils are run through the shell: slow, but they are the oracle.
 * What the functions return is not freed; a test is a process of its own.
 *
 * Context: tests; see fixture.h.
 */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char fixture_dir[64];

void fixture_begin(void)
{
	strcpy(fixture_dir, "/tmp/cprof-unit.XXXXXX");
	cr_assert(mkdtemp(fixture_dir));
}

void fixture_end(void)
{
	char *command;
	if (asprintf(&command, "chmod -R u+rwx '%s'; rm -rf '%s'", fixture_dir, fixture_dir) > 0)
		cr_expect_eq(system(command), 0);
}

const char *fixture_path(const char *name)
{
	char *path;
	cr_assert(asprintf(&path, "%s/%s", fixture_dir, name) > 0);
	return path;
}

void fixture_write(const char *name, const char *text)
{
	FILE *file = fopen(fixture_path(name), "w");
	cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

char *fixture_run(const char *format, ...)
{
	char *command, *line, *output = NULL;
	size_t size = 0;
	va_list args;
	va_start(args, format);
	cr_assert(vasprintf(&command, format, args) > 0);
	va_end(args);
	cr_assert(asprintf(&line, "cd '%s' && { %s\n}", fixture_dir, command) > 0);
	FILE *pipe = popen(line, "r");
	FILE *sink = open_memstream(&output, &size);
	cr_assert(pipe && sink);
	for (int c; (c = fgetc(pipe)) != EOF;)
		fputc(c, sink);
	fclose(sink);
	cr_assert_eq(pclose(pipe), 0, "%s\n%s", command, output);
	return output;
}

bool fixture_has(const char *program)
{
	char *command;
	return asprintf(&command, "command -v %s >/dev/null", program) > 0 && system(command) == 0;
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
