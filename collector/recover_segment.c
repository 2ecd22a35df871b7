/* SPDX-License-Identifier: MIT */
/*
 * The file is copied into a memfd, as sparse as it is, and from there on it is a
 * segment like any other whose process is dead: one code path, and draining changes
 * the copy.  What the control block says is checked first, since nobody will be there
 * to notice that profiles look odd.
 *
 * Context: see recover_segment.h.
 */
#include "recover_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define COPY_BYTES (UINT64_C(1) << 16)

int recover_refuse(const char *path, const char *why)
{
	log_error("cannot recover %s: %s", path, why);
	return -EINVAL;
}

int recover_fail(const char *path, int error)
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
		return recover_fail(path, -errno);
	if (!S_ISREG(st.st_mode))
		return recover_refuse(path, "it is not a regular file");
	ssize_t n = pread(fd, head.bytes, sizeof head.bytes, 0);
	if (n < 0)
		return recover_fail(path, -errno);
	if (n == 0)
		return recover_refuse(path, "it is empty");
	if ((size_t)n < sizeof head.control.magic || head.control.magic != CPROF_MAGIC)
		return recover_refuse(path, "it is not a segment of cprof");
	if ((size_t)n < sizeof head.bytes)
		return recover_refuse(path, "it was cut off");
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

const char *recover_segment_judge(const struct segment_reader *reader)
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

int recover_segment_open(const char *path, struct segment_reader *out_reader)
{
	struct segment_reader reader = {0};
	uint64_t size = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return recover_fail(path, -errno);
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
		error = segment_reader_open(copy, &reader);
	close(fd);
	if (error) {
		if (copy >= 0)
			close(copy);
		return recover_fail(path, error);
	}
	const char *wrong = recover_segment_judge(&reader);
	if (wrong) {
		segment_reader_close(&reader);
		return recover_refuse(path, wrong);
	}
	*out_reader = reader;
	return 0;
}
