/* SPDX-License-Identifier: MIT */
/*
 * Every sample is one entry (name, values); sorting by name and adding up neighbours
 * makes the functions, sorting by a measure their order.  Values are flat: charged to
 * the innermost function, as `go tool pprof -top` lists them first.
 *
 * Context: command line.
 */
#include "summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"
#include "memory.h"
#include "pprof_file.h"
#include "profile_kind.h"

#define TOP_FUNCTIONS 5
#define FILES_SHOWN 10
#define LOSSES_SHOWN 5
#define NAME_BYTES 512
#define LINE_BYTES 1024

static void push_line(char ***lines, size_t *count, size_t *capacity, const char *line)
{
	*lines = grown(*lines, *count, capacity, sizeof **lines);
	(*lines)[(*count)++] = allocated(strdup(line));
}

/* What a file name NAME.PID.KIND[.N].pb.gz says.  The kind is PROFILE_KIND_COUNT if it is none. */
struct file_kind {
	enum profile_kind kind;
	bool is_snapshot; /* has a number */
};

static struct file_kind kind_of(const char *file_name)
{
	struct file_kind found = {.kind = PROFILE_KIND_COUNT};
	const char *end = strstr(file_name, ".pb.gz");
	const char *at = end ? end : file_name;
	while (at > file_name && at[-1] >= '0' && at[-1] <= '9')
		at--;
	if (at < end && at > file_name && at[-1] == '.') {
		found.is_snapshot = true;
		end = at - 1;
	}
	for (int kind = 0; end && kind < PROFILE_KIND_COUNT; kind++) {
		size_t length = strlen(profile_kinds[kind].name);
		const char *name = end - length;
		if (name > file_name && name[-1] == '.' &&
		    memcmp(name, profile_kinds[kind].name, length) == 0)
			found.kind = (enum profile_kind)kind;
	}
	return found;
}

