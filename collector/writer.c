/* SPDX-License-Identifier: MIT */
/*
 * The numbers that must survive a collector (instance, snapshot number, which final
 * files are ours) live in the control block, and are stored after the file is there:
 * a death in between costs a second copy under the next name, never a file.
 *
 * Context: collector, main thread.
 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "perf_map.h"
#include "pprof.h"
#include "profile_kind.h"

/* Of a path in a message: what is wrong comes after it, and must not be cut off. */
#define SHOWN_PATH_BYTES 1024

/* More PID-n than anybody has; a larger one is not ours. */
#define INSTANCE_MAX 100000u

int writer_dir_open(struct writer_dir *dir, const char *path)
{
	snprintf(dir->path, sizeof dir->path, "%s", path);
	dir->last_error = 0;
	dir->fd = output_open_dir(path);
	int error = dir->fd < 0 ? dir->fd : 0;
	if (!error && faccessat(dir->fd, ".", W_OK | X_OK, AT_EACCESS))
		error = -errno;
	if (!error)
		return 0;
	log_error("cannot write profiles to %.*s%s: %s", SHOWN_PATH_BYTES, path,
		  strlen(path) > SHOWN_PATH_BYTES ? "..." : "", log_error_text(-error));
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
	return error;
}

/* A name that is one harmless path component, whatever the segment says. */
static void copy_name(char out_name[CPROF_NAME_BYTES], const struct cprof_control *control)
{
	memcpy(out_name, control->name, CPROF_NAME_BYTES);
	out_name[CPROF_NAME_BYTES - 1] = '\0';
	for (char *c = out_name; *c; c++)
		if (*c == '/' || (unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '_';
	if (out_name[0] == '\0' || strcmp(out_name, ".") == 0 || strcmp(out_name, "..") == 0)
		snprintf(out_name, CPROF_NAME_BYTES, "unknown");
}

void writer_init(struct writer *writer, const struct segment_reader *reader, struct module_rows *rows,
		 struct writer_dir *dir, bool is_first)
{
	const struct cprof_control *control = segment_reader_control(reader);
	*writer = (struct writer){
		.reader = reader, .rows = rows, .dir = dir, .is_first = is_first, .pid = control->pid};
	copy_name(writer->name, control);
	/* Relaxed: written by a collector that is dead. */
	uint32_t instance = load_relaxed(&control->instance);
	uint32_t written = load_relaxed(&control->files_written);
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		if (!(written & 1u << kind) || instance == 0 || instance > INSTANCE_MAX)
			continue;
		char suffix[16] = "";
		if (instance > 1)
			snprintf(suffix, sizeof suffix, "-%u", instance);
		snprintf(writer->files[kind], OUTPUT_NAME_MAX, "%s.%u%s.%s.pb.gz", writer->name, writer->pid,
			 suffix, profile_kinds[kind].name);
	}
}

static bool is_due(const struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	if (aggregate->sample_count[kind])
		return kind != PROFILE_HEAP || control->heap_state == CPROF_HEAP_ON;
	if (!writer->is_first || kind > PROFILE_HEAP)
		return false;
	if (kind == PROFILE_HEAP)
		return control->heap_state == CPROF_HEAP_ON;
	return load_relaxed(&control->cpu_hz) > 0; /* a setting orders nothing */
}

static int64_t period_of(const struct writer *writer, const struct aggregate *aggregate,
			 enum profile_kind kind)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	/* Relaxed: settings order nothing. */
	uint64_t rate = load_relaxed(&control->heap_rate_bytes);
	uint32_t hz = load_relaxed(&control->cpu_hz);
	if (kind == PROFILE_HEAP)
		return rate > INT64_MAX ? INT64_MAX : (int64_t)rate;
	if (hz > 0)
		return INT64_C(1000000000) / hz;
	/* Switched off by now: what one expiry stood for. */
	uint64_t expiries = aggregate->sums.cpu_weight / CPROF_WEIGHT_ONE;
	uint64_t each_ns = expiries ? aggregate->sums.cpu_ns / expiries : 0;
	return each_ns > INT64_MAX ? INT64_MAX : (int64_t)each_ns;
}

/* Whether any stack leads through code that lies in no object. */
static bool has_jit_frames(const struct profile *profile)
{
	for (size_t i = 0; i < profile->sample_count; i++)
		for (uint32_t f = 0; f < profile->samples[i].frame_count; f++)
			if (cprof_frame_module(profile->samples[i].frames[f]) == CPROF_MODULE_NONE)
				return true;
	return false;
}

/* The names that a JIT compiler left in /tmp/perf-PID.map, if they are needed and there. */
static struct perf_map *load_jit_names(const struct writer *writer, const struct profile *profile,
				       int root_fd)
{
	struct stat st;
	if (!has_jit_frames(profile) || fstat(writer->reader->fd, &st) < 0)
		return NULL;
	return perf_map_load(root_fd, writer->pid, st.st_uid);
}

