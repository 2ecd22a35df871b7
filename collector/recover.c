/* SPDX-License-Identifier: MIT */
/*
 * Context: see recover.h.
 */
#include "recover.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "recover_segment.h"
#include "recover_trace.h"
#include "trace_flight.h"

/* The trace that goes with a segment: what was streamed of it, or its window. */
static int write_trace(struct writer *writer, const struct writer_moment *moment, const char *path,
		       struct trace_files *out_files)
{
	char copy[PATH_MAX];
	snprintf(copy, sizeof copy, "%s", path);
	int error = recover_trace_beside(writer, moment, dirname(copy), out_files);
	if (error != -ENOENT)
		return error;
	return trace_flight_is_on(writer) ? trace_flight_save_last(writer, moment, out_files) : 0;
}

static int write_profiles(struct segment_reader *reader, const char *path, struct writer_dir *dir,
			  struct recovered *recovered)
{
	struct cprof_control *control = segment_reader_control(reader);
	struct module_rows rows = {0};
	struct writer writer;
	/* Files a collector may have written belong to it, whatever became of it. */
	store_relaxed(&control->instance, 0);
	store_relaxed(&control->files_written, 0);
	writer_init(&writer, reader, &rows, dir, true);
	if (ring_consumer_replay(reader))
		log_warn("the journal of %s (%u) is damaged: its last samples may be missing", writer.name,
			 writer.pid);
	struct writer_moment moment = {.owner = RING_OWNER_DEAD, .root_fd = -1};
	uint64_t clock = load_relaxed(&control->cpu_clock_ns); /* 0: it did not end by itself */
	uint64_t base = load_relaxed(&control->cpu_clock_base_ns);
	if (clock > base)
		moment.cpu_clock = (struct comments_clock){.is_known = true, .clock_ns = clock - base};
	struct trace_files trace = {0};
	int error = writer_write_final(&writer, &moment);
	if (!error)
		error = write_trace(&writer, &moment, path, &trace);
	if (!error) {
		recovered->trace = trace;
		memcpy(recovered->name, writer.name, sizeof recovered->name);
		memcpy(recovered->files, writer.files, sizeof recovered->files);
		recovered->pid = writer.pid;
	}
	module_rows_free(&rows);
	return error;
}

int recover_file(const char *path, const char *out_dir, struct recovered *out_recovered)
{
	struct segment_reader reader = {0};
	static struct writer_dir dir; /* large */
	if (recover_trace_is_spool(path))
		return recover_trace_file(path, out_dir, out_recovered);
	int error = recover_segment_open(path, &reader);
	if (error)
		return error;
	error = writer_dir_open(&dir, out_dir);
	if (!error) {
		error = write_profiles(&reader, path, &dir, out_recovered);
		close(dir.fd);
	}
	segment_reader_close(&reader);
	return error;
}