static void format_bytes(int64_t bytes, char *text, size_t text_bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double value = (double)bytes;
	size_t unit = 0;
	while ((value >= 1024 || value <= -1024) && unit + 1 < ARRAY_LENGTH(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(text, text_bytes, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
}

static void format_measure(enum summary_measure measure, int64_t value, char *text, size_t text_bytes)
{
	if (measure == SUMMARY_INUSE_BYTES || measure == SUMMARY_ALLOC_BYTES)
		format_bytes(value, text, text_bytes);
	else
		snprintf(text, text_bytes, "%.2f s", (double)value / 1e9);
}

/* A comment without a leading '#' tells of something lost or left out. */
static void add_losses(struct summary *summary, const char *file_name,
		       const Perftools__Profiles__Profile *profile)
{
	for (size_t i = 0; i < profile->n_comment; i++) {
		const char *comment = pprof_file_string(profile, profile->comment[i]);
		char line[LINE_BYTES];
		if (comment[0] == '#' || comment[0] == '\0')
			continue;
		snprintf(line, sizeof line, "%s: %s", file_name, comment);
		push_line(&summary->losses, &summary->loss_count, &summary->loss_capacity, line);
	}
}

/* What is in a file, in a few words. */
static void describe(enum profile_kind kind, const Perftools__Profiles__Profile *profile,
		     const int64_t *totals, const int64_t *counts, char *text, size_t text_bytes)
{
	char inuse[32], alloc[32];
	int64_t first = 0;
	for (size_t i = 0; i < profile->n_sample; i++)
		first += profile->sample[i]->n_value ? profile->sample[i]->value[0] : 0;
	switch (kind) {
	case PROFILE_CPU:
		snprintf(text, text_bytes, "%" PRId64 " samples, %.2f s of CPU time", counts[SUMMARY_CPU_NS],
			 (double)totals[SUMMARY_CPU_NS] / 1e9);
		break;
	case PROFILE_HEAP:
		format_bytes(totals[SUMMARY_INUSE_BYTES], inuse, sizeof inuse);
		format_bytes(totals[SUMMARY_ALLOC_BYTES], alloc, sizeof alloc);
		snprintf(text, text_bytes, "%s in use, %s allocated", inuse, alloc);
		break;
	case PROFILE_BLOCK:
		snprintf(text, text_bytes, "%" PRId64 " waits, %.2f s waited", counts[SUMMARY_BLOCK_NS],
			 (double)totals[SUMMARY_BLOCK_NS] / 1e9);
		break;
	case PROFILE_MUTEX:
		snprintf(text, text_bytes, "%" PRId64 " waits, %.2f s that others waited",
			 counts[SUMMARY_MUTEX_NS], (double)totals[SUMMARY_MUTEX_NS] / 1e9);
		break;
	case PROFILE_THREADCREATE:
		snprintf(text, text_bytes, "%" PRId64 " threads started", first);
		break;
	case PROFILE_THREADS:
		snprintf(text, text_bytes, "%" PRId64 " threads", first);
		break;
	case PROFILE_KIND_COUNT:
		snprintf(text, text_bytes, "%zu samples", profile->n_sample);
		break;
	}
}

void summary_add(struct summary *summary, const char *file_name, const Perftools__Profiles__Profile *profile)
{
	static const struct {
		enum profile_kind kind;
		const char *value_type, *count_type;
	} measures[SUMMARY_MEASURE_COUNT] = {
		[SUMMARY_CPU_NS] = {PROFILE_CPU, "cpu", "samples"},
		[SUMMARY_INUSE_BYTES] = {PROFILE_HEAP, "inuse_space", "inuse_objects"},
		[SUMMARY_ALLOC_BYTES] = {PROFILE_HEAP, "alloc_space", "alloc_objects"},
		[SUMMARY_BLOCK_NS] = {PROFILE_BLOCK, "delay", "contentions"},
		[SUMMARY_MUTEX_NS] = {PROFILE_MUTEX, "delay", "contentions"},
	};
	int64_t totals[SUMMARY_MEASURE_COUNT] = {0}, counts[SUMMARY_MEASURE_COUNT] = {0};
	int value_index[SUMMARY_MEASURE_COUNT], count_index[SUMMARY_MEASURE_COUNT];
	struct file_kind file = kind_of(file_name);

	for (int m = 0; m < SUMMARY_MEASURE_COUNT; m++) {
		bool is_here = measures[m].kind == file.kind;
		value_index[m] = is_here ? pprof_file_value_index(profile, measures[m].value_type) : -1;
		count_index[m] = is_here ? pprof_file_value_index(profile, measures[m].count_type) : -1;
	}
	for (size_t i = 0; i < profile->n_sample; i++) {
		const Perftools__Profiles__Sample *sample = profile->sample[i];
		char name[NAME_BYTES];
		if (sample->n_value != profile->n_sample_type)
			continue;
		struct summary_entry entry = {0};
		for (int m = 0; m < SUMMARY_MEASURE_COUNT; m++) {
			entry.values[m] = value_index[m] < 0 ? 0 : sample->value[value_index[m]];
			totals[m] += entry.values[m];
			counts[m] += count_index[m] < 0 ? 0 : sample->value[count_index[m]];
		}
		if (file.is_snapshot)
			continue;
		pprof_file_leaf_name(profile, sample, name, sizeof name);
		entry.name = allocated(strdup(name));
		summary->entries = grown(summary->entries, summary->entry_count, &summary->entry_capacity,
					 sizeof *summary->entries);
		summary->entries[summary->entry_count++] = entry;
	}

	char line[LINE_BYTES], description[128];
	describe(file.kind, profile, totals, counts, description, sizeof description);
	snprintf(line, sizeof line, "%-40s %s", file_name, description);
	push_line(&summary->files, &summary->file_count, &summary->file_capacity, line);
	add_losses(summary, file_name, profile);
	if (file.is_snapshot)
		return;
	for (int m = 0; m < SUMMARY_MEASURE_COUNT; m++) {
		summary->has[m] = summary->has[m] || value_index[m] >= 0;
		summary->totals[m] += totals[m];
		summary->counts[m] += counts[m];
	}
}

void summary_add_trace(struct summary *summary, const char *file_name, int64_t bytes)
{
	const char *suffix = strrchr(file_name, '.');
	bool is_go = suffix && strcmp(suffix, ".trace") == 0;
	char line[LINE_BYTES], size[32];
	format_bytes(bytes, size, sizeof size);
	snprintf(line, sizeof line, "%-40s %s, for %s", file_name, size,
		 is_go ? "go tool trace" : "ui.perfetto.dev and cprof trace");
	push_line(&summary->files, &summary->file_count, &summary->file_capacity, line);
	summary->trace_count++;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct summary_entry *)a)->name, ((const struct summary_entry *)b)->name);
}

