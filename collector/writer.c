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
#include <unistd.h>

#include "clock.h"
#include "log.h"
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

/* A moment that the segment names; one that is none, or lies ahead, is now. */
static uint64_t past_ns(uint64_t said_ns, clockid_t clock)
{
	uint64_t now_ns = clock_ns(clock);
	return said_ns && said_ns <= now_ns ? said_ns : now_ns;
}

void writer_init(struct writer *writer, const struct segment_reader *reader, struct module_rows *rows,
		 struct writer_dir *dir, bool is_first)
{
	const struct cprof_control *control = segment_reader_control(reader);
	*writer = (struct writer){
		.reader = reader,
		.rows = rows,
		.dir = dir,
		.is_first = is_first,
		.pid = control->pid,
		.start_realtime_ns = (int64_t)past_ns(control->start_realtime_ns, CLOCK_REALTIME),
		.start_monotonic_ns = past_ns(control->start_monotonic_ns, CLOCK_MONOTONIC)};
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

static void report(struct writer *writer, const char *what, const char *noun, int error)
{
	/* A thousand processes hit the same full disk; of no directory at all it was said when it was opened. */
	if (error == writer->dir->last_error || writer->dir->fd < 0)
		return;
	writer->dir->last_error = error;
	log_error("cannot write the %s%s of %s (%u) to %.*s: %s", what, noun, writer->name, writer->pid,
		  SHOWN_PATH_BYTES, writer->dir->path, log_error_text(-error));
}

void writer_report(struct writer *writer, const char *what, int error)
{
	report(writer, what, " profile", error);
}

void writer_report_trace(struct writer *writer, int error)
{
	report(writer, "trace", "", error);
}

void writer_keep_instance(const struct writer *writer, const struct output_name *name)
{
	/* Relaxed: read by the next collector only. */
	store_relaxed(&segment_reader_control(writer->reader)->instance, name->instance);
}

struct output_name writer_name(const struct writer *writer, enum profile_kind kind, uint32_t number)
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
	int error = writer_encode(writer, aggregate, kind, moment, &bytes, &size);
	if (!error && file[0])
		error = output_replace(writer->dir->fd, file, bytes, size);
	else if (!error) {
		struct output_name name = writer_name(writer, kind, 0);
		char new_file[OUTPUT_NAME_MAX];
		error = output_write(writer->dir->fd, &name, bytes, size, new_file);
		if (!error) {
			memcpy(file, new_file, OUTPUT_NAME_MAX);
			writer_keep_instance(writer, &name);
			or_relaxed(&segment_reader_control(writer->reader)->files_written, 1u << kind);
		}
	}
	free(bytes);
	if (error) {
		writer_report(writer, profile_kinds[kind].name, error);
		return error;
	}
	writer->fingerprint[kind] = aggregate->fingerprint[kind];
	log_info("wrote %s/%s", writer->dir->path, file);
	return 0;
}

int writer_take(struct writer *writer, const struct writer_moment *moment, struct aggregate *out_aggregate)
{
	struct ring_drained drained;
	int error = aggregate_take(writer->reader, moment->owner, out_aggregate, &drained);
	if (error) {
		writer_report(writer, "current", error);
		return error;
	}
	/* After the stacks: a row is published before a stack that refers to it. */
	module_rows_update(writer->rows, writer->reader, moment->root_fd);
	module_rows_refresh(writer->rows, writer->reader);
	return 0;
}

/*
 * Whether a final file is to be there: for each kind with samples; for the first
 * process also for those that found nothing.  Threads are only known while they run;
 * who started them comes along with contention, it is not asked for.
 */
static bool is_due(const struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind)
{
	if (kind == PROFILE_THREADS || !writer_has_kind(writer, aggregate, kind))
		return false;
	if (kind == PROFILE_THREADCREATE && !writer_has_kind(writer, aggregate, PROFILE_BLOCK) &&
	    !writer_has_kind(writer, aggregate, PROFILE_MUTEX))
		return false;
	return writer->is_first || aggregate->sample_count[kind];
}

int writer_write_final(struct writer *writer, const struct writer_moment *moment)
{
	struct aggregate aggregate;
	if (writer->dir->fd < 0)
		return -EBADF;
	int first_error = writer_take(writer, moment, &aggregate);
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
