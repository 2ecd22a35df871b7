/* SPDX-License-Identifier: MIT */
/*
 * All tables are made in one way: slices are sorted by what is to be added up, and
 * neighbours are added.
 *
 * Context: command line; see trace_summary.h.
 */
#include "trace_summary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "rate_text.h"
#include "trace_perfetto.h"

#define CAUSES_SHOWN 4
#define THREADS_SHOWN 40
#define WAITS_SHOWN 10
#define FRAMES_SHOWN 8
#define PAIRS_SHOWN 12
#define WHO_BYTES 96

/* Waits that are added up: those of a thread by cause, or by who ended them. */
struct sum {
	uint32_t thread;
	uint32_t waker;
	const char *cause;
	uint64_t ns;
	uint64_t count;
};

static int by_thread(const void *left, const void *right)
{
	const struct sum *a = left;
	const struct sum *b = right;
	int order = compare_u64(a->thread, b->thread);
	return order ? order : strcmp(a->cause, b->cause);
}

static int by_pair(const void *left, const void *right)
{
	const struct sum *a = left;
	const struct sum *b = right;
	int order = compare_u64(a->waker, b->waker);
	return order ? order : by_thread(left, right);
}

static int by_time(const void *left, const void *right)
{
	const struct sum *a = left;
	const struct sum *b = right;
	int order = compare_u64(b->ns, a->ns);
	return order ? order : by_pair(left, right);
}

/* Adds up neighbours that `is_order` calls equal.  Returns how many are left. */
static size_t add_up(struct sum *sums, size_t count, int (*order)(const void *, const void *))
{
	size_t left = 0;
	qsort(sums, count, sizeof *sums, order);
	for (size_t i = 0; i < count; i++) {
		if (left && order(&sums[left - 1], &sums[i]) == 0) {
			sums[left - 1].ns += sums[i].ns;
			sums[left - 1].count += sums[i].count;
		} else {
			sums[left++] = sums[i];
		}
	}
	return left;
}

static bool is_outer_wait(const struct perfetto_slice *slice)
{
	return slice->kind == PERFETTO_WAIT && slice->outer == PERFETTO_NONE;
}

static size_t take_waits(const struct perfetto_file *file, struct sum *out_sums)
{
	size_t count = 0;
	for (size_t i = 0; i < file->slice_count; i++) {
		const struct perfetto_slice *slice = &file->slices[i];
		if (is_outer_wait(slice))
			out_sums[count++] = (struct sum){slice->thread, slice->waker, slice->name,
							 slice->end_ns - slice->begin_ns, 1};
	}
	return count;
}

static const char *who(const struct perfetto_file *file, uint32_t thread, char out_text[WHO_BYTES])
{
	const struct perfetto_thread_info *info = &file->threads[thread];
	snprintf(out_text, WHO_BYTES, "%s%s%" PRIu32, info->name, info->name[0] ? " " : "", info->tid);
	return out_text;
}

/* ---- threads --------------------------------------------------------------------------- */

struct thread_row {
	uint32_t thread;
	uint64_t blocked_ns;
	struct sum *causes; /* the longest first */
	size_t cause_count;
};

static int by_blocked(const void *left, const void *right)
{
	const struct thread_row *a = left;
	const struct thread_row *b = right;
	int order = compare_u64(b->blocked_ns, a->blocked_ns);
	return order ? order : compare_u64(a->thread, b->thread);
}

static void print_thread(const struct perfetto_file *file, const struct thread_row *row, FILE *to)
{
	const struct perfetto_thread_info *info = &file->threads[row->thread];
	uint64_t life_ns = info->end_ns - info->begin_ns;
	char name[WHO_BYTES];
	char running[RATE_TEXT_BYTES];
	char blocked[RATE_TEXT_BYTES];
	amount_text_ns(life_ns > row->blocked_ns ? life_ns - row->blocked_ns : 0, running);
	amount_text_ns(row->blocked_ns, blocked);
	fprintf(to, "  %-28s %8s %8s", who(file, row->thread, name), running, blocked);
	for (size_t i = 0; i < row->cause_count && i < CAUSES_SHOWN; i++) {
		amount_text_ns(row->causes[i].ns, blocked);
		fprintf(to, "%s%s %s (%" PRIu64 ")", i ? ", " : "  ", row->causes[i].cause, blocked,
			row->causes[i].count);
	}
	fputs(row->cause_count > CAUSES_SHOWN ? ", ...\n" : "\n", to);
}