/* Largest first; equal ones by name, so that the output is the same every time. */
static int compare_values(const void *a, const void *b, void *measure)
{
	const struct summary_entry *x = a, *y = b;
	int m = *(const enum summary_measure *)measure;
	if (x->values[m] != y->values[m])
		return x->values[m] < y->values[m] ? 1 : -1;
	return strcmp(x->name, y->name);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One entry for each function. */
static void merge_entries(struct summary *summary)
{
	size_t kept = 0;
	if (summary->entry_count == 0)
		return;
	qsort(summary->entries, summary->entry_count, sizeof *summary->entries, compare_names);
	for (size_t i = 1; i < summary->entry_count; i++) {
		struct summary_entry *into = &summary->entries[kept], *from = &summary->entries[i];
		if (strcmp(into->name, from->name) != 0) {
			summary->entries[++kept] = *from;
			continue;
		}
		for (int m = 0; m < SUMMARY_MEASURE_COUNT; m++)
			into->values[m] += from->values[m];
		free(from->name);
	}
	summary->entry_count = kept + 1;
}

static void print_total(const struct summary *summary, enum summary_measure measure, const char *title,
			const char *count_unit, FILE *to)
{
	char text[32];
	format_measure(measure, summary->totals[measure], text, sizeof text);
	fprintf(to, "%s %s in %" PRId64 " %s\n", title, text, summary->counts[measure], count_unit);
}

static void print_top(struct summary *summary, enum summary_measure measure, FILE *to)
{
	char text[32];
	int64_t total = summary->totals[measure];
	if (summary->entry_count == 0)
		return;
	qsort_r(summary->entries, summary->entry_count, sizeof *summary->entries, compare_values, &measure);
	for (size_t i = 0; i < summary->entry_count && i < TOP_FUNCTIONS; i++) {
		const struct summary_entry *entry = &summary->entries[i];
		if (entry->values[measure] <= 0)
			break;
		format_measure(measure, entry->values[measure], text, sizeof text);
		fprintf(to, "  %12s %5.1f%%  %s\n", text,
			100.0 * (double)entry->values[measure] / (double)total, entry->name);
	}
}

static void print_lines(char **lines, size_t count, size_t shown, const char *more, FILE *to)
{
	for (size_t i = 0; i < count && i < shown; i++)
		fprintf(to, "  %s\n", lines[i]);
	if (count > shown)
		fprintf(to, "  and %zu more %s\n", count - shown, more);
}

void summary_print(struct summary *summary, const char *directory, FILE *to)
{
	/* Waits are charged to the functions that wait or unlock: their callers would be of interest. */
	static const struct {
		const char *title, *count_unit;
		enum summary_measure measure;
		bool has_top;
	} parts[] = {
		{"CPU time", "samples", SUMMARY_CPU_NS, true},
		{"in use at the end", "blocks", SUMMARY_INUSE_BYTES, true},
		{"allocated", "blocks", SUMMARY_ALLOC_BYTES, true},
		{"waited", "waits", SUMMARY_BLOCK_NS, false},
		{"kept others waiting", "waits", SUMMARY_MUTEX_NS, false},
	};
	size_t profile_count = summary->file_count - summary->trace_count;
	fprintf(to, "cprof: %zu %s", profile_count, profile_count == 1 ? "profile" : "profiles");
	if (summary->trace_count)
		fprintf(to, " and %zu %s", summary->trace_count,
			summary->trace_count == 1 ? "trace" : "traces");
	fprintf(to, " in %s\n", directory);
	if (summary->file_count)
		qsort(summary->files, summary->file_count, sizeof *summary->files, compare_lines);
	print_lines(summary->files, summary->file_count, FILES_SHOWN, "files", to);
	if (summary->loss_count) {
		fputs("not all is in them:\n", to);
		print_lines(summary->losses, summary->loss_count, LOSSES_SHOWN, "remarks", to);
	} else if (summary->file_count) {
		fputs("nothing lost\n", to);
	}
	merge_entries(summary);
	for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
		if (!summary->has[parts[i].measure])
			continue;
		print_total(summary, parts[i].measure, parts[i].title, parts[i].count_unit, to);
		if (parts[i].has_top)
			print_top(summary, parts[i].measure, to);
	}
}

void summary_free(struct summary *summary)
{
	for (size_t i = 0; i < summary->entry_count; i++)
		free(summary->entries[i].name);
	for (size_t i = 0; i < summary->file_count; i++)
		free(summary->files[i]);
	for (size_t i = 0; i < summary->loss_count; i++)
		free(summary->losses[i]);
	free(summary->entries);
	free(summary->files);
	free(summary->losses);
	*summary = (struct summary){0};
}
