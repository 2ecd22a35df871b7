/* SPDX-License-Identifier: MIT */
/*
 * Objects first, then all threads as quickly as can be, then names: the slow part, of
 * which the process notices nothing.
 *
 * Context: collector, main thread.
 */
#include "thread_dump.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "arena.h"
#include "clock.h"
#include "perf_map.h"
#include "thread_text.h"

#define COMMENTS_MAX 16

struct thread_dump_memory {
	struct arena arena;
};

/* A dump while it is made. */
struct work {
	const struct thread_dump_source *source;
	void (*tick)(void *);
	void *tick_arg;
	struct remote_memory *memory;
	struct remote_objects objects;
	struct thread_readings readings;
	struct dump_modules modules;
	struct thread_wait *waits;
	uint32_t circle_count;
	uint64_t monotonic_ns;
	struct thread_dump dump;
};

/* ---- comments ------------------------------------------------------------------------------ */

static __attribute__((format(printf, 2, 3))) void comment(struct work *work, const char *format, ...)
{
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (length < 0 || work->dump.comment_count == COMMENTS_MAX)
		return;
	const char *copy = arena_copy(&work->dump.memory->arena, text, strlen(text));
	if (copy)
		work->dump.comments[work->dump.comment_count++] = copy;
}

/* How many threads lack a full stack for the same reason as the one at `first`; 0: said already. */
static size_t count_alike(const struct thread_readings *readings, size_t first)
{
	size_t count = 0;
	for (size_t i = 0; i < readings->count; i++) {
		const struct thread_reading *reading = &readings->items[i];
		if (reading->how != readings->items[first].how ||
		    reading->error != readings->items[first].error)
			continue;
		if (i < first)
			return 0;
		count++;
	}
	return count;
}

static void comment_missing(struct work *work)
{
	const struct thread_readings *readings = &work->readings;
	size_t cut = 0;
	bool has_unwinder = true;
	for (size_t i = 0; i < readings->count; i++) {
		const struct thread_reading *reading = &readings->items[i];
		has_unwinder = has_unwinder && reading->end != REMOTE_END_NO_UNWINDER;
		bool has_stack = reading->how != THREAD_HOW_NONE;
		bool is_forbidden = reading->error == -EPERM || reading->error == -EACCES;
		cut += has_stack && !is_forbidden && reading->end != REMOTE_END_FIRST_FRAME &&
		       reading->end != REMOTE_END_FRAMES_MAX;
		if ((has_stack && !is_forbidden) || work->dump.comment_count >= COMMENTS_MAX - 2)
			continue;
		size_t count = count_alike(readings, i);
		if (count)
			comment(work, "%s of %zu of %zu threads: %s%s",
				has_stack ? "nothing but the published wait" : "no stack", count,
				readings->count, thread_text_error(reading->error),
				is_forbidden ? " (another user's process, one that is not dumpable, or "
					       "kernel.yama.ptrace_scope)"
					     : "");
	}
	if (cut)
		comment(work, "the stacks of %zu of %zu threads are not complete%s", cut, readings->count,
			has_unwinder ? "" : ": libunwind is not installed");
	if (work->dump.comment_count == 0)
		comment(work, "#threads: %zu, all stacks complete", readings->count);
}

/* ---- samples ------------------------------------------------------------------------------- */

static void add_label(struct profile_sample *sample, struct profile_label *labels, const char *key,
		      const char *text)
{
	if (text && text[0])
		labels[sample->label_count++] = (struct profile_label){.key = key, .text = text};
}

static int make_sample(struct work *work, size_t index)
{
	const struct thread_reading *reading = &work->readings.items[index];
	struct arena *arena = &work->dump.memory->arena;
	struct profile_sample *sample = &work->dump.samples[index];
	uint32_t count = reading->frame_count <= THREAD_FRAMES_MAX ? reading->frame_count : 0;
	uint64_t *frames = arena_array(arena, count ? count : 1, sizeof *frames);
	struct profile_label *labels = arena_array(arena, 4, sizeof *labels);
	char waits_for[THREAD_TEXT_WAIT_BYTES];
	thread_text_wait(reading, &work->waits[index], waits_for);
	const char *name = arena_copy(arena, reading->state.name, strlen(reading->state.name));
	const char *wait = arena_copy(arena, waits_for, strlen(waits_for));
	if (!frames || !labels || !name || !wait)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		frames[i] = dump_modules_frame(&work->modules, reading->frames[i], reading->is_exact[i]);
	*sample = (struct profile_sample){.frames = frames, .frame_count = count, .labels = labels};
	if (reading->how != THREAD_HOW_NONE && reading->end == REMOTE_END_FRAMES_MAX)
		sample->stack_flags = CPROF_STACK_TRUNCATED;
	else if (reading->how != THREAD_HOW_NONE && reading->end != REMOTE_END_FIRST_FRAME)
		sample->stack_flags = CPROF_STACK_BROKEN;
	sample->values[0] = 1;
	add_label(sample, labels, "thread", name);
	add_label(sample, labels, "state", thread_text_state(reading));
	add_label(sample, labels, "wait", wait);
	add_label(sample, labels, "how", thread_text_how(reading->how));
	return 0;
}

static bool has_code_in_no_object(const struct work *work)
{
	for (size_t i = 0; i < work->readings.count; i++)
		for (uint32_t f = 0; f < work->readings.items[i].frame_count && f < THREAD_FRAMES_MAX; f++)
			if (!remote_objects_find(&work->objects, work->readings.items[i].frames[f]))
				return true;
	return false;
}

