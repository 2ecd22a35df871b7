/* SPDX-License-Identifier: MIT */
/*
 * Questions to a pprof file, for tests.
 *
 *   pprofq FILE types              one "type/unit" a line, then "period TYPE/UNIT N"
 *   pprofq FILE total TYPE         sum over all samples
 *   pprofq FILE leaf NAME TYPE     sum over samples whose innermost function is NAME
 *   pprofq FILE has NAME TYPE      sum over samples with NAME anywhere
 *   pprofq FILE frames             all function names, sorted, each once
 *   pprofq FILE comments           one a line
 *   pprofq FILE stacks TYPE        "value leaf;...;root", sorted
 *   pprofq FILE labels TYPE        "value {key=text key=number unit} leaf;...;root", sorted
 *   pprofq FILE mappings           "id start-limit offset flags build-id file"
 *   pprofq FILE check              silent if valid; else one line and status 1
 *
 * TYPE is an index into the sample types or the name of one; after `labels` it may be
 * left out, and is the first.  An address without a
 * function is called what `go tool pprof` calls it: [basename of the file], or
 * <unknown>.  drop_frames is not applied.  Status: 0, 1 not valid, 2 bad question or
 * unreadable file.
 *
 * Context: tests.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pprofq_file.h"

static size_t type_index(const profile_t *p, const char *type)
{
	for (size_t i = 0; i < p->n_sample_type; i++)
		if (!strcmp(pprofq_string(p, p->sample_type[i]->type), type))
			return i;
	char *end;
	unsigned long index = strtoul(type, &end, 10);
	if (end == type || *end || index >= p->n_sample_type)
		pprofq_die(2, "no sample type %s", type);
	return index;
}

static int64_t value_at(const sample_t *s, size_t type)
{
	if (type >= s->n_value)
		pprofq_die(1, "a sample with %zu values", s->n_value);
	return s->value[type];
}

/* Calls visit for each function of the stack, leaf first, until it returns false. */
static void walk(const profile_t *p, const sample_t *s, bool (*visit)(const char *name, void *arg), void *arg)
{
	for (size_t i = 0; i < s->n_location_id; i++) {
		const location_t *l = pprofq_location(p, s->location_id[i]);
		for (size_t j = 0; j < l->n_line; j++)
			if (!visit(pprofq_string(p, pprofq_function(p, l->line[j]->function_id)->name), arg))
				return;
		if (l->n_line)
			continue;
		const mapping_t *m = pprofq_mapping(p, l->mapping_id);
		const char *file = m ? pprofq_string(p, m->filename) : "";
		const char *slash = strrchr(file, '/');
		char name[4200] = "<unknown>";
		if (*file)
			snprintf(name, sizeof(name), "[%s]", slash ? slash + 1 : file);
		if (!visit(name, arg))
			return;
	}
}

struct match {
	const char *name;
	bool leaf_only;
	bool found;
};

static bool match_name(const char *name, void *arg)
{
	struct match *match = arg;
	match->found = !strcmp(name, match->name);
	return !match->found && !match->leaf_only;
}

static int print_sum(const profile_t *p, const char *name, const char *type_name, bool leaf_only)
{
	size_t type = type_index(p, type_name);
	int64_t sum = 0;
	for (size_t i = 0; i < p->n_sample; i++) {
		struct match match = {name, leaf_only, name == NULL};
		if (name)
			walk(p, p->sample[i], match_name, &match);
		if (match.found)
			sum += value_at(p->sample[i], type);
	}
	printf("%" PRId64 "\n", sum);
	return 0;
}

static int print_types(const profile_t *p)
{
	for (size_t i = 0; i < p->n_sample_type; i++)
		printf("%s/%s\n", pprofq_string(p, p->sample_type[i]->type),
		       pprofq_string(p, p->sample_type[i]->unit));
	if (p->period_type)
		printf("period %s/%s %" PRId64 "\n", pprofq_string(p, p->period_type->type),
		       pprofq_string(p, p->period_type->unit), p->period);
	return 0;
}

/* A growing list of lines, to be sorted. */
struct text_lines {
	char **items;
	size_t count, capacity;
};

