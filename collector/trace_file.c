/* SPDX-License-Identifier: MIT */
/*
 * Encoded one after the other from one model, into the files: a trace may be large, and none of its
 * forms is in memory as a whole, unless the disk is full.  Numbers are shared with the profiles'
 * snapshots, see snapshot.c.
 *
 * Context: see trace_file.h.
 */
#include "trace_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "log.h"
#include "perf_map.h"
#include "trace_model.h"
#include "trace_reader.h"

/* More instances than any directory has; then output_write() says what is wrong. */
#define INSTANCES_TRIED 100000u

static const char *const suffixes[TRACE_FORMAT_COUNT] = {
	[TRACE_PERFETTO] = ".perfetto-trace",
	[TRACE_GO] = ".trace",
};

/* ---- surroundings ---------------------------------------------------------------------------- */

/* As it is now; of a machine that may have been started anew since, as it was then. */
static int64_t realtime_offset_ns(const struct cprof_control *control, const struct writer_moment *moment)
{
	if (moment->end_monotonic_ns)
		return (int64_t)(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC));
	return (int64_t)(control->start_realtime_ns - control->start_monotonic_ns);
}

int trace_file_surround(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid,
			struct trace_surroundings *out_surroundings, struct trace_input *out_input)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	struct trace_surroundings surroundings = {0};
	struct aggregate aggregate;
	struct stat st;
	size_t thread_count;
	/* Brings the module rows up to date too. */
	int error = writer_take(writer, moment, &aggregate);
	if (error)
		return error;
	uint64_t live_bytes = aggregate.sums[PROFILE_HEAP].live_value;
	aggregate_free(&aggregate);
	error = trace_reader_threads(writer->reader, visible_pid, &surroundings.threads, &thread_count);
	if (error) {
		writer_report_trace(writer, error);
		return error;
	}
	if (fstat(writer->reader->fd, &st) == 0)
		surroundings.jit = perf_map_load(moment->root_fd, writer->pid, st.st_uid);
	*out_surroundings = surroundings;
	*out_input = (struct trace_input){
		.threads = surroundings.threads,
		.thread_count = thread_count,
		.realtime_offset_ns = realtime_offset_ns(control, moment),
		.pid = writer->pid,
		.process_name = writer->name,
		.live_heap_bytes = live_bytes,
		.missing_threads =
			load_relaxed(&control->counters[CPROF_THREADS_NO_SLOT]), /* orders nothing */
		.reader = writer->reader,
		.modules = writer->rows->modules,
		.module_count = writer->rows->count,
		.jit = surroundings.jit,
	};
	return 0;
}

void trace_surroundings_free(struct trace_surroundings *surroundings)
{
	free(surroundings->threads);
	perf_map_free(surroundings->jit);
	*surroundings = (struct trace_surroundings){0};
}

/* ---- files ----------------------------------------------------------------------------------- */

/* By others: what is there of this very trace is to be replaced. */
static bool is_taken(const struct writer *writer, struct output_name name, const struct trace_files *files)
{
	for (int format = 0; format < TRACE_FORMAT_COUNT; format++) {
		char file[OUTPUT_NAME_MAX];
		name.suffix = suffixes[format];
		bool is_own = output_format_name(&name, file) == 0 && strcmp(file, files->names[format]) == 0;
		if (!is_own && output_exists(writer->dir->fd, &name))
			return true;
	}
	return false;
}

/* The name of both files but for the suffix. */
static struct output_name common_name(const struct writer *writer, const struct trace_files *files)
{
	struct output_name name = writer_name(writer, PROFILE_CPU, files->number);
	name.kind = "";
	for (unsigned i = 0; i < INSTANCES_TRIED && is_taken(writer, name, files); i++)
		name.instance++;
	return name;
}

/* In control.files_written, behind those of the profiles. */
static uint32_t written_bit(enum trace_format format)
{
	return UINT32_C(1) << (16 + format);
}
_Static_assert(PROFILE_KIND_COUNT <= 16, "bits are apart");

/* One form on its way to its file. */
struct form {
	const struct trace_model *model; /* NULL: `ready` has it */
	enum trace_format format;
	const struct trace_bytes *ready;
};

