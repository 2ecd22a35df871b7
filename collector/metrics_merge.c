/* SPDX-License-Identifier: MIT */
/*
 * Works on the text of each process: what writes the metrics need not know of this.
 *
 * Context: collector, main thread; see metrics_merge.h.
 */
#include "metrics_merge.h"

#include <string.h>

#include "utf8.h"

#define HELP "# HELP "

/* The end of the family that begins at `text`: where the next one does. */
static const char *end_of(const char *text)
{
	const char *next = strstr(text + 1, "\n" HELP);
	return next ? next + 1 : text + strlen(text);
}

static size_t name_length(const char *family)
{
	return strcspn(family + strlen(HELP), " \n");
}

/* The family called as this one, or NULL. */
static const char *find(const char *text, const char *family)
{
	size_t length = name_length(family);
	for (; strncmp(text, HELP, strlen(HELP)) == 0; text = end_of(text))
		if (name_length(text) == length &&
		    memcmp(text + strlen(HELP), family + strlen(HELP), length) == 0)
			return text;
	return NULL;
}

static bool was_written(const struct metrics_part *parts, const struct metrics_part *part, const char *family)
{
	for (; parts < part; parts++)
		if (find(parts->text, family))
			return true;
	return false;
}

static void add_sample(const char *line, size_t length, const char *labels, struct text_buffer *text)
{
	size_t name = strcspn(line, "{ ");
	bool has_labels = line[name] == '{';
	text_buffer_add(text, line, name);
	text_buffer_string(text, "{");
	text_buffer_string(text, labels);
	text_buffer_string(text, has_labels ? "," : "}");
	text_buffer_add(text, line + name + has_labels, length - name - has_labels);
}

/* The family's samples, or also what stands before them. */
static void add_family(const char *family, const struct metrics_part *part, bool has_header,
		       struct text_buffer *text)
{
	const char *end = end_of(family);
	while (family < end) {
		size_t length = strcspn(family, "\n");
		length += family[length] == '\n';
		if (*family != '#')
			add_sample(family, length, part->labels, text);
		else if (has_header)
			text_buffer_add(text, family, length);
		family += length;
	}
}

void metrics_merge(const struct metrics_part *parts, size_t part_count, struct text_buffer *text)
{
	for (const struct metrics_part *part = parts; part < parts + part_count; part++) {
		for (const char *family = part->text; strncmp(family, HELP, strlen(HELP)) == 0;
		     family = end_of(family)) {
			if (was_written(parts, part, family))
				continue;
			add_family(family, part, true, text);
			for (const struct metrics_part *other = part + 1; other < parts + part_count;
			     other++) {
				const char *same = find(other->text, family);
				if (same)
					add_family(same, other, false, text);
			}
		}
	}
}

char *metrics_merge_labels(unsigned pid, const char *name)
{
	struct text_buffer labels = {0};
	bool is_text = utf8_is_valid(name);
	text_buffer_format(&labels, "pid=\"%u\",process=\"", pid);
	for (; *name; name++)
		if (*name == '"' || *name == '\\')
			text_buffer_format(&labels, "\\%c", *name);
		else if ((unsigned char)*name < ' ' || (!is_text && (unsigned char)*name >= 0x80))
			text_buffer_string(&labels, "?");
		else
			text_buffer_add(&labels, name, 1);
	text_buffer_string(&labels, "\"");
	return text_buffer_take(&labels);
}