static int print_threads(const struct perfetto_file *file, struct sum *sums, size_t count, FILE *to)
{
	struct thread_row *rows = calloc(file->thread_count + 1, sizeof *rows);
	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < file->thread_count; i++)
		rows[i].thread = i;
	count = add_up(sums, count, by_thread);
	for (size_t i = 0; i < count; i++) {
		struct thread_row *row = &rows[sums[i].thread];
		if (!row->causes)
			row->causes = &sums[i];
		row->cause_count++;
		row->blocked_ns += sums[i].ns;
	}
	for (size_t i = 0; i < file->thread_count; i++)
		if (rows[i].causes)
			qsort(rows[i].causes, rows[i].cause_count, sizeof *sums, by_time);
	qsort(rows, file->thread_count, sizeof *rows, by_blocked);
	fprintf(to, "\nThreads: time not known to be spent waiting, time spent waiting, for what\n");
	for (size_t i = 0; i < file->thread_count && i < THREADS_SHOWN; i++)
		print_thread(file, &rows[i], to);
	if (file->thread_count > THREADS_SHOWN)
		fprintf(to, "  and %zu more threads\n", file->thread_count - THREADS_SHOWN);
	free(rows);
	return 0;
}

/* ---- the longest waits ------------------------------------------------------------------------ */

static uint64_t duration(const struct perfetto_slice *slice)
{
	return slice->end_ns - slice->begin_ns + slice->before_ns;
}

static void print_stack(const struct perfetto_file *file, uint32_t index, FILE *to)
{
	if (index == PERFETTO_NONE)
		return;
	const struct perfetto_callstack *stack = &file->stacks[index];
	for (size_t i = 0; i < stack->count && i < FRAMES_SHOWN; i++) {
		const struct perfetto_code *code = &file->frames[stack->frames[stack->count - 1 - i]];
		fprintf(to, "               %s", code->function);
		if (code->file) {
			const char *slash = strrchr(code->file, '/');
			fprintf(to, " %s:%" PRIu32, slash ? slash + 1 : code->file, code->line);
		}
		fputc('\n', to);
	}
	if (stack->count > FRAMES_SHOWN)
		fprintf(to, "               and %zu more\n", stack->count - FRAMES_SHOWN);
}

/* A stack that was printed before is only named. */
static void print_wait(const struct perfetto_file *file, const struct perfetto_slice *const *waits,
		       size_t index, FILE *to)
{
	const struct perfetto_slice *slice = waits[index];
	size_t first = 0;
	char text[RATE_TEXT_BYTES];
	char name[WHO_BYTES];
	amount_text_ns(duration(slice), text);
	fprintf(to, "  %2zu. %8s  %s, %s", index + 1, text, who(file, slice->thread, name), slice->name);
	if (slice->object)
		fprintf(to, slice->is_address ? " 0x%" PRIx64 : " %" PRIu64, slice->object);
	amount_text_ns(slice->begin_ns - file->begin_ns, text);
	if (slice->before_ns)
		fputs(", since before the trace", to);
	else
		fprintf(to, ", after %s", text);
	if (slice->waker != PERFETTO_NONE)
		fprintf(to, ", woken by %s", who(file, slice->waker, name));
	fputs(slice->is_open ? ", not over" : "", to);
	while (waits[first]->stack != slice->stack)
		first++;
	if (first < index && slice->stack != PERFETTO_NONE)
		fprintf(to, "; stack as of %zu.", first + 1);
	fputc('\n', to);
	if (first == index)
		print_stack(file, slice->stack, to);
}

