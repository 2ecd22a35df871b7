/* SPDX-License-Identifier: MIT */
/*
 * `cprof list`: the live profiled processes, one a line.
 *
 * Context: command line.
 */
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd.h"
#include "collector_peer.h"
#include "cprof_compiler.h"
#include "rate_text.h"

#define CELL_BYTES 64

enum column {
	COLUMN_PID,
	COLUMN_NAME,
	COLUMN_USER,
	COLUMN_TIME,
	COLUMN_THREADS,
	COLUMN_CPU_HZ,
	COLUMN_HEAP_RATE,
	COLUMN_BLOCK_RATE,
	COLUMN_MUTEX_FRACTION,
	COLUMN_CPU,
	COLUMN_ALLOCATED,
	COLUMN_WAITED,
	COLUMN_HELD,
	COLUMN_STARTED,
	COLUMN_SEGMENT,
	COLUMN_COUNT
};

static const char *const titles[COLUMN_COUNT] = {
	"PID",       "NAME",      "USER",       "TIME",           "THREADS",
	"CPU_HZ",    "HEAP_RATE", "BLOCK_RATE", "MUTEX_FRACTION", "CPU",
	"ALLOCATED", "BLOCK",     "MUTEX",      "STARTED",        "SEGMENT",
};

/* What may be missing in the profiles, as it is called here. */
static const struct {
	enum cprof_counter counter;
	const char *name;
} losses[] = {
	{CPROF_LOST_CPU_SAMPLES, "cpu_samples"},
	{CPROF_LOST_ALLOC_BLOCKS, "allocations"},
	{CPROF_LOST_LIVE_BLOCKS, "blocks_in_use"},
	{CPROF_LOST_BLOCK_WAITS, "block_waits"},
	{CPROF_LOST_MUTEX_WAITS, "mutex_waits"},
	{CPROF_WAITS_UNTRACKED, "waits_without_holder"},
	{CPROF_LOST_THREAD_STARTS, "thread_starts"},
	{CPROF_STACKS_TRUNCATED, "stacks_truncated"},
	{CPROF_STACKS_BROKEN, "stacks_broken"},
	{CPROF_STACKS_MISSING, "stacks_missing"},
	{CPROF_MODULES_FULL, "frames_without_module"},
	{CPROF_THREADS_NO_SLOT, "threads_without_slot"},
	{CPROF_THREADS_NO_TIMER, "threads_without_timer"},
	{CPROF_RECORDS_TORN, "records_torn"},
};

struct row {
	char cells[COLUMN_COUNT][CELL_BYTES];
	char lost[512];
};

struct list {
	struct row *rows;
	size_t count;
};

static void print_help(void)
{
	puts("usage: cprof list\n\n"
	     "Shows the live profiled processes of yours (of all users, to root): their rates, what\n"
	     "their samples stand for so far (events/amount), the memory that holds it, and what was\n"
	     "lost.  BLOCK is what they waited, MUTEX what others waited for them, STARTED threads.");
}

/* "events/amount", or "-" if there is none and none is looked for. */
static void put_samples(const struct cprof_process *process, enum cprof_kind kind, bool is_on,
			void (*amount)(uint64_t, char *), char cell[CELL_BYTES])
{
	char count_text[RATE_TEXT_BYTES], amount_text[RATE_TEXT_BYTES];
	uint64_t count = process->weights[kind] / CPROF_WEIGHT_ONE;
	amount_text_count(count, count_text);
	amount(process->values[kind], amount_text);
	if (count || is_on)
		snprintf(cell, CELL_BYTES, "%s/%s", count_text, amount_text);
	else
		snprintf(cell, CELL_BYTES, "-");
}

static void put_lost(const struct cprof_process *process, char *lost, size_t capacity)
{
	size_t length = 0;
	for (size_t i = 0; i < ARRAY_LENGTH(losses) && length < capacity; i++) {
		uint64_t count = process->counters[losses[i].counter];
		if (count)
			length += (size_t)snprintf(lost + length, capacity - length, "%s%s=%llu",
						   length ? "," : "", losses[i].name,
						   (unsigned long long)count);
	}
	if (length == 0)
		snprintf(lost, capacity, "-");
}

static void put_user(uid_t uid, char cell[CELL_BYTES])
{
	const struct passwd *user = getpwuid(uid);
	if (user)
		snprintf(cell, CELL_BYTES, "%s", user->pw_name);
	else
		snprintf(cell, CELL_BYTES, "%u", uid);
}

/* In parentheses: the number that another PID namespace than ours has for it. */
static void put_pid(const struct cprof_process *process, char cell[CELL_BYTES])
{
	struct stat st;
	uint32_t ours = stat("/proc/self/ns/pid", &st) ? 0 : (uint32_t)st.st_ino;
	if (process->pid && process->pid_namespace == ours)
		snprintf(cell, CELL_BYTES, "%u", process->pid);
	else
		snprintf(cell, CELL_BYTES, "(%u)", process->own_pid);
}

