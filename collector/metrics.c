/* SPDX-License-Identifier: MIT */
/*
 * process_* is what every Prometheus client library reports, under the same names.  The
 * rest says in its HELP whether it is counted or estimated from samples.  Nothing has a
 * label whose values are without bound.
 *
 * Context: collector, main thread; see metrics.h.
 */
#include "metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cprof_version.h"
#include "metrics_merge.h"
#include "metrics_process.h"
#include "process_info.h"

#define NS_PER_S 1e9

/* ---- the format ------------------------------------------------------------------------------ */

static void family(struct text_buffer *text, const char *name, const char *type, const char *help)
{
	text_buffer_format(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* `labels`: {name="value"} or "". */
static void count(struct text_buffer *text, const char *name, const char *labels, uint64_t value)
{
	text_buffer_format(text, "%s%s %" PRIu64 "\n", name, labels, value);
}

/* The collector's locale is C: the point is a point. */
static void number(struct text_buffer *text, const char *name, const char *labels, double value)
{
	if (isinf(value))
		text_buffer_format(text, "%s%s %s\n", name, labels, value > 0 ? "+Inf" : "-Inf");
	else
		text_buffer_format(text, "%s%s %.10g\n", name, labels, value);
}

static void one_count(struct text_buffer *text, const char *name, const char *type, const char *help,
		      uint64_t value)
{
	family(text, name, type, help);
	count(text, name, "", value);
}

static void one_number(struct text_buffer *text, const char *name, const char *type, const char *help,
		       double value)
{
	family(text, name, type, help);
	number(text, name, "", value);
}

/* ---- families -------------------------------------------------------------------------------- */

static void write_process(struct text_buffer *text, const struct metrics_process *process)
{
	one_number(text, "process_cpu_seconds_total", "counter",
		   "Total user and system CPU time spent in seconds.", process->cpu_s);
	if (process->has_limits)
		one_number(text, "process_max_fds", "gauge", "Maximum number of open file descriptors.",
			   process->fds_max);
	if (process->has_fds)
		one_count(text, "process_open_fds", "gauge", "Number of open file descriptors.",
			  process->open_fds);
	family(text, "process_page_faults_total", "counter", "Page faults; major ones had to read.");
	count(text, "process_page_faults_total", "{type=\"minor\"}", process->minor_faults);
	count(text, "process_page_faults_total", "{type=\"major\"}", process->major_faults);
	one_count(text, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
		  process->resident_bytes);
	if (process->has_memory) {
		one_count(text, "cprof_resident_anonymous_bytes", "gauge",
			  "Of the resident memory what belongs to no file: heap, stacks, and what was freed "
			  "and not "
			  "given back.",
			  process->anonymous_bytes);
		one_count(text, "cprof_swap_bytes", "gauge", "Memory that is swapped out.",
			  process->swap_bytes);
	}
	one_number(text, "process_start_time_seconds", "gauge",
		   "Start time of the process since unix epoch in seconds.", process->start_time_s);
	one_count(text, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
		  process->virtual_bytes);
	if (process->has_limits)
		one_number(text, "process_virtual_memory_max_bytes", "gauge",
			   "Maximum amount of virtual memory available in bytes.",
			   process->virtual_max_bytes);
}

static void write_switches(struct text_buffer *text, const struct metrics_switches *switches)
{
	static const char name[] = "process_context_switches_total";
	family(text, name, "counter",
	       "Context switches, counted; those of a thread between the last scrape and its end are "
	       "missing.");
	count(text, name, "{type=\"voluntary\"}", switches->voluntary);
	count(text, name, "{type=\"involuntary\"}", switches->involuntary);
}

static void write_threads(struct text_buffer *text, const struct cprof_process *process, uint64_t live)
{
	one_count(text, "cprof_threads", "gauge", "Threads that exist now.", live);
	one_count(text, "cprof_threads_created_total", "counter",
		  "Threads that the process has had, its first one too, counted.",
		  process->counters[CPROF_THREADS_STARTED]);
}

static void write_cpu(struct text_buffer *text, const struct cprof_process *process)
{
	one_count(text, "cprof_cpu_samples_total", "counter", "CPU samples taken, counted.",
		  process->weights[CPROF_KIND_CPU] / CPROF_WEIGHT_ONE);
	one_number(text, "cprof_cpu_sampled_seconds_total", "counter", "CPU time that the samples stand for.",
		   (double)process->values[CPROF_KIND_CPU] / NS_PER_S);
	one_count(text, "cprof_cpu_profile_rate_hertz", "gauge",
		  "CPU samples for each second of CPU time and thread; 0: off.", process->rates.cpu_hz);
}

static uint64_t whole(uint64_t weight)
{
	return weight / CPROF_WEIGHT_ONE;
}

static uint64_t difference(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static void write_heap(struct text_buffer *text, const struct aggregate_sums *heap)
{
	one_count(text, "cprof_heap_inuse_bytes", "gauge",
		  "Bytes asked for and not freed, estimated from samples (exact at rate 1).",
		  heap->live_value);
	one_count(text, "cprof_heap_inuse_objects", "gauge", "Blocks not freed, estimated from samples.",
		  whole(heap->live_weight));
	one_count(text, "cprof_heap_alloc_bytes_total", "counter",
		  "Bytes asked for so far, estimated from samples.", heap->value);
	one_count(text, "cprof_heap_free_bytes_total", "counter",
		  "Bytes freed so far, estimated from samples.", difference(heap->value, heap->live_value));
	one_count(text, "cprof_heap_mallocs_total", "counter",
		  "Blocks allocated so far, estimated from samples.", whole(heap->weight));
	one_count(text, "cprof_heap_frees_total", "counter", "Blocks freed so far, estimated from samples.",
		  whole(difference(heap->weight, heap->live_weight)));
}

/* Prometheus wants each bucket to hold those before it too. */
static void write_malloc_time(struct text_buffer *text, const struct cprof_control *control)
{
	static const char name[] = "cprof_malloc_duration_seconds";
	uint64_t calls = 0;
	family(text, name, "histogram",
	       "How long calls of malloc and calloc take, estimated from samples; stands still at heap rates "
	       "below 4096 bytes.");
	for (uint32_t i = 0; i < CPROF_MALLOC_TIME_BUCKETS; i++) {
		calls += load_relaxed(&control->malloc_calls[i]); /* a count orders nothing */
		if (i == CPROF_MALLOC_TIME_BUCKETS - 1)
			text_buffer_format(text, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, calls);
		else
			text_buffer_format(text, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name,
					   (double)cprof_malloc_time_bound_ns(i) / NS_PER_S, calls);
	}
	text_buffer_format(text, "%s_sum %.10g\n%s_count %" PRIu64 "\n", name,
			   (double)load_relaxed(&control->malloc_ns) / NS_PER_S, name, calls);
}

static void write_contention(struct text_buffer *text, const struct cprof_process *process)
{
	const uint64_t *weights = process->weights;
	const uint64_t *values = process->values;
	one_count(
		text, "cprof_block_events_total", "counter",
		"Waits of threads for locks, conditions, semaphores and each other, estimated from samples; "
		"stands still while the block profile is off.",
		whole(weights[CPROF_KIND_BLOCK]));
	one_number(text, "cprof_block_wait_seconds_total", "counter", "How long these waits took.",
		   (double)values[CPROF_KIND_BLOCK] / NS_PER_S);
	one_count(text, "cprof_mutex_contentions_total", "counter",
		  "Waits for a lock that another thread held, estimated from samples; stands still while the "
		  "mutex profile is off.",
		  whole(weights[CPROF_KIND_MUTEX]));
	one_number(text, "cprof_mutex_wait_seconds_total", "counter", "How long these waits took.",
		   (double)values[CPROF_KIND_MUTEX] / NS_PER_S);
	one_number(text, "cprof_block_profile_rate_seconds", "gauge",
		   "Waits of this length are all recorded, shorter ones by chance; 0: off.",
		   (double)process->rates.block_rate_ns / NS_PER_S);
	one_count(text, "cprof_mutex_profile_fraction", "gauge",
		  "One of so many contentions is recorded; 0: off.", process->rates.mutex_fraction);
}

/* Counters of the segment under one name, told apart by a label. */
struct labelled {
	const char *labels;
	enum cprof_counter counter;
};

static void write_counters(struct text_buffer *text, const char *name, const char *help,
			   const struct labelled *rows, size_t row_count, const struct cprof_process *process)
{
	family(text, name, "counter", help);
	for (size_t i = 0; i < row_count; i++)
		count(text, name, rows[i].labels, process->counters[rows[i].counter]);
}

static void write_losses(struct text_buffer *text, const struct cprof_process *process)
{
	static const struct labelled lost[] = {
		{"{profile=\"cpu\"}", CPROF_LOST_CPU_SAMPLES},
		{"{profile=\"heap\"}", CPROF_LOST_ALLOC_BLOCKS},
		{"{profile=\"block\"}", CPROF_LOST_BLOCK_WAITS},
		{"{profile=\"mutex\"}", CPROF_LOST_MUTEX_WAITS},
		{"{profile=\"threadcreate\"}", CPROF_LOST_THREAD_STARTS},
	};
	static const struct labelled incomplete[] = {
		{"{reason=\"truncated\"}", CPROF_STACKS_TRUNCATED},
		{"{reason=\"broken\"}", CPROF_STACKS_BROKEN},
		{"{reason=\"missing\"}", CPROF_STACKS_MISSING},
	};
	static const struct labelled full[] = {
		{"{table=\"stacks\"}", CPROF_STACK_TABLE_FULL},
		{"{table=\"totals\"}", CPROF_TOTALS_FULL},
		{"{table=\"live\"}", CPROF_LOST_LIVE_BLOCKS},
		{"{table=\"modules\"}", CPROF_MODULES_FULL},
		{"{table=\"threads\"}", CPROF_THREADS_NO_SLOT},
		{"{table=\"waiters\"}", CPROF_WAITS_UNTRACKED},
		{"{table=\"labels\"}", CPROF_LABELS_LOST},
	};
	write_counters(text, "cprof_samples_lost_total",
		       "Events that are missing from a profile, estimated where they were sampled.", lost,
		       ARRAY_LENGTH(lost), process);
	write_counters(text, "cprof_stacks_incomplete_total",
		       "Samples whose stack is not whole: too deep, could not be followed, or had no room.",
		       incomplete, ARRAY_LENGTH(incomplete), process);
	write_counters(text, "cprof_table_full_total",
		       "Entries that found no room in a table of the segment; CPROF_MEM makes room.", full,
		       ARRAY_LENGTH(full), process);
}

static void write_trace(struct text_buffer *text, const struct client *client,
			const struct cprof_process *process)
{
	const struct cprof_control *control = segment_reader_control(&client->reader);
	static const char name[] = "cprof_trace_active";
	family(text, name, "gauge", "Whether an execution trace is recorded, and what for; 0: not.");
	count(text, name, "{mode=\"flight\"}", (process->rates.trace & CPROF_TRACE_FLIGHT) != 0);
	count(text, name, "{mode=\"stream\"}", (process->rates.trace & CPROF_TRACE_STREAM) != 0);
	one_count(text, "cprof_trace_chunks_total", "counter",
		  "Chunks of the trace that threads asked for, of up to 126 events each.",
		  load_relaxed(&control->trace_claims)); /* a count orders nothing */
	one_count(text, "cprof_trace_events_lost_total", "counter",
		  "Events that are missing from the trace, counted.",
		  process->counters[CPROF_LOST_TRACE_EVENTS]);
	one_count(text, "cprof_trace_gaps_total", "counter",
		  "Spans of time that are missing from a trace that is streamed.", client->trace.gap_count);
}

static void write_segment(struct text_buffer *text, const struct cprof_process *process)
{
	one_count(text, "cprof_segment_bytes", "gauge",
		  "Memory that is shared between the process and the collector.",
		  process->segment_used_bytes);
	one_count(text, "cprof_segment_max_bytes", "gauge", "What that may grow to (CPROF_MEM).",
		  process->segment_bytes);
	one_count(text, "cprof_profile_sample_rate_bytes", "gauge",
		  "Mean of bytes between heap samples; 0: off.", process->rates.heap_rate_bytes);
}

/* ---- of the tree ----------------------------------------------------------------------------- */

static double seconds_of(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void write_self(struct text_buffer *text, const struct metrics_tree *tree)
{
	struct rusage usage;
	struct metrics_process self;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		one_number(text, "cprof_profiler_cpu_seconds_total", "counter",
			   "CPU time of the collector, which serves all processes of the tree.",
			   seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
	if (metrics_process_read(getpid(), &self))
		one_count(text, "cprof_profiler_resident_memory_bytes", "gauge",
			  "Resident memory of the collector.", self.resident_bytes);
	one_count(text, "cprof_profile_requests_active", "gauge",
		  "Profiles with seconds= that are being taken over HTTP now.", tree->watch_count);
	one_count(text, "cprof_processes", "gauge", "Live processes of the tree that are profiled.",
		  tree->process_count);
	family(text, "cprof_build_info", "gauge", "The version of cprof.");
	count(text, "cprof_build_info", "{version=\"" CPROF_VERSION "\"}", 1);
}

static void write_push(struct text_buffer *text, const struct push *push)
{
	struct push_counts counts;
	push_count(push, &counts);
	one_count(text, "cprof_push_profiles_total", "counter",
		  "Profiles that the server of CPROF_PUSH has taken.", counts.sent);
	one_count(text, "cprof_push_bytes_total", "counter", "The size of these.", counts.sent_bytes);
	one_count(text, "cprof_push_failures_total", "counter", "Attempts to send that failed.",
		  counts.failures);
	family(text, "cprof_push_dropped_total", "counter",
	       "Profiles that were not sent: too many waited, or the server refused them.");
	count(text, "cprof_push_dropped_total", "{reason=\"full\"}", counts.dropped[PUSH_DROP_FULL]);
	count(text, "cprof_push_dropped_total", "{reason=\"refused\"}", counts.dropped[PUSH_DROP_REFUSED]);
	one_count(text, "cprof_push_queue_profiles", "gauge", "Profiles that wait to be sent.",
		  counts.queued);
	one_count(text, "cprof_push_queue_bytes", "gauge", "The memory that they take, at most 32 MB.",
		  counts.queued_bytes);
}

/* ---- together --------------------------------------------------------------------------------- */

static void write_client(struct client *client, void (*tick)(void *), void *tick_arg,
			 struct text_buffer *text)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	struct metrics_process of_kernel;
	struct cprof_process process;
	struct aggregate aggregate = {0};
	bool is_known = metrics_process_read(client->handle.peer_pid, &of_kernel);
	/* Drains: process_info_fill() then finds in the totals what was in the rings. */
	bool has_heap = writer_take(&client->writer, &moment, &aggregate) == 0;
	process_info_fill(client, &process);
	if (is_known)
		write_process(text, &of_kernel);
	if (metrics_switches_read(&client->switches, client->handle.peer_pid))
		write_switches(text, &client->switches);
	write_threads(text, &process, is_known ? of_kernel.thread_count : process.thread_count);
	write_cpu(text, &process);
	if (has_heap && process.heap_state == CPROF_HEAP_ON)
		write_heap(text, &aggregate.sums[PROFILE_HEAP]);
	if (process.heap_state == CPROF_HEAP_ON)
		write_malloc_time(text, segment_reader_control(&client->reader));
	write_contention(text, &process);
	write_losses(text, &process);
	write_trace(text, client, &process);
	write_segment(text, &process);
	aggregate_free(&aggregate);
}

static void write_tree(struct text_buffer *text, const struct metrics_tree *tree)
{
	write_self(text, tree);
	if (tree->push)
		write_push(text, tree->push);
}

/* ---- public ---------------------------------------------------------------------------------- */

void metrics_write(struct client *client, const struct metrics_tree *tree, void (*tick)(void *),
		   void *tick_arg, struct text_buffer *text)
{
	write_client(client, tick, tick_arg, text);
	write_tree(text, tree);
}

static unsigned count_clients(const struct client *client)
{
	unsigned all = 0;
	for (; client; client = client->next)
		all++;
	return all;
}

static void free_parts(struct metrics_part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(parts[i].labels);
		free(parts[i].text);
	}
	free(parts);
}

void metrics_write_all(struct client *clients, const struct metrics_tree *tree, void (*tick)(void *),
		       void *tick_arg, struct text_buffer *text)
{
	struct metrics_part *parts = calloc(count_clients(clients) + 1u, sizeof *parts);
	size_t part_count = 0;
	for (struct client *client = clients; client && parts; client = client->next) {
		struct text_buffer of_one = {0};
		if (client->end_monotonic_ns)
			continue;
		write_client(client, tick, tick_arg, &of_one);
		struct metrics_part *part = &parts[part_count++];
		part->text = text_buffer_take(&of_one);
		part->labels = metrics_merge_labels(client->writer.pid, client->writer.name);
		text->is_failed |= !part->text || !part->labels;
	}
	text->is_failed |= !parts;
	if (!text->is_failed)
		metrics_merge(parts, part_count, text);
	free_parts(parts, part_count);
	write_tree(text, tree);
}