static void load_jit_names(struct work *work)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d", work->source->peer_pid);
	if (has_code_in_no_object(work) && stat(path, &st) == 0)
		work->dump.jit = perf_map_load(work->source->root_fd, work->source->pid, st.st_uid);
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* The reader and its crash may have left anything: what is used as an index or a string is checked here. */
static void check_readings(struct thread_readings *readings)
{
	for (size_t i = 0; i < readings->count; i++) {
		struct thread_reading *reading = &readings->items[i];
		uint32_t progress = load_acquire(&reading->progress);
		reading->state.name[THREAD_NAME_BYTES - 1] = '\0';
		reading->wchan[THREAD_NAME_BYTES - 1] = '\0';
		if (progress == THREAD_DONE && reading->frame_count <= THREAD_FRAMES_MAX &&
		    (uint32_t)reading->how <= THREAD_HOW_STOPPED)
			continue;
		reading->how = THREAD_HOW_NONE;
		reading->frame_count = 0;
		reading->wait = CPROF_WAIT_NONE;
		reading->error = progress == THREAD_NOT_REACHED || readings->is_late ? -ECANCELED : -EIO;
	}
}

static int read_process(struct work *work)
{
	pid_t pid = work->source->peer_pid;
	int error = remote_objects_read(work->memory, &work->objects);
	/* Without the right to see its objects its threads' states can be seen all the same. */
	if (error == -EACCES || error == -EPERM)
		error = 0;
	if (!error)
		error = thread_reader_run(pid, &work->objects, work->source->reader, work->tick,
					  work->tick_arg, &work->readings);
	work->dump.time_ns = (int64_t)clock_ns(CLOCK_REALTIME);
	work->monotonic_ns = clock_ns(CLOCK_MONOTONIC);
	if (!error)
		check_readings(&work->readings);
	return error;
}

static int render(struct work *work)
{
	const struct thread_dump_source *source = work->source;
	struct thread_text_source text = {
		.name = source->name,
		.pid = source->pid,
		.time_ns = work->dump.time_ns,
		.monotonic_ns = work->monotonic_ns,
		.readings = &work->readings,
		.waits = work->waits,
		.circle_count = work->circle_count,
		.modules = &work->modules,
		.jit = work->dump.jit,
		.reader = source->reader,
		.rows = source->rows,
		.comments = work->dump.comments,
		.comment_count = work->dump.comment_count,
	};
	return thread_text_render(&text, work->tick, work->tick_arg, &work->dump.text,
				  &work->dump.text_bytes);
}

static int make_dump(struct work *work)
{
	const struct thread_dump_source *source = work->source;
	int error = read_process(work);
	if (error)
		return error;
	struct arena *arena = &work->dump.memory->arena;
	size_t count = work->readings.count;
	error = dump_modules_build(arena, &work->objects, source->rows, source->root_fd, &work->modules);
	if (error)
		return error;
	work->dump.modules = work->modules.items;
	work->dump.module_count = work->modules.count;
	for (size_t i = 0; i < work->modules.count; i++)
		image_hold(work->modules.items[i].image);
	work->dump.samples = arena_array(arena, count, sizeof *work->dump.samples);
	work->dump.comments = (const char **)arena_pointers(arena, COMMENTS_MAX);
	work->waits = arena_array(arena, count, sizeof *work->waits);
	if (!work->dump.samples || !work->dump.comments || !work->waits)
		return -ENOMEM;
	work->dump.sample_count = count;
	work->circle_count = thread_waits_find(source->peer_pid, &work->readings, &work->modules,
					       work->waits);
	load_jit_names(work);
	comment_missing(work);
	for (size_t i = 0; i < count && !error; i++)
		error = make_sample(work, i);
	return error ? error : render(work);
}

int thread_dump_take(const struct thread_dump_source *source, void (*tick)(void *), void *tick_arg,
		     struct thread_dump *out_dump)
{
	struct work work = {.source = source, .tick = tick, .tick_arg = tick_arg};
	if (source->peer_pid <= 0)
		return -ESRCH;
	work.dump.memory = calloc(1, sizeof *work.dump.memory);
	work.memory = calloc(1, sizeof *work.memory);
	int error = work.dump.memory && work.memory ? 0 : -ENOMEM;
	if (!error) {
		remote_memory_init(work.memory, source->peer_pid);
		error = make_dump(&work);
	}
	remote_objects_free(&work.objects);
	thread_reader_free(&work.readings);
	free(work.memory);
	if (error) {
		thread_dump_free(&work.dump);
		return error;
	}
	*out_dump = work.dump;
	return 0;
}

struct profile thread_dump_profile(const struct thread_dump *dump)
{
	return (struct profile){.kind = PROFILE_THREADS,
				.modules = dump->modules,
				.module_count = dump->module_count,
				.jit = dump->jit,
				.samples = dump->samples,
				.sample_count = dump->sample_count,
				.time_ns = dump->time_ns,
				.period = 1,
				.comments = dump->comments,
				.comment_count = dump->comment_count};
}

void thread_dump_free(struct thread_dump *dump)
{
	for (size_t i = 0; i < dump->module_count; i++)
		image_release(dump->modules[i].image);
	if (dump->memory)
		arena_fini(&dump->memory->arena);
	free(dump->memory);
	free(dump->text);
	perf_map_free(dump->jit);
	*dump = (struct thread_dump){0};
}
