/* SPDX-License-Identifier: MIT */
/*
 * What a spool holds of the segment's tables is written to where it was, in a memfd of the
 * segment's size: from there on it is a segment, whose other tables are empty.  With a
 * segment that was kept there is more: chunks that nobody had copied yet.
 *
 * Context: see recover_trace.h.
 */
#include "recover_trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "recover_segment.h"
#include "trace_assembly.h"
#include "trace_tables.h"

/* Of one image: which process, and which of its programs. */
struct image_key {
	uint32_t pid;
	uint64_t start_monotonic_ns;
};

static struct image_key key_of(const struct cprof_control *control)
{
	return (struct image_key){control->pid, control->start_monotonic_ns};
}

static bool is_same(const struct cprof_control *control, struct image_key key)
{
	return control->magic == CPROF_MAGIC && control->version == CPROF_SHM_VERSION &&
	       control->pid == key.pid && control->start_monotonic_ns == key.start_monotonic_ns;
}

static int open_for_reading(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* ---- files that belong together ---------------------------------------------------------------- */

typedef bool file_test(int fd, struct image_key key);

static bool is_spool_of(int fd, struct image_key key)
{
	struct trace_spool spool;
	struct cprof_control control;
	/* A part is a file of its own. */
	return trace_spool_read(fd, &spool, &control) == 0 && is_same(&control, key) && !spool.note.until_ns;
}

static bool is_segment_of(int fd, struct image_key key)
{
	struct cprof_control control;
	return pread(fd, &control, sizeof control, 0) == (ssize_t)sizeof control && is_same(&control, key);
}

/* Finds the file in a directory that is another one's image's. */
static bool find_file(const char *directory, const char *suffix, file_test *is_wanted, struct image_key key,
		      char out_path[PATH_MAX])
{
	DIR *files = opendir(directory);
	bool is_found = false;
	struct dirent *file;
	while (files && !is_found && (file = readdir(files))) {
		size_t size = strlen(file->d_name);
		if (size < strlen(suffix) || strcmp(file->d_name + size - strlen(suffix), suffix) != 0)
			continue;
		int n = snprintf(out_path, PATH_MAX, "%s/%s", directory, file->d_name);
		int fd = n < PATH_MAX ? open_for_reading(out_path) : -1;
		is_found = fd >= 0 && is_wanted(fd, key);
		if (fd >= 0)
			close(fd);
	}
	if (files)
		closedir(files);
	return is_found;
}

/* ---- a segment made of a spool ------------------------------------------------------------------ */

/* The tables that are not in a spool. */
static void empty_other_tables(struct cprof_control *control)
{
	store_relaxed(&control->threads_used, UINT32_C(0)); /* nobody else's, all of them */
	store_relaxed(&control->total_levels_used, UINT32_C(0));
	store_relaxed(&control->live_levels_used, UINT32_C(0));
	store_relaxed(&control->label_levels_used, UINT32_C(0));
	store_relaxed(&control->labels_used, UINT64_C(0));
	store_relaxed(&control->stack_levels_used, UINT32_C(0));
}

static int restore_pages(const struct trace_spool *spool, int fd, const struct cprof_geometry *geometry)
{
	struct trace_spool_map map;
	int error = trace_spool_map(spool, 0, 0, &map);
	if (error)
		return error;
	for (size_t i = 0; i < map.page_count && !error; i++)
		error = trace_tables_restore(&map.pages[i], fd, geometry);
	trace_spool_unmap(&map);
	return error;
}

static int restore_segment(const struct trace_spool *spool, struct cprof_control *control,
			   struct segment_reader *out_reader)
{
	uint64_t size = spool->segment_bytes;
	if (size == 0 || cprof_segment_size(size) != size)
		return -EINVAL;
	const struct cprof_geometry geometry = cprof_geometry(size);
	int fd = memfd_create("cprof-recover", MFD_CLOEXEC);
	int error = fd < 0 || ftruncate(fd, (off_t)size) ? -errno : 0;
	empty_other_tables(control);
	if (!error && pwrite(fd, control, sizeof *control, 0) != (ssize_t)sizeof *control)
		error = -EIO;
	if (!error)
		error = restore_pages(spool, fd, &geometry);
	if (!error)
		error = segment_reader_open(fd, out_reader);
	if (error && fd >= 0)
		close(fd);
	return error;
}

/* ---- the trace ----------------------------------------------------------------------------------- */

/* What was live in the end, of what began in the trace: nothing else is known. */
static uint64_t sum_heap(const struct trace_input *input)
{
	uint64_t live_bytes = 0;
	for (size_t c = 0; c < input->chunk_count; c++) {
		const struct cprof_trace_chunk *chunk = &input->chunks[c];
		uint32_t used = load_relaxed(&chunk->used); /* a private copy, like the events */
		for (uint32_t i = 0; i < used && i < CPROF_TRACE_CHUNK_EVENTS; i++)
			if (cprof_event_kind_of(load_relaxed(&chunk->events[i].head)) == CPROF_EVENT_HEAP)
				live_bytes += chunk->events[i].a;
	}
	return live_bytes;
}

static int write_spooled(struct trace_spool *spool, struct writer *writer, const struct writer_moment *moment,
			 bool has_segment, struct trace_files *out_files)
{
	struct trace_assembly assembly;
	uint64_t gap_count, lost;
	int error = trace_spool_sum_gaps(spool, &gap_count, &lost);
	if (!error)
		error = trace_assembly_make(spool, 0, spool->note.lost_before + lost, writer, moment, 0,
					    &assembly);
	if (error) {
		writer_report_trace(writer, error);
		return error;
	}
	assembly.input.from_ns = spool->note.from_ns;
	if (spool->note.until_ns)
		assembly.input.live_heap_bytes = spool->note.live_heap_bytes;
	else if (!has_segment)
		assembly.input.live_heap_bytes = sum_heap(&assembly.input);
	error = trace_file_write(writer, &assembly.input, out_files);
	trace_assembly_free(&assembly);
	return error;
}

/* To be closed by trace_spool_close(), if there is no error. */
static int open_spool(const char *path, struct trace_spool *out_spool, struct cprof_control *out_control)
{
	int fd = open_for_reading(path);
	if (fd < 0)
		return fd;
	int error = trace_spool_read(fd, out_spool, out_control);
	if (error)
		close(fd);
	return error;
}

int recover_trace_beside(struct writer *writer, const struct writer_moment *moment, const char *directory,
			 struct trace_files *out_files)
{
	char path[PATH_MAX];
	struct trace_spool spool;
	struct cprof_control control;
	if (!find_file(directory, ".trace-spool", is_spool_of, key_of(segment_reader_control(writer->reader)),
		       path))
		return -ENOENT;
	int error = open_spool(path, &spool, &control);
	if (error)
		return recover_fail(path, error);
	error = write_spooled(&spool, writer, moment, true, out_files);
	trace_spool_close(&spool);
	return error;
}

static int write_from(struct trace_spool *spool, struct segment_reader *reader, const char *out_dir,
		      bool has_segment, struct recovered *out_recovered)
{
	const struct writer_moment moment = {.owner = RING_OWNER_DEAD, .root_fd = -1};
	static struct writer_dir dir; /* large */
	struct cprof_control *control = segment_reader_control(reader);
	struct module_rows rows = {0};
	struct writer writer;
	struct trace_files trace = {.number = (uint32_t)spool->note.number};
	int error = writer_dir_open(&dir, out_dir);
	if (error)
		return error;
	/* As in recover.c. */
	store_relaxed(&control->instance, 0);
	store_relaxed(&control->files_written, 0);
	writer_init(&writer, reader, &rows, &dir, true);
	error = write_spooled(spool, &writer, &moment, has_segment, &trace);
	module_rows_free(&rows);
	close(dir.fd);
	if (error)
		return error;
	*out_recovered = (struct recovered){.pid = writer.pid, .trace = trace};
	memcpy(out_recovered->name, writer.name, sizeof out_recovered->name);
	return 0;
}

static int refuse_spool(const char *path, int error)
{
	if (error == -EINVAL)
		return recover_refuse(path, "it is not a whole spool of a trace");
	if (error == -EPROTONOSUPPORT)
		return recover_refuse(path, "it was written by another version of cprof");
	return recover_fail(path, error);
}

bool recover_trace_is_spool(const char *path)
{
	int fd = open_for_reading(path);
	bool is_spool = fd >= 0 && trace_spool_is_one(fd);
	if (fd >= 0)
		close(fd);
	return is_spool;
}

int recover_trace_file(const char *path, const char *out_dir, struct recovered *out_recovered)
{
	char copy[PATH_MAX];
	char segment[PATH_MAX];
	struct trace_spool spool;
	struct cprof_control control;
	struct segment_reader reader = {0};
	int error = open_spool(path, &spool, &control);
	if (error)
		return refuse_spool(path, error);
	snprintf(copy, sizeof copy, "%s", path);
	bool has_segment = !spool.note.until_ns &&
			   find_file(dirname(copy), ".cprof", is_segment_of, key_of(&control), segment) &&
			   recover_segment_open(segment, &reader) == 0;
	if (!has_segment) {
		error = restore_segment(&spool, &control, &reader);
		const char *wrong = error ? NULL : recover_segment_judge(&reader);
		if (wrong)
			error = recover_refuse(path, wrong);
		else if (error)
			error = refuse_spool(path, error == -EPROTO ? -EINVAL : error);
	}
	if (!error)
		error = write_from(&spool, &reader, out_dir, has_segment, out_recovered);
	segment_reader_close(&reader);
	trace_spool_close(&spool);
	return error;
}
