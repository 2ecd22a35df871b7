/* SPDX-License-Identifier: MIT */
/*
 * The order of the steps is what keeps a part through anybody's death: open chunks are put
 * into the spool, the note says where it ends, it gets its name, the next spool is begun (by
 * the caller); and only who has written the files removes it.
 *
 * Context: see trace_parts.h.
 */
#include "trace_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "trace_assembly.h"
#include "trace_reader.h"

#define SUFFIX ".trace-spool"
#define NUMBERS_TRIED 1000u

bool trace_parts_are_made(struct trace_parts *parts, int options)
{
	int status = 0;
	if (!parts->maker)
		return false;
	pid_t ended = waitpid(parts->maker, &status, options);
	if (ended == 0 || (ended < 0 && errno == EINTR))
		return true;
	parts->maker = 0;
	/* It would fail again: what waits is nobody's any more. */
	if (ended > 0 && status) {
		parts->may_wait = false;
		parts->waiting = 0;
		log_error("a part of a trace is not made: %s; its .trace-spool stays, see `cprof recover`",
			  WIFSIGNALED(status) ? "who made it was killed" : "it could not be written");
	}
	return false;
}

/* ---- closing --------------------------------------------------------------------------------- */

/* Puts what threads have in open chunks behind the rest. */
static int add_open(const struct writer *writer, struct trace_spool *spool, struct trace_tables *tables)
{
	const struct segment_reader *reader = writer->reader;
	uint32_t end = trace_reader_chunk_count(reader);
	uint32_t first, stop;
	int error = 0;
	for (uint32_t at = 0; trace_reader_next_run(reader, at, end, &first, &stop); at = stop) {
		for (uint32_t i = first; i < stop && !error; i++) {
			const struct cprof_trace_chunk *chunk = trace_reader_chunk(reader, i);
			/* Relaxed: it is loaded again, with order, to be copied. */
			if (!(load_relaxed(&chunk->state) & (CPROF_CHUNK_OPEN | CPROF_CHUNK_UNREAD)))
				continue;
			if (trace_reader_copy_chunk(chunk, trace_spool_room(spool)))
				trace_spool_keep(spool);
			if (!trace_spool_room(spool)) {
				error = trace_tables_save(tables, reader, spool);
				error = error ? error : trace_spool_flush(spool);
			}
		}
	}
	error = error ? error : trace_tables_save(tables, reader, spool);
	error = error ? error : trace_spool_flush(spool);
	trace_spool_drop(spool);
	return error;
}

