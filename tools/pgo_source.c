/* SPDX-License-Identifier: MIT */
/*
 * One scanner for both questions: it gives the characters that are neither comment nor
 * superfluous space, and tells those within literals apart, whose braces do not count.
 *
 * Context: command line; see pgo_source.h.
 */
#include "pgo_source.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_shm.h"
#include "memory.h"

#define FILE_BYTES_MAX (UINT32_C(1) << 28)
/* What follows the last line that is part of a function: nothing is longer. */
#define FUNCTION_LINES_MAX 100000

void pgo_source_take(struct pgo_source *source, const char *text, size_t size)
{
	size_t capacity = 0;
	*source = (struct pgo_source){.text = allocated(malloc(size + 1)), .size = size};
	memcpy(source->text, text, size);
	source->text[size] = '\0';
	for (size_t at = 0; at < size;) {
		const char *newline = memchr(source->text + at, '\n', size - at);
		source->starts = grown(source->starts, source->line_count, &capacity, sizeof *source->starts);
		source->starts[source->line_count++] = at;
		at = newline ? (size_t)(newline - source->text) + 1 : size;
	}
	source->starts = grown(source->starts, source->line_count, &capacity, sizeof *source->starts);
	source->starts[source->line_count] = size;
}

int pgo_source_read(struct pgo_source *source, const char *path)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return -errno;
	char *text = NULL;
	size_t size = 0, capacity = 0, got;
	do {
		if (capacity - size < 65536) {
			capacity = 2 * capacity + 65536;
			text = allocated(realloc(text, capacity));
		}
		got = fread(text + size, 1, capacity - size, file);
		size += got;
	} while (got > 0 && size < FILE_BYTES_MAX);
	int error = ferror(file) ? -EIO : 0;
	fclose(file);
	if (!error)
		pgo_source_take(source, text, size);
	free(text);
	return error;
}

void pgo_source_free(struct pgo_source *source)
{
	free(source->text);
	free(source->starts);
	*source = (struct pgo_source){0};
}

/* ---- scanning -------------------------------------------------------------------------------- */

struct scanner {
	const char *at, *end;
	char quote; /* of the literal that we are in, or 0 */
	bool is_comment;
};

/* The characters of a scan: as in the text, ' ' for any space, '\n' for the end of a line; -1: no more. */
static int next(struct scanner *s, bool *out_is_literal)
{
	*out_is_literal = s->quote != 0;
	if (s->at == s->end)
		return -1;
	char c = *s->at++;
	if (s->is_comment) {
		if (c == '\n')
			return c;
		if (c == '*' && s->at < s->end && *s->at == '/') {
			s->at++;
			s->is_comment = false;
		}
		return ' ';
	}
	if (s->quote) {
		if (c == '\\' && s->at < s->end && *s->at != '\n') {
			s->at++;
			return '\\';
		}
		/* A literal ends with its line at the latest: this may be a digit separator (1'000). */
		if (c == s->quote || c == '\n')
			s->quote = 0;
		return c;
	}
	if (c == '/' && s->at < s->end && *s->at == '/') {
		while (s->at < s->end && *s->at != '\n')
			s->at++;
		return ' ';
	}
	if (c == '/' && s->at < s->end && *s->at == '*') {
		s->at++;
		s->is_comment = true;
		return ' ';
	}
	if (c == '"' || c == '\'')
		s->quote = c;
	return c != '\n' && isspace((unsigned char)c) ? ' ' : c;
}

static struct scanner scan(const struct pgo_source *source, uint32_t first, uint32_t count)
{
	size_t from = first - 1, to = from + count;
	if (first == 0 || from > source->line_count)
		from = source->line_count;
	if (to > source->line_count || to < from)
		to = source->line_count;
	return (struct scanner){source->text + source->starts[from], source->text + source->starts[to], 0,
				false};
}

uint64_t pgo_source_hash(const struct pgo_source *source, uint32_t first, uint32_t count)
{
	struct scanner s = scan(source, first, count);
	uint64_t hash = 0;
	bool is_literal, is_after_space = true;
	bool has_space = false;
	for (int c; (c = next(&s, &is_literal)) >= 0;) {
		if (c == ' ' && !is_literal) {
			has_space = !is_after_space;
			continue;
		}
		if (has_space && c != '\n')
			hash = cprof_mix64(hash ^ ' ');
		has_space = false;
		is_after_space = c == '\n';
		hash = cprof_mix64(hash ^ (uint64_t)(unsigned char)c);
	}
	return hash;
}

/*
 * Whether a line belongs to the second or a later branch of an #if: `*depth` counts how
 * deep.  Braces there would count twice.
 */
static bool is_alternative(const struct pgo_source *source, uint32_t line, int *depth)
{
	const char *at = source->text + source->starts[line - 1];
	at += strspn(at, " \t");
	if (*at++ != '#')
		return *depth > 0;
	at += strspn(at, " \t");
	if (strncmp(at, "if", 2) == 0 && *depth > 0)
		++*depth;
	else if (strncmp(at, "endif", 5) == 0 && *depth > 0)
		--*depth;
	else if ((strncmp(at, "else", 4) == 0 || strncmp(at, "elif", 4) == 0) && *depth == 0)
		*depth = 1;
	return true;
}

uint32_t pgo_source_function_end(const struct pgo_source *source, uint32_t first)
{
	struct scanner s = scan(source, first, FUNCTION_LINES_MAX);
	uint32_t line = first, closed = 0;
	int depth = 0, alternatives = 0;
	bool is_literal, is_left_out = false, has_equals = false;
	for (int c, last = 0; (c = next(&s, &is_literal)) >= 0;) {
		if (c == '\n') {
			line++;
			is_left_out = line <= source->line_count &&
				      is_alternative(source, line, &alternatives);
			continue;
		}
		if (c == ' ' || is_literal || is_left_out)
			continue;
		/* Behind a brace that closes: of a member's initialiser, if one of these follows. */
		if (closed && c != ',' && c != '{')
			return closed;
		closed = 0;
		if (c == '{')
			depth++;
		else if (c == '}' && --depth == 0)
			closed = line;
		else if (depth < 0)
			return first;
		else if (c == ';' && depth == 0 && (last == ')' || has_equals))
			return line; /* else a parameter of the old kind: int f(a) int a; {} */
		has_equals = has_equals || (c == '=' && depth == 0);
		last = c;
	}
	return closed ? closed : first;
}
