/* SPDX-License-Identifier: MIT */
/*
 * Addresses are return addresses, as Go prints them: whoever reads them goes one back.
 * An interrupted instruction is therefore printed as if it had been one byte further.
 *
 * Context: collector, main thread; see profile_text.h.
 */
#include "profile_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "image.h"
#include "perf_map.h"
#include "u64_map.h"
#include "window.h"

#define SAMPLES_PER_TICK 64
#define NS_PER_S 1000000000

enum { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE };
enum { CONTENTIONS, DELAY };

/* ---- frames ---------------------------------------------------------------------------------- */

/* The address as pprof wants it in a text.  0: a frame that is not shown. */
static uint64_t shown_address(const struct profile *profile, uint64_t frame)
{
	uint32_t id = cprof_frame_module(frame);
	uint64_t address = cprof_frame_offset(frame) + ((frame & CPROF_FRAME_EXACT) != 0);
	const struct profile_module *module =
		id == CPROF_MODULE_NONE ? NULL
					: profile_find_module(profile->modules, profile->module_count, id);
	if (module && module->flags & CPROF_MODULE_IS_CPROF)
		return 0;
	return module ? module->bias + address : address;
}

static void write_line(struct text_buffer *text, uint64_t address, const char *name, uint64_t offset,
		       const char *file, uint32_t line)
{
	text_buffer_format(text, "#\t%#" PRIx64 "\t%s+0x%" PRIx64, address, name, offset);
	if (file)
		text_buffer_format(text, "\t%s:%" PRIu32, file, line);
	text_buffer_string(text, "\n");
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

void profile_text_frame(const struct profile *profile, uint64_t frame, struct text_buffer *text)
{
	struct image_line lines[IMAGE_LINES_MAX];
	uint64_t address = shown_address(profile, frame);
	uint32_t id = cprof_frame_module(frame);
	const struct profile_module *module =
		id == CPROF_MODULE_NONE ? NULL
					: profile_find_module(profile->modules, profile->module_count, id);
	size_t count = 0;
	if (!address)
		return;
	address--; /* into the call */
	if (module && module->image)
		count = image_symbolise(module->image, address - module->bias, lines, IMAGE_LINES_MAX);
	for (size_t i = 0; i < count; i++) {
		uint64_t start = image_symbol_start(module->image, address - module->bias);
		write_line(text, address, lines[i].name, address - module->bias - start, lines[i].file,
			   lines[i].line);
	}
	const char *jit = !module && profile->jit ? perf_map_find(profile->jit, address) : NULL;
	if (jit)
		write_line(text, address, jit, 0, NULL, 0);
	else if (!count && module)
		write_line(text, address, base_name(module->path), address - module->bias, NULL, 0);
	else if (!count)
		text_buffer_format(text, "#\t%#" PRIx64 "\n", address);
}

const char *profile_text_name_of(const struct profile *profile, uint64_t frame)
{
	struct image_line lines[IMAGE_LINES_MAX];
	uint64_t address = shown_address(profile, frame);
	uint32_t id = cprof_frame_module(frame);
	const struct profile_module *module =
		id == CPROF_MODULE_NONE ? NULL
					: profile_find_module(profile->modules, profile->module_count, id);
	if (!address)
		return NULL;
	address--; /* into the call */
	if (!module)
		return profile->jit ? perf_map_find(profile->jit, address) : NULL;
	if (module->image && image_symbolise(module->image, address - module->bias, lines, IMAGE_LINES_MAX) &&
	    lines[0].name)
		return lines[0].name;
	return base_name(module->path);
}

const char *profile_text_name_at(const struct profile *profile, uint64_t address)
{
	struct image_line lines[IMAGE_LINES_MAX];
	for (size_t i = 0; i < profile->module_count; i++) {
		const struct profile_module *module = &profile->modules[i];
		if (address < module->text_start || address >= module->text_end || !module->image)
			continue;
		size_t count = image_symbolise(module->image, address - module->bias, lines, IMAGE_LINES_MAX);
		return count ? lines[count - 1].name : NULL;
	}
	return profile->jit ? perf_map_find(profile->jit, address) : NULL;
}

static void write_stack(const struct profile *profile, const struct profile_sample *sample,
			struct text_buffer *text)
{
	for (uint32_t i = 0; i < sample->frame_count; i++) {
		uint64_t address = shown_address(profile, sample->frames[i]);
		if (address)
			text_buffer_format(text, " %#" PRIx64, address);
	}
	text_buffer_string(text, "\n");
	for (uint32_t i = 0; i < sample->label_count; i++) {
		const struct profile_label *label = &sample->labels[i];
		text_buffer_string(text, i ? ", " : "# labels: {");
		text_buffer_quoted(text, label->key);
		text_buffer_string(text, ":");
		if (label->text)
			text_buffer_quoted(text, label->text);
		else
			text_buffer_format(text, "\"%" PRId64 "\"", label->number);
	}
	if (sample->label_count)
		text_buffer_string(text, "}\n");
	for (uint32_t i = 0; i < sample->frame_count; i++)
		profile_text_frame(profile, sample->frames[i], text);
	text_buffer_string(text, "\n");
}

/* ---- kinds ----------------------------------------------------------------------------------- */

/* 1 - exp(-x) for x >= 0, to nine digits: libm would be one more library at each start. */
static double chance_of(double x)
{
	const unsigned halvings = 12;
	if (x > 40)
		return 1;
	if (x < 1e-3)
		return x * (1 - x / 2 * (1 - x / 3));
	double y = x / (1u << halvings);
	double rest = 1 - y * (1 - y / 2 * (1 - y / 3 * (1 - y / 4)));
	for (unsigned i = 0; i < halvings; i++)
		rest *= rest;
	return 1 - rest;
}

/* Estimates -> what was sampled: the inverse of what a reader does. */
static void unscale(int64_t *count, int64_t *bytes, int64_t rate)
{
	if (*count == 0 || *bytes == 0) {
		*count = *bytes = 0;
		return;
	}
	if (rate <= 1)
		return;
	double average = (double)*bytes / (double)*count;
	double sampled = (double)*count * chance_of(average / (double)rate);
	/* A sample is at least one, and keeps the average, from which the reader finds the chance again. */
	if (sampled < 1)
		sampled = 1;
	*count = (int64_t)(sampled + 0.5);
	*bytes = (int64_t)((double)*count * average + 0.5);
}

static void write_heap_figures(struct text_buffer *text, const int64_t values[PROFILE_VALUES_MAX])
{
	text_buffer_format(text, "%" PRId64 ": %" PRId64 " [%" PRId64 ": %" PRId64 "] @",
			   values[INUSE_OBJECTS], values[INUSE_SPACE], values[ALLOC_OBJECTS],
			   values[ALLOC_SPACE]);
}

static void unscale_sample(const struct profile *profile, const struct profile_sample *sample,
			   int64_t out_values[PROFILE_VALUES_MAX])
{
	memcpy(out_values, sample->values, sizeof sample->values);
	unscale(&out_values[ALLOC_OBJECTS], &out_values[ALLOC_SPACE], profile->period);
	unscale(&out_values[INUSE_OBJECTS], &out_values[INUSE_SPACE], profile->period);
}

static void write_heap_header(const struct profile *profile, struct text_buffer *text)
{
	int64_t sums[PROFILE_VALUES_MAX] = {0};
	for (size_t i = 0; i < profile->sample_count; i++) {
		int64_t values[PROFILE_VALUES_MAX];
		unscale_sample(profile, &profile->samples[i], values);
		for (size_t v = 0; v < PROFILE_VALUES_MAX; v++)
			sums[v] += values[v];
	}
	text_buffer_string(text, "heap profile: ");
	write_heap_figures(text, sums);
	text_buffer_format(text, " heap/%" PRId64 "\n", 2 * profile->period);
}

/* What is known of Go's MemStats, all of it estimated. */
static void write_heap_trailer(const struct profile *profile, struct text_buffer *text)
{
	int64_t sums[PROFILE_VALUES_MAX] = {0};
	for (size_t i = 0; i < profile->sample_count; i++)
		for (size_t v = 0; v < PROFILE_VALUES_MAX; v++)
			sums[v] += profile->samples[i].values[v];
	text_buffer_format(text,
			   "\n# runtime.MemStats\n# Alloc = %" PRId64 "\n# TotalAlloc = %" PRId64
			   "\n# Mallocs = %" PRId64 "\n# Frees = %" PRId64 "\n# HeapAlloc = %" PRId64
			   "\n# HeapObjects = %" PRId64 "\n",
			   sums[INUSE_SPACE], sums[ALLOC_SPACE], sums[ALLOC_OBJECTS],
			   sums[ALLOC_OBJECTS] - sums[INUSE_OBJECTS], sums[INUSE_SPACE], sums[INUSE_OBJECTS]);
}

static void write_header(const struct profile *profile, const char *name, struct text_buffer *text)
{
	int64_t total = 0;
	switch (profile->kind) {
	case PROFILE_HEAP:
		write_heap_header(profile, text);
		break;
	case PROFILE_BLOCK:
	case PROFILE_MUTEX:
		/* A cycle is a nanosecond; counts are scaled already, so the period is 1. */
		text_buffer_format(text, "--- %s:\ncycles/second=%d\n",
				   profile->kind == PROFILE_BLOCK ? "contention" : "mutex", NS_PER_S);
		if (profile->kind == PROFILE_MUTEX)
			text_buffer_string(text, "sampling period=1\n");
		break;
	default:
		for (size_t i = 0; i < profile->sample_count; i++)
			total += profile->samples[i].values[0];
		text_buffer_format(text, "%s profile: total %" PRId64 "\n", name, total);
	}
}

static void write_figures(const struct profile *profile, const struct profile_sample *sample,
			  struct text_buffer *text)
{
	int64_t values[PROFILE_VALUES_MAX];
	switch (profile->kind) {
	case PROFILE_HEAP:
		unscale_sample(profile, sample, values);
		write_heap_figures(text, values);
		break;
	case PROFILE_BLOCK:
	case PROFILE_MUTEX:
		text_buffer_format(text, "%" PRId64 " %" PRId64 " @", sample->values[DELAY],
				   sample->values[CONTENTIONS]);
		break;
	default:
		text_buffer_format(text, "%" PRId64 " @", sample->values[0]);
	}
}

/* What matters most comes first: memory in use, delay, number. */
static int64_t importance(enum profile_kind kind, const struct profile_sample *sample)
{
	if (kind == PROFILE_HEAP)
		return sample->values[INUSE_SPACE];
	return sample->values[kind == PROFILE_BLOCK || kind == PROFILE_MUTEX ? DELAY : 0];
}

struct ranked {
	int64_t importance;
	struct profile_sample sample;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->importance != y->importance)
		return x->importance > y->importance ? -1 : 1;
	return x->sample.frames < y->sample.frames ? -1 : 1;
}

