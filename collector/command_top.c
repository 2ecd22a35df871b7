/* SPDX-License-Identifier: MIT */
/*
 * Samples are added up by the name of the innermost function; where that is one that
 * only waits or allocates, by those that led to it too, since they are what differs.
 *
 * Context: collector, main thread.
 */
#include "command_top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile_text.h"
#include "text_buffer.h"
#include "u64_map.h"

#define KINDS (1u << PROFILE_CPU | 1u << PROFILE_HEAP | 1u << PROFILE_BLOCK | 1u << PROFILE_MUTEX)
#define ROWS_MAX 7
#define CHAIN_MAX 3
#define CHAIN_BYTES 160
#define SAMPLES_PER_TICK 256
#define NS_PER_S 1e9

/* What each part of the page shows. */
static const struct part {
	enum profile_kind kind;
	unsigned chain; /* how many functions of a stack are named */
	size_t value;   /* by which it is sorted */
	const char *title;
	const char *off; /* while it records nothing */
} parts[] = {
	{PROFILE_CPU, 1, 1, "CPU time", "off (CPROF_CPU_HZ)"},
	{PROFILE_HEAP, CHAIN_MAX, 1, "allocation", "off (cprof set PID heap_rate=512K)"},
	{PROFILE_BLOCK, CHAIN_MAX, 1, "waiting", "off (cprof set PID block_rate=1us)"},
	{PROFILE_MUTEX, CHAIN_MAX, 1, "keeping others waiting", "off (cprof set PID mutex_fraction=1)"},
};

struct row {
	char chain[CHAIN_BYTES];
	int64_t value;
};

/* ---- rows ------------------------------------------------------------------------------------ */

static uint64_t hash_text(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash;
}

static void name_chain(const struct profile *profile, const struct profile_sample *sample, unsigned length,
		       char out_chain[CHAIN_BYTES])
{
	size_t used = 0;
	out_chain[0] = '\0';
	for (uint32_t i = 0; i < sample->frame_count && length; i++) {
		const char *name = profile_text_name_of(profile, sample->frames[i]);
		if (!name)
			continue;
		int n = snprintf(out_chain + used, CHAIN_BYTES - used, "%s%s", used ? " < " : "", name);
		used += n > 0 ? (size_t)n : 0;
		if (used >= CHAIN_BYTES)
			break;
		length--;
	}
	if (!out_chain[0])
		snprintf(out_chain, CHAIN_BYTES, "[no name]");
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return strcmp(x->chain, y->chain);
}

/* The rows of a profile, largest first.  NULL: no memory. */
static struct row *make_rows(const struct profile *profile, const struct part *part,
			     const struct writer_moment *moment, size_t *out_count, int64_t *out_sum)
{
	struct row *rows = calloc(profile->sample_count + 1, sizeof *rows);
	struct u64_map index = {0};
	size_t count = 0;
	*out_sum = 0;
	for (size_t i = 0; rows && i < profile->sample_count; i++) {
		const struct profile_sample *sample = &profile->samples[i];
		uint32_t at;
		if (sample->values[part->value] <= 0)
			continue;
		name_chain(profile, sample, part->chain, rows[count].chain);
		uint64_t hash = hash_text(rows[count].chain);
		if (!u64_map_find(&index, hash, &at)) {
			at = (uint32_t)count;
			if (u64_map_put(&index, hash, at))
				break;
			rows[count++].value = 0;
		}
		rows[at].value += sample->values[part->value];
		*out_sum += sample->values[part->value];
		if (moment->tick && i % SAMPLES_PER_TICK == 0)
			moment->tick(moment->tick_arg);
	}
	u64_map_fini(&index);
	if (rows && count)
		qsort(rows, count, sizeof *rows, compare_rows);
	*out_count = count;
	return rows;
}

/* ---- the page -------------------------------------------------------------------------------- */

static void write_value(struct text_buffer *text, enum profile_kind kind, int64_t value, double span_s)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double each_second = (double)value / span_s;
	size_t unit = 0;
	if (kind != PROFILE_HEAP) {
		text_buffer_format(text, "%9.3f s/s", each_second / NS_PER_S);
		return;
	}
	while (each_second >= 1024 && unit + 1 < ARRAY_LENGTH(units)) {
		each_second /= 1024;
		unit++;
	}
	text_buffer_format(text, "%7.1f %s/s", each_second, units[unit]);
}

static void write_part(struct text_buffer *text, const struct part *part, struct client *client,
		       const struct aggregate *since, const struct writer_moment *moment, double span_s)
{
	struct writer_profile described;
	size_t count;
	int64_t sum;
	text_buffer_format(text, "\n%-24s", part->title);
	if (!writer_has_kind(&client->writer, since, part->kind)) {
		text_buffer_format(text, "%s\n", part->off);
		return;
	}
	window_describe(&client->top, &client->writer, since, part->kind, moment, &described);
	struct row *rows = make_rows(&described.profile, part, moment, &count, &sum);
	write_value(text, part->kind, sum, span_s);
	text_buffer_string(text, "\n");
	for (size_t i = 0; rows && i < count && i < ROWS_MAX; i++) {
		text_buffer_string(text, "  ");
		write_value(text, part->kind, rows[i].value, span_s);
		text_buffer_format(text, " %5.1f%%  %s\n", 100.0 * (double)rows[i].value / (double)sum,
				   rows[i].chain);
	}
	free(rows);
	writer_profile_fini(&described);
}

static void write_page(struct text_buffer *text, struct client *client, struct aggregate *now,
		       const struct writer_moment *moment)
{
	double span_s = (double)(moment->end_monotonic_ns - client->top.begin_monotonic_ns) / NS_PER_S;
	const struct aggregate_sums *heap = &now->sums[PROFILE_HEAP];
	text_buffer_format(text, "%s (%" PRIu32 "): %.1f s", client->writer.name, client->writer.pid, span_s);
	if (writer_has_kind(&client->writer, now, PROFILE_HEAP))
		text_buffer_format(text, ", heap %.1f MiB in %" PRIu64 " blocks",
				   (double)heap->live_value / 1048576, heap->live_weight / CPROF_WEIGHT_ONE);
	text_buffer_string(text, "\n");
	for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
		window_subtract(&client->top, parts[i].kind, now);
		write_part(text, &parts[i], client, now, moment, span_s);
	}
}

void command_top(struct command_peer *peer, struct client *client, void (*tick)(void *), void *tick_arg)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	struct text_buffer text = {0};
	struct aggregate aggregate;
	struct window next;
	if (writer_take(&client->writer, &moment, &aggregate)) {
		command_end(peer, -ENOMEM, "its figures cannot be read");
		return;
	}
	if (window_open(&client->writer, &moment, &aggregate, KINDS, &next)) {
		aggregate_free(&aggregate);
		command_end(peer, -ENOMEM, "no memory");
		return;
	}
	uint64_t age_ns = moment.end_monotonic_ns - client->top.begin_monotonic_ns;
	if (client->top.is_open && age_ns > 0 && age_ns < COMMAND_TOP_MEMORY_MS * UINT64_C(1000000))
		write_page(&text, client, &aggregate, &moment);
	aggregate_free(&aggregate);
	window_close(&client->top);
	client->top = next;
	if (text.bytes && !text.is_failed)
		command_answer_text(peer, text.bytes, text.size);
	text_buffer_free(&text);
	command_end(peer, 0, "%s", "");
}