/* Keeps the longest of all in order: one that is longer moves the others down. */
static void print_longest(const struct perfetto_file *file, FILE *to)
{
	const struct perfetto_slice *longest[WAITS_SHOWN];
	size_t count = 0;
	for (size_t i = 0; i < file->slice_count; i++) {
		const struct perfetto_slice *slice = &file->slices[i];
		if (!is_outer_wait(slice))
			continue;
		size_t place = count < WAITS_SHOWN ? count++ : WAITS_SHOWN;
		for (; place && duration(longest[place - 1]) < duration(slice); place--)
			if (place < WAITS_SHOWN)
				longest[place] = longest[place - 1];
		if (place < WAITS_SHOWN)
			longest[place] = slice;
	}
	if (count)
		fputs("\nLongest waits\n", to);
	for (size_t i = 0; i < count; i++)
		print_wait(file, longest, i, to);
}

/* ---- who wakes whom ----------------------------------------------------------------------------- */

static void print_pairs(const struct perfetto_file *file, struct sum *sums, size_t count, FILE *to)
{
	char waker[WHO_BYTES];
	char woken[WHO_BYTES];
	char text[RATE_TEXT_BYTES];
	size_t known = 0;
	for (size_t i = 0; i < count; i++)
		if (sums[i].waker != PERFETTO_NONE)
			sums[known++] = sums[i];
	known = add_up(sums, known, by_pair);
	qsort(sums, known, sizeof *sums, by_time);
	if (known)
		fputs("\nWho let whom wait: waits ended by a thread, how many, how long they were together\n",
		      to);
	for (size_t i = 0; i < known && i < PAIRS_SHOWN; i++) {
		amount_text_ns(sums[i].ns, text);
		fprintf(to, "  %8" PRIu64 " %8s  %s -> %s, %s\n", sums[i].count, text,
			who(file, sums[i].waker, waker), who(file, sums[i].thread, woken), sums[i].cause);
	}
	if (known > PAIRS_SHOWN)
		fprintf(to, "  and %zu more pairs\n", known - PAIRS_SHOWN);
}

/* ---- all --------------------------------------------------------------------------------------------- */

static void print_head(const struct perfetto_file *file, size_t wait_count, FILE *to)
{
	char text[RATE_TEXT_BYTES];
	amount_text_ns(file->end_ns - file->begin_ns, text);
	fprintf(to, "%s, process %" PRIu64 ": %s, %zu threads, %zu waits\n", file->process_name, file->pid,
		text, file->thread_count, wait_count);
	for (size_t i = 0; i < file->slice_count; i++) {
		const struct perfetto_slice *slice = &file->slices[i];
		if (slice->kind != PERFETTO_GAP)
			continue;
		if (strcmp(slice->name, PERFETTO_MISSING_THREADS) == 0) {
			fprintf(to, "LOST: %" PRIu64 " threads, for which no slot was free (CPROF_MEM)\n",
				slice->object);
			continue;
		}
		amount_text_ns(slice->end_ns - slice->begin_ns, text);
		if (slice->object)
			fprintf(to, "LOST: %" PRIu64 " events in %s", slice->object, text);
		else
			fprintf(to, "LOST: all that could not be written in %s", text);
		amount_text_ns(slice->begin_ns - file->begin_ns, text);
		fprintf(to, ", after %s\n", text);
	}
}

int trace_summary_print(const struct perfetto_file *file, FILE *to)
{
	struct sum *sums = calloc(file->slice_count + 1, sizeof *sums);
	if (!sums)
		return -ENOMEM;
	size_t wait_count = take_waits(file, sums);
	print_head(file, wait_count, to);
	int error = print_threads(file, sums, wait_count, to);
	if (!error) {
		print_longest(file, to);
		print_pairs(file, sums, take_waits(file, sums), to);
		error = trace_latency_print(file, PERFETTO_TASK, "Tasks", to);
	}
	if (!error)
		error = trace_latency_print(file, PERFETTO_REGION, "Regions", to);
	free(sums);
	return error;
}
