/* SPDX-License-Identifier: MIT */
/*
 * What is in the rings is left there: the next tick brings it into the totals.
 *
 * Context: collector, main thread.
 */
#include "process_info.h"

#include <string.h>
#include <sys/stat.h>

#include "clock.h"

static void add_bucket(const struct cprof_total_bucket *bucket, struct cprof_process *process)
{
	for (uint32_t slot = 0; slot < CPROF_BUCKET_SLOTS; slot++) {
		/* Relaxed: a figure for people; a sum may lag behind its key. */
		uint64_t key = load_relaxed(&bucket->key[slot]);
		uint32_t kind = cprof_total_key_kind(key);
		if (key == 0 || kind >= CPROF_KIND_COUNT)
			continue;
		const struct cprof_sums *halves = &bucket->sums[slot];
		process->weights[kind] += load_relaxed(&halves->producer_weight) +
					  load_relaxed(&halves->collector_weight);
		process->values[kind] += load_relaxed(&halves->producer_value) +
					 load_relaxed(&halves->collector_value);
	}
}

/* Buckets in pages that were never written are passed over: see segment_reader_next_data(). */
static void add_totals(const struct segment_reader *reader, struct cprof_process *process)
{
	const struct cprof_levels *levels = &reader->geometry.totals;
	const uint64_t bucket_bytes = sizeof(struct cprof_total_bucket);
	/* Relaxed: a hint, raised after the first key is in, so one level more is looked at. */
	uint32_t used = load_relaxed(&segment_reader_control(reader)->total_levels_used);
	uint32_t level = used < levels->level_count ? used : levels->level_count - 1;
	uint64_t offset = reader->geometry.totals_offset;
	uint64_t table_end = offset +
			     (levels->first_bucket[level] + levels->bucket_mask[level] + 1) * bucket_bytes;
	uint64_t start;
	uint64_t end;
	for (uint64_t at = offset; segment_reader_next_data(reader, at, table_end, &start, &end); at = end) {
		uint64_t last = (end - offset + bucket_bytes - 1) / bucket_bytes;
		for (uint64_t b = (start - offset + bucket_bytes - 1) / bucket_bytes; b < last; b++)
			add_bucket(segment_reader_total(reader, (uint32_t)b), process);
	}
}

static uint32_t count_threads(const struct segment_reader *reader)
{
	uint32_t count = 0;
	/* Relaxed: threads come and go. */
	uint32_t used = load_relaxed(&segment_reader_control(reader)->threads_used);
	for (uint32_t i = 0; i < used && i < reader->geometry.thread_count; i++)
		count += load_relaxed(&segment_reader_thread(reader, i)->state) == CPROF_THREAD_LIVE;
	return count;
}

uid_t process_info_uid(const struct client *client)
{
	struct stat st;
	return fstat(client->reader.fd, &st) ? (uid_t)-1 : st.st_uid;
}

void process_info_fill(const struct client *client, struct cprof_process *out_process)
{
	const struct cprof_control *control = segment_reader_control(&client->reader);
	uint64_t started = control->start_monotonic_ns;
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct stat st;
	memset(out_process, 0, sizeof *out_process);
	out_process->pid = client->handle.peer_pid > 0 ? (uint32_t)client->handle.peer_pid : 0;
	out_process->own_pid = client->handle.pid;
	out_process->uid = (uint32_t)process_info_uid(client);
	out_process->thread_count = count_threads(&client->reader);
	out_process->running_ns = now > started ? now - started : 0;
	/* Relaxed: settings and counts order nothing. */
	out_process->rates = (struct cprof_rates){
		.which = CPROF_RATE_ALL,
		.cpu_hz = load_relaxed(&control->cpu_hz),
		.heap_rate_bytes = load_relaxed(&control->heap_rate_bytes),
		.block_rate_ns = load_relaxed(&control->block_rate_ns),
		.mutex_fraction = load_relaxed(&control->mutex_fraction),
		.trace = load_relaxed(&control->trace),
	};
	out_process->heap_state = control->heap_state;
	out_process->pid_namespace = stat("/proc/self/ns/pid", &st) ? 0 : (uint32_t)st.st_ino;
	out_process->segment_bytes = client->reader.geometry.segment_bytes;
	if (fstat(client->reader.fd, &st) == 0)
		out_process->segment_used_bytes = (uint64_t)st.st_blocks * 512;
	add_totals(&client->reader, out_process);
	for (uint32_t i = 0; i < CPROF_COUNTER_COUNT; i++)
		out_process->counters[i] = load_relaxed(&control->counters[i]);
	memcpy(out_process->name, client->writer.name, sizeof out_process->name);
}