/* The next one that no other run's part has. */
static int give_number(const struct writer *writer, struct trace_spool *spool)
{
	uint32_t number = trace_file_next_number(writer);
	for (uint32_t tried = 0; tried < NUMBERS_TRIED; tried++, number++) {
		char name[OUTPUT_NAME_MAX];
		snprintf(name, sizeof name, ".%s.%u.%u" SUFFIX, writer->name, writer->pid, number);
		spool->note.number = number;
		int error = trace_spool_write_note(spool);
		if (error ||
		    !renameat2(writer->dir->fd, spool->name, writer->dir->fd, name, RENAME_NOREPLACE))
			return error;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int trace_parts_close_spool(struct trace_parts *parts, struct writer *writer, struct trace_spool *spool,
			    struct trace_tables *tables, const struct writer_moment *moment)
{
	struct cprof_control *control = segment_reader_control(writer->reader);
	struct aggregate aggregate;
	struct trace_spool_note note = spool->note;
	uint32_t pages = spool->page_count;
	int error = writer_take(writer, moment, &aggregate);
	if (error)
		return error;
	spool->note.live_heap_bytes = aggregate.sums[PROFILE_HEAP].live_value;
	aggregate_free(&aggregate);
	spool->note.until_ns = moment->end_monotonic_ns;
	error = add_open(writer, spool, tables);
	if (!error)
		error = give_number(writer, spool);
	if (error) {
		spool->note = note;
		(void)trace_spool_write_note(spool);
		trace_spool_cut_to(spool, pages);
		return error;
	}
	store_release(&control->snapshots_done, (uint32_t)spool->note.number); /* taken */
	trace_spool_close(spool);
	parts->may_wait = true;
	parts->waiting++;
	return 0;
}

/* ---- making ------------------------------------------------------------------------------------ */

/* Whether a file is called as a part of this image. */
static bool is_part_s_name(const struct writer *writer, const char *file)
{
	char prefix[OUTPUT_NAME_MAX];
	int n = snprintf(prefix, sizeof prefix, ".%s.%u.", writer->name, writer->pid);
	return strncmp(file, prefix, (size_t)n) == 0 &&
	       strcmp(file + n + strspn(file + n, "0123456789"), SUFFIX) == 0;
}

/* The next part at or after where the list stands, locked as `lock` says.  False: there is none. */
static bool open_next(const struct writer *writer, DIR *list, int lock, struct trace_spool *out_spool)
{
	struct dirent *file;
	struct stat st;
	while ((file = readdir(list))) {
		if (!is_part_s_name(writer, file->d_name) ||
		    trace_spool_open_part(writer, file->d_name, out_spool))
			continue;
		/* Who had it locked may have made it. */
		if ((!lock || flock(out_spool->fd, lock) == 0) && fstat(out_spool->fd, &st) == 0 &&
		    st.st_nlink && out_spool->note.until_ns)
			return true;
		trace_spool_close(out_spool);
	}
	return false;
}

static DIR *open_list(const struct writer *writer)
{
	int fd = openat(writer->dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (!list && fd >= 0)
		close(fd);
	return list;
}

uint64_t trace_parts_find(struct trace_parts *parts, const struct writer *writer)
{
	DIR *list = open_list(writer);
	struct trace_spool spool;
	uint64_t end_ns = 0;
	while (list && open_next(writer, list, 0, &spool)) {
		parts->may_wait = true;
		parts->waiting++;
		if (spool.note.until_ns > end_ns)
			end_ns = spool.note.until_ns;
		trace_spool_close(&spool);
	}
	if (list)
		closedir(list);
	return end_ns;
}

/* The child: whatever becomes of it, the collector goes on. */
static _Noreturn void make(struct writer *writer, struct trace_spool *spool,
			   const struct writer_moment *moment, pid_t visible_pid)
{
	struct trace_files files = {.number = (uint32_t)spool->note.number};
	struct trace_assembly assembly;
	/* Where memory is scarce, rather this than the program. */
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1000", 4) < 0)
		log_debug("a trace's part is not the first that the OOM killer takes");
	if (trace_assembly_make(spool, 0, 0, writer, moment, visible_pid, &assembly))
		_exit(EXIT_FAILURE);
	assembly.input.from_ns = spool->note.from_ns;
	assembly.input.live_heap_bytes = spool->note.live_heap_bytes;
	if (trace_file_write(writer, &assembly.input, &files))
		_exit(EXIT_FAILURE);
	unlinkat(writer->dir->fd, spool->name, 0);
	_exit(EXIT_SUCCESS);
}

static bool make_next(struct trace_parts *parts, struct writer *writer, const struct writer_moment *moment,
		      pid_t visible_pid, int lock)
{
	DIR *list = open_list(writer);
	struct trace_spool spool;
	bool is_found = list && open_next(writer, list, lock, &spool);
	if (list)
		closedir(list);
	if (!is_found)
		return false;
	pid_t pid = fork();
	if (pid == 0)
		make(writer, &spool, moment, visible_pid);
	if (pid > 0) {
		parts->maker = pid;
		parts->waiting -= parts->waiting > 0;
	}
	/* Closed, not unlocked: the child has it. */
	trace_spool_close(&spool);
	return pid > 0;
}

bool trace_parts_make_next(struct trace_parts *parts, struct writer *writer,
			   const struct writer_moment *moment, pid_t visible_pid)
{
	if (!parts->may_wait || trace_parts_are_made(parts, WNOHANG))
		return false;
	parts->may_wait = make_next(parts, writer, moment, visible_pid, LOCK_EX | LOCK_NB);
	return parts->may_wait;
}

void trace_parts_finish(struct trace_parts *parts, struct writer *writer, const struct writer_moment *moment,
			pid_t visible_pid)
{
	do {
		while (trace_parts_are_made(parts, 0))
			continue;
	} while (parts->may_wait && make_next(parts, writer, moment, visible_pid, LOCK_EX));
	parts->may_wait = false;
}
