/* SPDX-License-Identifier: MIT */
/*
 * Each dump numbers the objects of the process anew.  Frames of the former dump are
 * translated by where the objects lie; one that is gone by now keeps its module, under
 * the next free number.
 *
 * Context: collector, main thread; see http_threads.h.
 */
#include "http_threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_same_module(const struct profile_module *a, const struct profile_module *b)
{
	return a->bias == b->bias && a->text_start == b->text_start && a->text_end == b->text_end &&
	       strcmp(a->path, b->path) == 0;
}

/* The number of a former module among those of now; added if it is not there. */
static uint32_t translate_id(struct profile *profile, struct profile_module *modules,
			     const struct profile_module *former)
{
	for (size_t i = 0; i < profile->module_count; i++)
		if (is_same_module(&modules[i], former))
			return modules[i].id;
	struct profile_module *added = &modules[profile->module_count];
	uint32_t id = profile->module_count ? modules[profile->module_count - 1].id + 1 : 1;
	if (id >= CPROF_MODULE_NONE)
		return CPROF_MODULE_NONE;
	*added = *former;
	added->id = id;
	profile->module_count++;
	return id;
}

static uint64_t translate(struct profile *profile, struct profile_module *modules,
			  const struct thread_dump *before, uint64_t frame)
{
	uint32_t id = cprof_frame_module(frame);
	const struct profile_module *former =
		id == CPROF_MODULE_NONE ? NULL
					: profile_find_module(before->modules, before->module_count, id);
	if (!former)
		return frame;
	return cprof_frame(translate_id(profile, modules, former), cprof_frame_offset(frame)) |
	       (frame & CPROF_FRAME_EXACT);
}

int http_threads_subtract(const struct thread_dump *before, const struct thread_dump *now,
			  struct http_threads_difference *out_difference)
{
	struct http_threads_difference d = {.profile = thread_dump_profile(now)};
	size_t frame_count = 0;
	size_t sample_count = before->sample_count + now->sample_count;
	for (size_t i = 0; i < before->sample_count; i++)
		frame_count += before->samples[i].frame_count;
	d.modules = calloc(before->module_count + d.profile.module_count + 1, sizeof *d.modules);
	d.samples = calloc(sample_count + 1, sizeof *d.samples);
	d.frames = calloc(frame_count + 1, sizeof *d.frames);
	if (!d.modules || !d.samples || !d.frames) {
		http_threads_difference_fini(&d);
		return -ENOMEM;
	}
	if (d.profile.module_count)
		memcpy(d.modules, d.profile.modules, d.profile.module_count * sizeof *d.modules);
	if (now->sample_count)
		memcpy(d.samples, now->samples, now->sample_count * sizeof *d.samples);
	uint64_t *frames = d.frames;
	for (size_t i = 0; i < before->sample_count; i++) {
		struct profile_sample *sample = &d.samples[now->sample_count + i];
		*sample = before->samples[i];
		for (uint32_t f = 0; f < sample->frame_count; f++)
			frames[f] = translate(&d.profile, d.modules, before, sample->frames[f]);
		sample->frames = frames;
		sample->values[0] = -sample->values[0];
		frames += sample->frame_count;
	}
	d.profile.modules = d.modules;
	d.profile.samples = d.samples;
	d.profile.sample_count = sample_count;
	d.profile.duration_ns = now->time_ns > before->time_ns ? now->time_ns - before->time_ns : 0;
	*out_difference = d;
	return 0;
}

void http_threads_difference_fini(struct http_threads_difference *difference)
{
	free(difference->modules);
	free(difference->samples);
	free(difference->frames);
	*difference = (struct http_threads_difference){0};
}