static int add_piece(void *context, const void *bytes, size_t size)
{
	return output_add(*(const int *)context, bytes, size);
}

static int fill(void *context, int fd)
{
	const struct form *form = context;
	const struct trace_sink sink = {add_piece, &fd};
	if (form->model)
		return trace_encode_model(form->model, form->format, &sink);
	return output_add(fd, form->ready->bytes, form->ready->size);
}

static int put(struct writer *writer, struct output_name *name, struct form *form, char file[OUTPUT_NAME_MAX])
{
	if (file[0])
		return output_replace_by(writer->dir->fd, file, fill, form);
	int error = output_write_by(writer->dir->fd, name, fill, form, file);
	if (error)
		return error;
	writer_keep_instance(writer, name);
	if (!name->number)
		or_relaxed(&segment_reader_control(writer->reader)->files_written, written_bit(form->format));
	return 0;
}

/* Writes one form, under the next part of a name. */
static int put_form(struct writer *writer, struct output_name *name, struct form *form,
		    struct trace_files *files)
{
	int error = form->ready ? form->ready->error : 0;
	name->suffix = suffixes[form->format];
	if (!error)
		error = put(writer, name, form, files->names[form->format]);
	if (error)
		writer_report_trace(writer, error);
	else
		log_info("wrote %s/%s", writer->dir->path, files->names[form->format]);
	return error;
}

int trace_file_write(struct writer *writer, const struct trace_input *input, struct trace_files *files)
{
	struct output_name name = common_name(writer, files);
	struct trace_model model;
	if (writer->dir->fd < 0)
		return -EBADF;
	int error = trace_model_build(input, &model);
	if (error) {
		writer_report_trace(writer, error);
		trace_model_free(&model);
		return error;
	}
	int first_error = 0;
	for (int format = 0; format < TRACE_FORMAT_COUNT; format++) {
		struct form form = {.model = &model, .format = (enum trace_format)format};
		error = put_form(writer, &name, &form, files);
		first_error = first_error ? first_error : error;
	}
	trace_model_free(&model);
	return first_error;
}

void trace_file_encode(const struct trace_input *input, struct trace_bytes out_forms[TRACE_FORMAT_COUNT])
{
	struct trace_model model;
	int error = trace_model_build(input, &model);
	for (int format = 0; format < TRACE_FORMAT_COUNT; format++) {
		struct trace_bytes bytes = {.error = error};
		if (!error)
			bytes.error = trace_encode_bytes(&model, (enum trace_format)format, &bytes.bytes,
							 &bytes.size);
		out_forms[format] = bytes;
	}
	trace_model_free(&model);
}

int trace_file_put(struct writer *writer, struct trace_bytes forms[TRACE_FORMAT_COUNT],
		   struct trace_files *files)
{
	struct output_name name = common_name(writer, files);
	int first_error = 0;
	for (int format = 0; format < TRACE_FORMAT_COUNT; format++) {
		struct form form = {.format = (enum trace_format)format, .ready = &forms[format]};
		int error = put_form(writer, &name, &form, files);
		first_error = first_error ? first_error : error;
		free(forms[format].bytes);
		forms[format] = (struct trace_bytes){0};
	}
	return first_error;
}

void trace_file_find_written(const struct writer *writer, struct trace_files *out_files)
{
	struct output_name name = writer_name(writer, PROFILE_CPU, 0);
	/* Relaxed: written by a collector that is dead. */
	uint32_t written = load_relaxed(&segment_reader_control(writer->reader)->files_written);
	name.kind = "";
	*out_files = (struct trace_files){0};
	for (int format = 0; format < TRACE_FORMAT_COUNT; format++) {
		name.suffix = suffixes[format];
		if (written & written_bit((enum trace_format)format))
			(void)output_format_name(&name, out_files->names[format]);
	}
}

uint32_t trace_file_next_number(const struct writer *writer)
{
	/* Relaxed: only collectors store it. */
	uint32_t number = load_relaxed(&segment_reader_control(writer->reader)->snapshots_done) + 1;
	return number ? number : 1;
}