/* Encodes one kind.  0 or -errno; on success the caller frees *out_bytes. */
static int encode(const struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind,
		  const struct writer_moment *moment, unsigned char **out_bytes, size_t *out_size)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	uint64_t start_realtime = control->start_realtime_ns;
	uint64_t start_monotonic = control->start_monotonic_ns;
	struct comments comments;
	comments_build(kind, control, &aggregate->sums, &moment->cpu_clock, &comments);
	struct profile profile = {
		.kind = kind,
		.modules = writer->rows->modules,
		.module_count = writer->rows->count,
		.samples = aggregate->samples[kind],
		.sample_count = aggregate->sample_count[kind],
		.time_ns = start_realtime > INT64_MAX ? 0 : (int64_t)start_realtime,
		.period = period_of(writer, aggregate, kind),
		.comments = comments.lines,
		.comment_count = comments.count,
	};
	if (kind == PROFILE_CPU && moment->end_monotonic_ns > start_monotonic)
		profile.duration_ns = (int64_t)(moment->end_monotonic_ns - start_monotonic);
	struct perf_map *jit = load_jit_names(writer, &profile, moment->root_fd);
	profile.jit = jit;
	int error = pprof_encode(&profile, moment->tick, moment->tick_arg, out_bytes, out_size);
	perf_map_free(jit);
	return error;
}

/* One line for each kind of failure in the tree: a thousand processes hit the same full disk. */
static void report(struct writer *writer, const char *what, int error)
{
	if (error == writer->dir->last_error)
		return;
	writer->dir->last_error = error;
	log_error("cannot write the %s profile of %s (%u) to %.*s: %s", what, writer->name, writer->pid,
		  SHOWN_PATH_BYTES, writer->dir->path, log_error_text(-error));
}

static void set_instance(const struct writer *writer, uint32_t instance)
{
	/* Relaxed: read by the next collector only. */
	store_relaxed(&segment_reader_control(writer->reader)->instance, instance);
}

static struct output_name name_of(const struct writer *writer, enum profile_kind kind, uint32_t number)
{
	/* Relaxed: only collectors store it. */
	uint32_t instance = load_relaxed(&segment_reader_control(writer->reader)->instance);
	if (instance == 0 || instance > INSTANCE_MAX)
		instance = 1;
	return (struct output_name){.name = writer->name,
				    .pid = writer->pid,
				    .kind = profile_kinds[kind].name,
				    .number = number,
				    .instance = instance};
}

static int write_kind(struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind,
		      const struct writer_moment *moment)
{
	char *file = writer->files[kind];
	if (file[0] && writer->fingerprint[kind] == aggregate->fingerprint[kind])
		return 0;
	unsigned char *bytes = NULL;
	size_t size = 0;
	int error = encode(writer, aggregate, kind, moment, &bytes, &size);
	if (!error && file[0])
		error = output_replace(writer->dir->fd, file, bytes, size);
	else if (!error) {
		struct output_name name = name_of(writer, kind, 0);
		char new_file[OUTPUT_NAME_MAX];
		error = output_write(writer->dir->fd, &name, bytes, size, new_file);
		if (!error) {
			memcpy(file, new_file, OUTPUT_NAME_MAX);
			set_instance(writer, name.instance);
			or_relaxed(&segment_reader_control(writer->reader)->files_written, 1u << kind);
		}
	}
	free(bytes);
	if (error) {
		report(writer, profile_kinds[kind].name, error);
		return error;
	}
	writer->fingerprint[kind] = aggregate->fingerprint[kind];
	log_info("wrote %s/%s", writer->dir->path, file);
	return 0;
}

/* Takes the aggregate and brings the module rows up to date. */
static int take(struct writer *writer, const struct writer_moment *moment, struct aggregate *out_aggregate)
{
	struct ring_drained drained;
	int error = aggregate_take(writer->reader, moment->owner, out_aggregate, &drained);
	if (error) {
		report(writer, "current", error);
		return error;
	}
	/* After the stacks: a row is published before a stack that refers to it. */
	module_rows_update(writer->rows, writer->reader, moment->root_fd);
	module_rows_refresh(writer->rows, writer->reader);
	return 0;
}

int writer_write_final(struct writer *writer, const struct writer_moment *moment)
{
	struct aggregate aggregate;
	if (writer->dir->fd < 0)
		return -EBADF;
	int first_error = take(writer, moment, &aggregate);
	if (first_error)
		return first_error;
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		if (!is_due(writer, &aggregate, (enum profile_kind)kind))
			continue;
		int error = write_kind(writer, &aggregate, (enum profile_kind)kind, moment);
		if (!first_error)
			first_error = error;
	}
	aggregate_free(&aggregate);
	return first_error;
}

int writer_write_snapshot(struct writer *writer, const struct writer_moment *moment)
{
	struct cprof_control *control = segment_reader_control(writer->reader);
	if (writer->dir->fd < 0)
		return -EBADF;
	if (control->heap_state != CPROF_HEAP_ON) {
		log_warn("no heap snapshot of %s (%u): its heap is not profiled", writer->name, writer->pid);
		return -ENOTSUP;
	}
	struct aggregate aggregate;
	unsigned char *bytes = NULL;
	size_t size = 0;
	char file[OUTPUT_NAME_MAX];
	int error = take(writer, moment, &aggregate);
	if (error)
		return error;
	error = encode(writer, &aggregate, PROFILE_HEAP, moment, &bytes, &size);
	/* Relaxed: only collectors store it. */
	uint32_t number = load_relaxed(&control->snapshots_done) + 1;
	struct output_name name = name_of(writer, PROFILE_HEAP, number ? number : 1);
	if (!error)
		error = output_write(writer->dir->fd, &name, bytes, size, file);
	if (!error) {
		set_instance(writer, name.instance);
		/* Release: who sees the number finds the file. */
		store_release(&control->snapshots_done, name.number);
		log_info("wrote %s/%s", writer->dir->path, file);
	} else {
		report(writer, "heap", error);
	}
	free(bytes);
	aggregate_free(&aggregate);
	return error;
}
