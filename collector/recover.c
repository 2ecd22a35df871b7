/* SPDX-License-Identifier: MIT */
/*
 * The file is copied into a memfd, as sparse as it is, and from there on it is a
 * segment like any other whose process is dead: one code path, and draining changes
 * the copy.  What the control block says is checked first, since nobody will be there
 * to notice that profiles look odd.
 *
 * Context: see recover.h.
 */
#include "recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "trace_flight.h"

#define COPY_BYTES (UINT64_C(1) << 16)

static int refuse(const char *path, const char *why)
{
	log_error("cannot recover %s: %s", path, why);
	return -EINVAL;
}

static int fail(const char *path, int error)
{
	log_error("cannot recover %s: %s", path, log_error_text(-error));
	return error;
}

/* Judges the file before anything is copied. */
static int check_file(const char *path, int fd, uint64_t *out_size)
{
	struct stat st;
	union {
		struct cprof_control control;
		unsigned char bytes[sizeof(struct cprof_control)];
	} head;
	if (fstat(fd, &st))
		return fail(path, -errno);
	if (!S_ISREG(st.st_mode))
		return refuse(path, "it is not a regular file");
	ssize_t n = pread(fd, head.bytes, sizeof head.bytes, 0);
	if (n < 0)
		return fail(path, -errno);
	if (n == 0)
		return refuse(path, "it is empty");
	if ((size_t)n < sizeof head.control.magic || head.control.magic != CPROF_MAGIC)
		return refuse(path, "it is not a segment of cprof");
	if ((size_t)n < sizeof head.bytes)
		return refuse(path, "it was cut off");
	if (head.control.version != CPROF_SHM_VERSION) {
		log_error("cannot recover %s: it was written by another version of cprof (layout %u, not %u)",
			  path, head.control.version, CPROF_SHM_VERSION);
		return -EINVAL;
	}
	uint64_t size = (uint64_t)st.st_size;
	if (cprof_segment_size(size) != size ||
	    (head.control.segment_bytes && head.control.segment_bytes != size)) {
		log_error("cannot recover %s: it was cut off or grew (%" PRIu64 " bytes)", path, size);
		return -EINVAL;
	}
	*out_size = size;
	return 0;
}

static bool is_zero(const unsigned char *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Copies the pages that hold something.  `from` and `to` are files of `size` bytes. */
static int copy_data(int from, int to, uint64_t size)
{
	static unsigned char page[COPY_BYTES];             /* too large for a stack; one thread */
	const struct segment_reader source = {.fd = from}; /* only asked where data is */
	uint64_t at = 0;
	uint64_t start;
	uint64_t end;
	while (segment_reader_next_data(&source, at, size, &start, &end)) {
		for (at = start; at < end;) {
			size_t want = end - at < sizeof page ? (size_t)(end - at) : sizeof page;
			ssize_t n = pread(from, page, want, (off_t)at);
			if (n < 0 && errno != EINTR)
				return -errno;
			if (n == 0)
				return -EINVAL; /* shortened under our hands */
			if (n > 0 && !is_zero(page, (size_t)n) && pwrite(to, page, (size_t)n, (off_t)at) != n)
				return errno ? -errno : -EIO;
			at += n > 0 ? (uint64_t)n : 0;
		}
	}
	return 0;
}

static int open_copy(const char *path, struct segment_reader *out_reader)
{
	uint64_t size = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fail(path, -errno);
	int error = check_file(path, fd, &size);
	if (error) {
		close(fd);
		return error;
	}
	int copy = memfd_create("cprof-recover", MFD_CLOEXEC);
	if (copy < 0 || ftruncate(copy, (off_t)size))
		error = -errno;
	if (!error)
		error = copy_data(fd, copy, size);
	if (!error)
		error = segment_reader_open(copy, out_reader);
	close(fd);
	if (!error)
		return 0;
	if (copy >= 0)
		close(copy);
	return fail(path, error);
}

/* What is wrong with the control block, or NULL. */
static const char *judge(const struct segment_reader *reader)
{
	const struct cprof_control *control = segment_reader_control(reader);
	const struct cprof_geometry *g = &reader->geometry;
	/* Relaxed: a private copy. */
	if (control->name[0] == '\0' || !memchr(control->name, '\0', sizeof control->name))
		return "it is damaged: it names no program";
	if (control->heap_state > CPROF_HEAP_UNAVAILABLE)
		return "it is damaged: the state of its heap profile makes no sense";
	if (load_relaxed(&control->threads_used) > g->thread_count)
		return "it is damaged: it counts more threads than it has room for";
	if (load_relaxed(&control->modules_used) > g->module_count)
		return "it is damaged: it counts more modules than it has room for";
	if (load_relaxed(&control->stacks_used) > g->frames_bytes / sizeof(uint64_t))
		return "it is damaged: it counts more stacks than it has room for";
	if (load_relaxed(&control->labels_used) > g->labels_bytes / sizeof(uint64_t))
		return "it is damaged: it counts more labels than it has room for";
	return NULL;
}

static int write_profiles(struct segment_reader *reader, struct writer_dir *dir, struct recovered *recovered)
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
	if (!error && trace_flight_is_on(&writer))
		error = trace_flight_save_last(&writer, &moment, &trace);
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
	int error = open_copy(path, &reader);
	if (error)
		return error;
	const char *wrong = judge(&reader);
	if (wrong)
		error = refuse(path, wrong);
	if (!error)
		error = writer_dir_open(&dir, out_dir);
	if (!error) {
		error = write_profiles(&reader, &dir, out_recovered);
		close(dir.fd);
	}
	segment_reader_close(&reader);
	return error;
}
