/* SPDX-License-Identifier: MIT */
/*
 * Makes the segment.  The whole file is mapped at once: it is sparse, and a page that
 * was never written costs neither memory nor page tables.  A forked child's segment
 * replaces its parent's at the same address by one mmap(MAP_FIXED), so that a pointer
 * that code below a signal handler still holds never leads into the parent's memory.
 *
 * Context: any (async-signal-safe).
 */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "sys.h"

TOGETHER struct segment segment;

static uint64_t limit_of(int resource)
{
	struct rlimit limit;
	if (sys_is_error(sys_call4(SYS_prlimit64, 0, resource, 0, (long)&limit)))
		return UINT64_MAX;
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

/*
 * The size to use: growing a file beyond RLIMIT_FSIZE raises SIGXFSZ, which kills;
 * and the program needs its address space itself.
 */
static uint64_t affordable_size(uint64_t bytes_max)
{
	uint64_t file_limit = limit_of(RLIMIT_FSIZE);
	uint64_t space_limit = limit_of(RLIMIT_AS) / 16;
	uint64_t bytes = bytes_max;
	if (bytes > file_limit)
		bytes = file_limit;
	if (bytes > space_limit)
		bytes = space_limit;
	return cprof_segment_size(bytes);
}

static int map(int fd, uint64_t bytes)
{
	long fixed = 0;
	void *where = NULL;
	if (segment.base && segment.geometry.segment_bytes == bytes) {
		where = segment.base;
		fixed = MAP_FIXED;
	}
	long base = sys_call6(SYS_mmap, (long)where, (long)bytes, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_NORESERVE | fixed, fd, 0);
	if (sys_is_error(base))
		return (int)base;
	(void)sys_call3(SYS_madvise, base, (long)bytes, MADV_DONTDUMP);
	segment.geometry = cprof_geometry(bytes);
	segment.base = (unsigned char *)base;
	return 0;
}

int segment_make_memfd(uint64_t bytes)
{
	/* Growing it further would raise SIGXFSZ. */
	if (bytes > limit_of(RLIMIT_FSIZE))
		return -EFBIG;
	int fd = (int)sys_call2(SYS_memfd_create, (long)"cprof-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return fd;
	long error = sys_call2(SYS_ftruncate, fd, (long)bytes);
	/* The collector must be able to rely on the size: a shrunk file raises SIGBUS. */
	if (!sys_is_error(error))
		error = sys_call3(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (!sys_is_error(error))
		return fd;
	(void)sys_call1(SYS_close, fd);
	return (int)error;
}

int segment_create_memfd(uint64_t bytes_max)
{
	uint64_t bytes = affordable_size(bytes_max);
	if (bytes == 0)
		return -ENOMEM;
	int fd = segment_make_memfd(bytes);
	if (fd < 0)
		return fd;
	int error = map(fd, bytes);
	if (error) {
		(void)sys_call1(SYS_close, fd);
		return error;
	}
	return fd;
}

int segment_replace(int fd)
{
	long bytes = (long)segment.geometry.segment_bytes;
	long base = sys_call6(SYS_mmap, (long)segment.base, bytes, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
	if (sys_is_error(base))
		return (int)base;
	(void)sys_call3(SYS_madvise, base, bytes, MADV_DONTDUMP);
	return 0;
}

/* Gives the file all its blocks now: a hole that cannot be filled later raises SIGBUS. */
static long allocate_blocks(int fd, uint64_t *bytes)
{
	for (; *bytes; *bytes = cprof_segment_size(*bytes / 2)) {
		long error = sys_call4(SYS_fallocate, fd, 0, 0, (long)*bytes);
		if (error == 0)
			return 0;
		if (error != -ENOSPC && error != -EDQUOT)
			return error;
		(void)sys_call2(SYS_ftruncate, fd, 0);
	}
	return -ENOSPC;
}

int segment_create_file(const char *path, uint64_t bytes_max)
{
	uint64_t bytes = affordable_size(bytes_max);
	if (bytes == 0)
		return -ENOMEM;
	int fd = (int)sys_call4(SYS_openat, AT_FDCWD, (long)path,
				O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;
	long error = allocate_blocks(fd, &bytes);
	if (!sys_is_error(error))
		error = map(fd, bytes);
	if (sys_is_error(error)) {
		(void)sys_call3(SYS_unlinkat, AT_FDCWD, (long)path, 0);
		(void)sys_call1(SYS_close, fd);
		return (int)error;
	}
	return fd;
}
