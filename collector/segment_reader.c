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

/*
 * A memfd whose owner can still seal it is none of ours.  A file on tmpfs reports
 * F_SEAL_SEAL alone, other file systems know no seals: those are segments on disk.
 */
static bool is_segment_file(int fd, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return false;
	int seals = fcntl(fd, F_GET_SEALS);
	return seals < 0 || seals == F_SEAL_SEAL || (seals & SEALS_REQUIRED) == SEALS_REQUIRED;
}

int segment_reader_open(int fd, struct segment_reader *out_reader)
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	uint64_t size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	if (!is_segment_file(fd, &st) || !size || cprof_segment_size(size) != size)
		return -EINVAL;
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	int guard = sigbus_guard_add(base, size);
	int error = guard < 0 ? guard : 0;
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
	*out_reader = (struct segment_reader){
		.base = base, .fd = fd, .guard = guard, .geometry = cprof_geometry(size)};
	return 0;
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