static void put_row(const struct cprof_process *process, struct row *row)
{
	const struct cprof_rates *rates = &process->rates;
	char used[RATE_TEXT_BYTES], whole[RATE_TEXT_BYTES];
	put_pid(process, row->cells[COLUMN_PID]);
	snprintf(row->cells[COLUMN_NAME], CELL_BYTES, "%.*s", (int)sizeof process->name - 1, process->name);
	put_user(process->uid, row->cells[COLUMN_USER]);
	amount_text_ns(process->running_ns, row->cells[COLUMN_TIME]);
	snprintf(row->cells[COLUMN_THREADS], CELL_BYTES, "%u", process->thread_count);
	snprintf(row->cells[COLUMN_CPU_HZ], CELL_BYTES, "%u", rates->cpu_hz);
	rate_text_bytes(rates->heap_rate_bytes, row->cells[COLUMN_HEAP_RATE]);
	rate_text_ns(rates->block_rate_ns, row->cells[COLUMN_BLOCK_RATE]);
	snprintf(row->cells[COLUMN_MUTEX_FRACTION], CELL_BYTES, "%u", rates->mutex_fraction);
	put_samples(process, CPROF_KIND_CPU, rates->cpu_hz, amount_text_ns, row->cells[COLUMN_CPU]);
	put_samples(process, CPROF_KIND_ALLOC, rates->heap_rate_bytes, amount_text_bytes,
		    row->cells[COLUMN_ALLOCATED]);
	put_samples(process, CPROF_KIND_BLOCK, rates->block_rate_ns, amount_text_ns,
		    row->cells[COLUMN_WAITED]);
	put_samples(process, CPROF_KIND_MUTEX, rates->mutex_fraction, amount_text_ns,
		    row->cells[COLUMN_HELD]);
	amount_text_count(process->weights[CPROF_KIND_THREADCREATE] / CPROF_WEIGHT_ONE,
			  row->cells[COLUMN_STARTED]);
	amount_text_bytes(process->segment_used_bytes, used);
	rate_text_bytes(process->segment_bytes, whole);
	snprintf(row->cells[COLUMN_SEGMENT], CELL_BYTES, "%s/%s", used, whole);
	put_lost(process, row->lost, sizeof row->lost);
}

static void take_process(enum cprof_answer_what what, const void *bytes, size_t size, void *argument)
{
	struct list *list = argument;
	struct cprof_process process;
	if (what != CPROF_ANSWER_PROCESS || size != sizeof process)
		return;
	memcpy(&process, bytes, sizeof process);
	struct row *grown = reallocarray(list->rows, list->count + 1, sizeof *grown);
	if (!grown)
		return;
	list->rows = grown;
	put_row(&process, &list->rows[list->count++]);
}

static int by_pid(const void *a, const void *b)
{
	long x = atol(((const struct row *)a)->cells[COLUMN_PID]);
	long y = atol(((const struct row *)b)->cells[COLUMN_PID]);
	return (x > y) - (x < y);
}

static void print_cell(const char *text, int width, bool is_left)
{
	int padding = width - (int)strlen(text);
	printf("%*s", is_left ? 0 : padding, "");
	collector_print(stdout, text, strlen(text), false);
	printf("%*s", is_left ? padding + 1 : 1, "");
}

static void print_list(const struct list *list)
{
	int widths[COLUMN_COUNT];
	for (int c = 0; c < COLUMN_COUNT; c++) {
		widths[c] = (int)strlen(titles[c]);
		for (size_t r = 0; r < list->count; r++)
			if ((int)strlen(list->rows[r].cells[c]) > widths[c])
				widths[c] = (int)strlen(list->rows[r].cells[c]);
	}
	for (int c = 0; c < COLUMN_COUNT; c++)
		print_cell(titles[c], widths[c], c == COLUMN_NAME || c == COLUMN_USER);
	puts("LOSSES");
	for (size_t r = 0; r < list->count; r++) {
		for (int c = 0; c < COLUMN_COUNT; c++)
			print_cell(list->rows[r].cells[c], widths[c], c == COLUMN_NAME || c == COLUMN_USER);
		puts(list->rows[r].lost);
	}
}

int cmd_list(int argc, char **argv)
{
	struct cprof_command command = {.what = CPROF_COMMAND_LIST};
	struct list list = {0};
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return EXIT_SUCCESS;
	}
	if (argc > 1) {
		fprintf(stderr, "cprof list: %s: accepted: cprof list\n", argv[1]);
		return EXIT_FAILURE;
	}
	collector_ask_all(&command, take_process, &list);
	if (list.count) {
		qsort(list.rows, list.count, sizeof *list.rows, by_pid);
		print_list(&list);
	} else {
		fputs("cprof list: no profiled process of yours is running\n", stderr);
	}
	free(list.rows);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