/* The samples, equal ones added up, in order.  Their number; -1: no memory. */
static ssize_t rank(const struct profile *profile, struct ranked *ranked)
{
	struct u64_map index = {0};
	ssize_t count = 0;
	for (size_t i = 0; i < profile->sample_count && count >= 0; i++) {
		const struct profile_sample *sample = &profile->samples[i];
		uint64_t hash = window_hash_sample(sample);
		uint32_t at;
		if (u64_map_find(&index, hash, &at)) {
			for (size_t v = 0; v < PROFILE_VALUES_MAX; v++)
				ranked[at].sample.values[v] += sample->values[v];
			continue;
		}
		ranked[count].sample = *sample;
		count = u64_map_put(&index, hash, (uint32_t)count) ? -1 : count + 1;
	}
	u64_map_fini(&index);
	for (ssize_t i = 0; i < count; i++)
		ranked[i].importance = importance(profile->kind, &ranked[i].sample);
	if (count > 0)
		qsort(ranked, (size_t)count, sizeof *ranked, compare_ranked);
	return count;
}

void profile_text_write(const struct profile *profile, const char *name, void (*tick)(void *), void *tick_arg,
			struct text_buffer *text)
{
	struct ranked *ranked = calloc(profile->sample_count + 1, sizeof *ranked);
	ssize_t count = ranked ? rank(profile, ranked) : -1;
	text->is_failed = text->is_failed || count < 0;
	write_header(profile, name, text);
	for (ssize_t i = 0; i < count && !text->is_failed; i++) {
		write_figures(profile, &ranked[i].sample, text);
		write_stack(profile, &ranked[i].sample, text);
		if (tick && i % SAMPLES_PER_TICK == 0)
			tick(tick_arg);
	}
	if (profile->kind == PROFILE_HEAP)
		write_heap_trailer(profile, text);
	free(ranked);
}