static void lines_add(struct text_lines *lines, char *line)
{
	if (lines->count == lines->capacity) {
		lines->capacity = lines->capacity ? 2 * lines->capacity : 64;
		lines->items = pprofq_must(realloc(lines->items, lines->capacity * sizeof(*lines->items)));
	}
	lines->items[lines->count++] = line;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int lines_print(struct text_lines *lines, bool unique)
{
	qsort(lines->items, lines->count, sizeof(*lines->items), compare_lines);
	for (size_t i = 0; i < lines->count; i++)
		if (!unique || !i || strcmp(lines->items[i], lines->items[i - 1]) != 0)
			puts(lines->items[i]);
	return 0;
}

static bool collect_name(const char *name, void *arg)
{
	lines_add(arg, pprofq_must(strdup(name)));
	return true;
}

static int print_frames(const profile_t *p)
{
	struct text_lines names = {0};
	for (size_t i = 0; i < p->n_location; i++) {
		uint64_t id = p->location[i]->id;
		sample_t one = PERFTOOLS__PROFILES__SAMPLE__INIT;
		one.n_location_id = 1;
		one.location_id = &id;
		walk(p, &one, collect_name, &names);
	}
	return lines_print(&names, true);
}

static bool append_name(const char *name, void *arg)
{
	FILE *stream = arg;
	fprintf(stream, "%s;", name);
	return true;
}

static void print_labels(const profile_t *p, const sample_t *s, FILE *to)
{
	fputc('{', to);
	for (size_t i = 0; i < s->n_label; i++) {
		const label_t *l = s->label[i];
		fprintf(to, "%s%s=", i ? " " : "", pprofq_string(p, l->key));
		if (l->str)
			fputs(pprofq_string(p, l->str), to);
		else
			fprintf(to, "%" PRId64 " %s", l->num, pprofq_string(p, l->num_unit));
	}
	fputs("} ", to);
}

static int print_stacks(const profile_t *p, const char *type_name, bool with_labels)
{
	size_t type = type_index(p, type_name);
	struct text_lines stacks = {0};
	for (size_t i = 0; i < p->n_sample; i++) {
		char *text;
		size_t size;
		FILE *stream = pprofq_must(open_memstream(&text, &size));
		fprintf(stream, "%" PRId64 " ", value_at(p->sample[i], type));
		if (with_labels)
			print_labels(p, p->sample[i], stream);
		walk(p, p->sample[i], append_name, stream);
		fclose(stream);
		if (size && text[size - 1] == ';')
			text[size - 1] = '\0';
		lines_add(&stacks, text);
	}
	return lines_print(&stacks, false);
}

static int print_comments(const profile_t *p)
{
	for (size_t i = 0; i < p->n_comment; i++)
		puts(pprofq_string(p, p->comment[i]));
	return 0;
}

static int print_mappings(const profile_t *p)
{
	for (size_t i = 0; i < p->n_mapping; i++) {
		const mapping_t *m = p->mapping[i];
		char flags[64] = "";
		snprintf(flags, sizeof(flags), "%s%s%s%s", m->has_functions ? ",functions" : "",
			 m->has_filenames ? ",filenames" : "", m->has_line_numbers ? ",lines" : "",
			 m->has_inline_frames ? ",inlines" : "");
		const char *build_id = pprofq_string(p, m->build_id);
		printf("%" PRIu64 " %#" PRIx64 "-%#" PRIx64 " %#" PRIx64 " %s %s %s\n", m->id,
		       m->memory_start, m->memory_limit, m->file_offset, *flags ? flags + 1 : "-",
		       *build_id ? build_id : "-", pprofq_string(p, m->filename));
	}
	return 0;
}

static int check(const profile_t *p)
{
	pprofq_check(p);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		pprofq_die(2, "usage: pprofq FILE "
			      "types|total|leaf|has|frames|comments|stacks|labels|mappings|check ...");
	profile_t *p = pprofq_open(argv[1]);
	const char *question = argv[2];
	int status = 2;
	if (!strcmp(question, "types") && argc == 3)
		status = print_types(p);
	else if (!strcmp(question, "total") && argc == 4)
		status = print_sum(p, NULL, argv[3], false);
	else if (!strcmp(question, "leaf") && argc == 5)
		status = print_sum(p, argv[3], argv[4], true);
	else if (!strcmp(question, "has") && argc == 5)
		status = print_sum(p, argv[3], argv[4], false);
	else if (!strcmp(question, "frames") && argc == 3)
		status = print_frames(p);
	else if (!strcmp(question, "comments") && argc == 3)
		status = print_comments(p);
	else if (!strcmp(question, "stacks") && argc == 4)
		status = print_stacks(p, argv[3], false);
	else if (!strcmp(question, "labels") && (argc == 3 || argc == 4))
		status = print_stacks(p, argc == 4 ? argv[3] : "0", true);
	else if (!strcmp(question, "mappings") && argc == 3)
		status = print_mappings(p);
	else if (!strcmp(question, "check") && argc == 3)
		status = check(p);
	else
		pprofq_die(2, "no such question: %s", question);
	pprofq_close(p);
	if (fflush(stdout) || ferror(stdout))
		pprofq_die(2, "standard output: %s", strerror(errno));
	return status;
}
