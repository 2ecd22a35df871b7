/* SPDX-License-Identifier: MIT */
/*
 * Durations are sorted by name and length, so that a name's are a run of numbers: its
 * quantiles are places in it.  The classes of a histogram are bounded by 1, 2 and 5 times
 * the powers of ten.
 *
 * Context: command line; see trace_summary.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rate_text.h"
#include "trace_summary.h"

#define NAMES_SHOWN 12
#define BAR_COLUMNS 40

struct duration {
	const char *name;
	uint64_t ns;
	bool is_open;
};

/* The run of a name. */
struct run {
	const struct duration *first;
	size_t count; /* those that have both ends; they come first */
	size_t open;
	uint64_t total_ns;
};

static int by_name(const void *left, const void *right)
{
	const struct duration *a = left;
	const struct duration *b = right;
	int order = strcmp(a->name, b->name);
	if (!order)
		order = (int)a->is_open - (int)b->is_open;
	return order ? order : (a->ns > b->ns) - (a->ns < b->ns);
}

static int by_total(const void *left, const void *right)
{
	const struct run *a = left;
	const struct run *b = right;
	if (a->total_ns != b->total_ns)
		return a->total_ns < b->total_ns ? 1 : -1;
	return strcmp(a->first->name, b->first->name);
}

static size_t find_runs(const struct duration *durations, size_t count, struct run *out_runs)
{
	size_t runs = 0;
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || strcmp(durations[i].name, durations[i - 1].name) != 0)
			out_runs[runs++] = (struct run){.first = &durations[i]};
		struct run *run = &out_runs[runs - 1];
		if (durations[i].is_open) {
			run->open++;
			continue;
		}
		run->count++;
		run->total_ns += durations[i].ns;
	}
	qsort(out_runs, runs, sizeof *out_runs, by_total);
	return runs;
}

/* The smallest duration that so many percent of all do not exceed. */
static uint64_t quantile(const struct run *run, size_t percent)
{
	return run->first[(run->count * percent + 99) / 100 - 1].ns;
}

static uint64_t next_bound(uint64_t bound)
{
	uint64_t power = 1;
	while (bound / power >= 10)
		power *= 10;
	return bound / power == 2 ? 5 * power : 2 * bound;
}

static void print_histogram(const struct run *run, FILE *to)
{
	uint64_t bound = 1;
	size_t largest = 0;
	size_t in_class[64] = {0};
	size_t classes = 0;
	size_t at = 0;
	char text[RATE_TEXT_BYTES];
	while (run->first[0].ns > bound)
		bound = next_bound(bound);
	uint64_t first_bound = bound;
	for (; at < run->count && classes < 64; bound = next_bound(bound)) {
		size_t from = at;
		while (at < run->count && run->first[at].ns <= bound)
			at++;
		in_class[classes++] = at - from;
		largest = at - from > largest ? at - from : largest;
	}
	bound = first_bound;
	for (size_t i = 0; i < classes; i++, bound = next_bound(bound)) {
		size_t columns = (in_class[i] * BAR_COLUMNS + largest - 1) / largest;
		rate_text_ns(bound, text);
		fprintf(to, "    up to %7s  %8zu%s%.*s\n", text, in_class[i], columns ? "  " : "",
			(int)columns, "########################################");
	}
}

static void print_run(const struct run *run, FILE *to)
{
	static const struct {
		const char *name;
		size_t percent;
	} quantiles[] = {{"median", 50}, {"90 %", 90}, {"99 %", 99}, {"longest", 100}};
	char text[RATE_TEXT_BYTES];
	fprintf(to, "  %s: %zu", run->first->name, run->count);
	if (run->open)
		fprintf(to, ", and %zu without begin or end in the trace", run->open);
	if (run->count) {
		amount_text_ns(run->total_ns / run->count, text);
		fprintf(to, "; mean %s", text);
		for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
			amount_text_ns(quantile(run, quantiles[i].percent), text);
			fprintf(to, ", %s %s", quantiles[i].name, text);
		}
	}
	fputc('\n', to);
	if (run->count > 1)
		print_histogram(run, to);
}

int trace_latency_print(const struct perfetto_file *file, enum perfetto_slice_kind kind, const char *title,
			FILE *to)
{
	struct duration *durations = calloc(file->slice_count + 1, sizeof *durations);
	struct run *runs = calloc(file->slice_count + 1, sizeof *runs);
	size_t count = 0;
	if (!durations || !runs) {
		free(durations);
		free(runs);
		return -ENOMEM;
	}
	for (size_t i = 0; i < file->slice_count; i++) {
		const struct perfetto_slice *slice = &file->slices[i];
		if (slice->kind == (uint32_t)kind)
			durations[count++] = (struct duration){
				slice->name, slice->end_ns - slice->begin_ns + slice->before_ns,
				slice->is_open};
	}
	qsort(durations, count, sizeof *durations, by_name);
	size_t run_count = find_runs(durations, count, runs);
	if (run_count)
		fprintf(to, "\n%s\n", title);
	for (size_t i = 0; i < run_count && i < NAMES_SHOWN; i++)
		print_run(&runs[i], to);
	if (run_count > NAMES_SHOWN)
		fprintf(to, "  and %zu more names\n", run_count - NAMES_SHOWN);
	free(durations);
	free(runs);
	return 0;
}
