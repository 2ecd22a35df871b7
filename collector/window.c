/* SPDX-License-Identifier: MIT */
/*
 * A hash of 64 bits stands for a stack: among a hundred thousand of them, two are mixed
 * up once in four thousand million windows.
 *
 * Context: collector, main thread; see window.h.
 */
#include "window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "profile_kind.h"

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; text && *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return cprof_mix64(hash);
}

uint64_t window_hash_sample(const struct profile_sample *sample)
{
	uint64_t hash = cprof_mix64(sample->frame_count ^ (uint64_t)sample->stack_flags << 32);
	for (uint32_t i = 0; i < sample->frame_count; i++)
		hash = cprof_mix64(hash ^ sample->frames[i]);
	for (uint32_t i = 0; i < sample->label_count; i++) {
		const struct profile_label *label = &sample->labels[i];
		hash = hash_text(hash_text(hash, label->key), label->text);
		hash = cprof_mix64(hash ^ (uint64_t)label->number);
	}
	return hash;
}

/* ---- the begin ----------------------------------------------------------------------------- */

static int remember(const struct profile_sample *samples, size_t count, struct window_stacks *out_stacks)
{
	out_stacks->values = calloc(count ? count : 1, sizeof *out_stacks->values);
	if (!out_stacks->values || count > UINT32_MAX)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		memcpy(out_stacks->values[i], samples[i].values, sizeof out_stacks->values[i]);
		if (u64_map_put(&out_stacks->index, window_hash_sample(&samples[i]), (uint32_t)i))
			return -ENOMEM;
	}
	return 0;
}

int window_open(const struct writer *writer, const struct writer_moment *moment,
		const struct aggregate *aggregate, unsigned kinds, struct window *out_window)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	struct window window = {.is_open = true,
				.begin_realtime_ns = (int64_t)clock_ns(CLOCK_REALTIME),
				.begin_monotonic_ns = moment->end_monotonic_ns,
				.clock_ns = moment->cpu_clock.clock_ns};
	memcpy(window.sums, aggregate->sums, sizeof window.sums);
	/* Relaxed: counts order nothing. */
	for (int i = 0; i < CPROF_COUNTER_COUNT; i++)
		window.counters[i] = load_relaxed(&control->counters[i]);
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		if (!(kinds & 1u << kind))
			continue;
		int error = remember(aggregate->samples[kind], aggregate->sample_count[kind],
				     &window.stacks[kind]);
		if (error) {
			window_close(&window);
			return error;
		}
	}
	*out_window = window;
	return 0;
}

void window_open_at_start(const struct writer *writer, struct window *out_window)
{
	*out_window = (struct window){.is_open = true,
				      .begin_realtime_ns = writer->start_realtime_ns,
				      .begin_monotonic_ns = writer->start_monotonic_ns};
}

void window_close(struct window *window)
{
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		u64_map_fini(&window->stacks[kind].index);
		free(window->stacks[kind].values);
	}
	*window = (struct window){0};
}

/* ---- the end ------------------------------------------------------------------------------- */

/* What lives is told as it is at the end: as a difference it may be negative. */
static void subtract_sums(struct aggregate_sums *from, const struct aggregate_sums *what)
{
	from->weight = from->weight > what->weight ? from->weight - what->weight : 0;
	from->value = from->value > what->value ? from->value - what->value : 0;
}

void window_subtract(const struct window *window, enum profile_kind kind, struct aggregate *aggregate)
{
	const struct window_stacks *stacks = &window->stacks[kind];
	struct profile_sample *samples = aggregate->samples[kind];
	size_t value_count = profile_kinds[kind].value_count;
	size_t kept = 0;
	for (size_t i = 0; i < aggregate->sample_count[kind]; i++) {
		uint32_t before;
		bool is_changed = !u64_map_find(&stacks->index, window_hash_sample(&samples[i]), &before);
		for (size_t v = 0; !is_changed && v < value_count; v++)
			is_changed = samples[i].values[v] != stacks->values[before][v];
		if (!is_changed)
			continue;
		struct profile_sample since = samples[i];
		if (u64_map_find(&stacks->index, window_hash_sample(&since), &before))
			for (size_t v = 0; v < value_count; v++)
				since.values[v] -= stacks->values[before][v];
		samples[kept++] = since;
	}
	aggregate->sample_count[kind] = kept;
	subtract_sums(&aggregate->sums[kind], &window->sums[kind]);
}

bool window_subtract_first(const struct window *window, enum profile_kind kind, size_t value_count,
			   struct aggregate *aggregate)
{
	const struct window_stacks *stacks = &window->stacks[kind];
	struct profile_sample *samples = aggregate->samples[kind];
	bool is_changed = false;
	size_t kept = 0;
	for (size_t i = 0; i < aggregate->sample_count[kind]; i++) {
		struct profile_sample sample = samples[i];
		uint32_t before = 0;
		bool is_known = u64_map_find(&stacks->index, window_hash_sample(&sample), &before);
		bool has_value = false;
		for (size_t v = 0; v < profile_kinds[kind].value_count; v++) {
			int64_t began_with = is_known ? stacks->values[before][v] : 0;
			is_changed = is_changed || sample.values[v] != began_with;
			if (v < value_count)
				sample.values[v] -= began_with;
			has_value = has_value || sample.values[v];
		}
		if (has_value)
			samples[kept++] = sample;
	}
	aggregate->sample_count[kind] = kept;
	subtract_sums(&aggregate->sums[kind], &window->sums[kind]);
	return is_changed;
}

/* A control block with the losses since the window's begin. */
static void copy_control(const struct window *window, const struct cprof_control *control,
			 struct cprof_control *out_control)
{
	memcpy(out_control, control, sizeof *out_control);
	for (int i = 0; i < CPROF_COUNTER_COUNT; i++) {
		/* Relaxed: counts order nothing, and the copy is ours. */
		uint64_t now = load_relaxed(&control->counters[i]);
		store_relaxed(&out_control->counters[i],
			      now > window->counters[i] ? now - window->counters[i] : 0);
	}
}

void window_describe(const struct window *window, const struct writer *writer, const struct aggregate *since,
		     enum profile_kind kind, const struct writer_moment *moment,
		     struct writer_profile *out_profile)
{
	struct cprof_control control; /* 8 KB */
	struct comments_clock clock = moment->cpu_clock;
	struct profile *profile = &out_profile->profile;
	copy_control(window, segment_reader_control(writer->reader), &control);
	clock.clock_ns = clock.clock_ns > window->clock_ns ? clock.clock_ns - window->clock_ns : 0;
	writer_describe(writer, since, kind, moment, out_profile);
	comments_build(kind, &control, &since->sums[kind], &clock, &out_profile->comments);
	profile->comment_count = out_profile->comments.count;
	if (moment->end_monotonic_ns > window->begin_monotonic_ns)
		profile->duration_ns = (int64_t)(moment->end_monotonic_ns - window->begin_monotonic_ns);
	else
		profile->duration_ns = 0;
	/* As Go does: a CPU profile says when it began, a difference when it was taken. */
	profile->time_ns = window->begin_realtime_ns + (kind == PROFILE_CPU ? 0 : profile->duration_ns);
}
