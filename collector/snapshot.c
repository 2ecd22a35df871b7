/* SPDX-License-Identifier: MIT */
/*
 * The number is kept only after the files are there: a collector that dies in between
 * leaves a file whose number is used again, under the next instance of the name.
 *
 * Context: collector, main thread; see snapshot.h.
 */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "profile_kind.h"

/* More instances than any directory has; then output_write() says what is wrong. */
#define INSTANCES_TRIED 100000u

static bool is_asked(const struct snapshot_request *request, enum profile_kind kind)
{
	return request->kinds & 1u << kind;
}

/* ---- names --------------------------------------------------------------------------------- */

static struct output_name text_name(struct output_name name)
{
	name.kind = profile_kinds[PROFILE_THREADS].name;
	name.suffix = ".txt";
	return name;
}

/* Whether any file of the request would have to step aside. */
static bool is_taken(const struct writer *writer, const struct snapshot_request *request,
		     struct output_name name)
{
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		name.kind = profile_kinds[kind].name;
		if (is_asked(request, (enum profile_kind)kind) && output_exists(writer->dir->fd, &name))
			return true;
	}
	name = text_name(name);
	return request->threads_text && output_exists(writer->dir->fd, &name);
}

/* The name of all files of the request but for their kind: one number, one instance. */
static struct output_name common_name(const struct writer *writer, const struct snapshot_request *request)
{
	/* Relaxed: only collectors store it. */
	uint32_t number = load_relaxed(&segment_reader_control(writer->reader)->snapshots_done) + 1;
	struct output_name name = writer_name(writer, PROFILE_HEAP, number ? number : 1);
	for (unsigned i = 0; i < INSTANCES_TRIED && is_taken(writer, request, name); i++)
		name.instance++;
	return name;
}

/* ---- files --------------------------------------------------------------------------------- */

static void put(struct writer *writer, struct output_name *name, const void *bytes, size_t size,
		struct snapshot_file *out_file)
{
	out_file->error = output_write(writer->dir->fd, name, bytes, size, out_file->name);
	if (out_file->error) {
		writer_report(writer, name->kind, out_file->error);
		return;
	}
	writer_keep_instance(writer, name);
	log_info("wrote %s/%s", writer->dir->path, out_file->name);
}

static void put_kind(struct writer *writer, const struct writer_moment *moment,
		     const struct snapshot_request *request, const struct aggregate *aggregate,
		     enum profile_kind kind, struct output_name *name, struct snapshot_file *out_file)
{
	unsigned char *bytes = NULL;
	size_t size = 0;
	bool has_kind = kind == PROFILE_THREADS ? request->threads != NULL
						: writer_has_kind(writer, aggregate, kind);
	if (!has_kind) {
		out_file->error = -ENOTSUP;
		return;
	}
	if (kind == PROFILE_THREADS)
		out_file->error = writer_encode_threads(request->threads, moment, &bytes, &size);
	else
		out_file->error = writer_encode(writer, aggregate, kind, moment, &bytes, &size);
	name->kind = profile_kinds[kind].name;
	if (out_file->error)
		writer_report(writer, name->kind, out_file->error);
	else
		put(writer, name, bytes, size, out_file);
	free(bytes);
}

/* ---- public -------------------------------------------------------------------------------- */

int snapshot_write(struct writer *writer, const struct writer_moment *moment,
		   const struct snapshot_request *request, struct snapshot *out_snapshot)
{
	struct aggregate aggregate;
	*out_snapshot = (struct snapshot){0};
	if (writer->dir->fd < 0)
		return -EBADF;
	int first_error = writer_take(writer, moment, &aggregate);
	if (first_error)
		return first_error;
	struct output_name name = common_name(writer, request);
	bool has_files = false;
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		struct snapshot_file *file = &out_snapshot->files[kind];
		if (!is_asked(request, (enum profile_kind)kind))
			continue;
		put_kind(writer, moment, request, &aggregate, (enum profile_kind)kind, &name, file);
		first_error = first_error ? first_error : file->error;
		has_files = has_files || !file->error;
	}
	if (request->threads_text) {
		struct output_name text = text_name(name);
		struct snapshot_file *file = &out_snapshot->threads_text;
		put(writer, &text, request->threads_text, request->threads_text_bytes, file);
		first_error = first_error ? first_error : file->error;
		has_files = has_files || !file->error;
	}
	if (has_files) {
		out_snapshot->number = name.number;
		/* Release: who sees the number finds the files. */
		store_release(&segment_reader_control(writer->reader)->snapshots_done, name.number);
	}
	aggregate_free(&aggregate);
	return first_error;
}

int snapshot_write_heap(struct writer *writer, const struct writer_moment *moment)
{
	const struct snapshot_request request = {.kinds = 1u << PROFILE_HEAP};
	struct snapshot snapshot;
	int error = snapshot_write(writer, moment, &request, &snapshot);
	if (error == -ENOTSUP)
		log_warn("no heap snapshot of %s (%u): its heap is not profiled", writer->name, writer->pid);
	return error;
}
