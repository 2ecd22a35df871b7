/* SPDX-License-Identifier: MIT */
/*
 * One mapping serves memfd and file alike.  A sealed memfd cannot shrink, but its
 * holes can still meet a full memory cgroup; a file can shrink as well.  Both end in
 * SIGBUS, which the guard turns into a zero page, so the lock-free protocol of the
 * tables (compare-and-swap, impossible with pwrite) is the same in both.
 *
 * Context: collector, main thread.
 */
#include "segment_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sigbus_guard.h"

#define SEALS_REQUIRED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
/* Of more it is cheaper to map the segment, and they will have left something. */
#define PEEKED_THREADS_MAX 4u

/*
 * A memfd whose owner can still seal it is none of ours.  A file on tmpfs reports
 * F_SEAL_SEAL alone, other file systems know no seals: those are segments on disk.
 */
static bool is_segment_file(int fd, const struct stat *st, bool *out_is_memfd)
{
	if (!S_ISREG(st->st_mode))
		return false;
	int seals = fcntl(fd, F_GET_SEALS);
	*out_is_memfd = seals >= 0 && (seals & SEALS_REQUIRED) == SEALS_REQUIRED;
	return *out_is_memfd || seals < 0 || seals == F_SEAL_SEAL;
}

/* Checks what the kernel vouches for.  0 or -errno. */
static int judge(int fd, uint64_t *out_size, bool *out_is_memfd)
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	uint64_t size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	if (!is_segment_file(fd, &st, out_is_memfd) || !size || cprof_segment_size(size) != size)
		return -EINVAL;
	*out_size = size;
	return 0;
}

int segment_reader_open(int fd, struct segment_reader *out_reader)
{
	uint64_t size = 0;
	bool is_memfd = false;
	int error = judge(fd, &size, &is_memfd);
	if (error)
		return error;
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	int guard = sigbus_guard_add(base, size);
	error = guard < 0 ? guard : 0;
	const struct cprof_control *control = base;
	if (!error && control->magic != CPROF_MAGIC)
		error = -EPROTO;
	else if (!error && control->version != CPROF_SHM_VERSION)
		error = -EPROTONOSUPPORT;
	if (error) {
		sigbus_guard_remove(guard);
		munmap(base, size);
		return error;
	}
	*out_reader = (struct segment_reader){.base = base,
					      .fd = fd,
					      .guard = guard,
					      .is_memfd = is_memfd,
					      .geometry = cprof_geometry(size)};
	return 0;
}

/* Whether a thread's slot holds no record; a hole reads as zeros. */
static bool is_unused(int fd, const struct cprof_geometry *geometry, uint32_t slot)
{
	uint64_t head;
	uint64_t offset = geometry->threads_offset + slot * sizeof(struct cprof_thread) +
			  offsetof(struct cprof_thread, head);
	return pread(fd, &head, sizeof head, (off_t)offset) == (ssize_t)sizeof head && head == 0;
}

bool segment_reader_finds_nothing(int fd)
{
	struct cprof_control control;
	uint64_t size = 0;
	bool is_memfd = false;
	if (judge(fd, &size, &is_memfd) || !is_memfd ||
	    pread(fd, &control, sizeof control, 0) != (ssize_t)sizeof control ||
	    control.magic != CPROF_MAGIC || control.version != CPROF_SHM_VERSION)
		return false;
	/* Relaxed: a copy. */
	uint32_t threads = load_relaxed(&control.threads_used);
	if (threads > PEEKED_THREADS_MAX || load_relaxed(&control.total_levels_used) ||
	    load_relaxed(&control.live_levels_used) || load_relaxed(&control.trace_asked) ||
	    load_relaxed(&control.final_requested) || load_relaxed(&control.snapshot_requested) ||
	    load_relaxed(&control.flight_requested))
		return false;
	const struct cprof_geometry geometry = cprof_geometry(size);
	/* Who was killed may have come no further than the total itself. */
	off_t data = lseek(fd, (off_t)geometry.totals_offset, SEEK_DATA);
	if (data < 0 || (uint64_t)data < geometry.live_offset)
		return false;
	for (uint32_t slot = 0; slot < threads; slot++)
		if (slot >= geometry.thread_count || !is_unused(fd, &geometry, slot))
			return false;
	return true;
}

void segment_reader_close(struct segment_reader *reader)
{
	if (!reader->base)
		return;
	sigbus_guard_remove(reader->guard);
	munmap(reader->base, reader->geometry.segment_bytes);
	close(reader->fd);
	*reader = (struct segment_reader){0};
}

bool segment_reader_is_damaged(const struct segment_reader *reader)
{
	return sigbus_guard_was_hit(reader->guard);
}

bool segment_reader_next_data(const struct segment_reader *reader, uint64_t from, uint64_t end,
			      uint64_t *out_start, uint64_t *out_end)
{
	if (from >= end)
		return false;
	off_t start = lseek(reader->fd, (off_t)from, SEEK_DATA);
	if (start < 0 && errno == ENXIO)
		return false;
	if (start < 0)
		start = (off_t)from; /* a file system without SEEK_DATA: all is data */
	if ((uint64_t)start >= end)
		return false;
	off_t stop = lseek(reader->fd, start, SEEK_HOLE);
	if (stop <= start || (uint64_t)stop > end)
		stop = (off_t)end;
	*out_start = (uint64_t)start;
	*out_end = (uint64_t)stop;
	return true;
}

int segment_reader_copy(const struct segment_reader *reader, uint64_t offset, uint64_t size, void *zeroed)
{
	unsigned char *to = zeroed;
	uint64_t at = offset;
	uint64_t start;
	uint64_t end;
	while (segment_reader_next_data(reader, at, offset + size, &start, &end)) {
		for (at = start; at < end;) {
			ssize_t n = pread(reader->fd, to + (at - offset), end - at, (off_t)at);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -errno;
			if (n == 0)
				return 0; /* shortened meanwhile: the rest stays zero */
			at += (uint64_t)n;
		}
	}
	return 0;
}
