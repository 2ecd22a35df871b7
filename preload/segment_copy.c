/* SPDX-License-Identifier: MIT */
/*
 * One mmap(MAP_FIXED) puts the copy in the segment's place: whoever touches it at that
 * moment waits for the kernel and goes on in the copy.  What matters is who writes between
 * the copying and that; a process of one thread with its signals blocked has nobody.
 *
 * Context: any (async-signal-safe).
 */
#include "segment_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "segment.h"
#include "sys.h"
#include "text.h"

#define COPY_CHUNK (UINT64_C(64) << 10)
#define PAGE_BYTES UINT64_C(4096)
#define KERNEL_SIGSET_BYTES 8

/* Whether anything of the chunk is in memory; the rest of the file was never written. */
static bool has_data(uint64_t at)
{
	unsigned char resident[COPY_CHUNK / PAGE_BYTES];
	if (sys_call3(SYS_mincore, (long)(segment.base + at), COPY_CHUNK, (long)resident) != 0)
		return true;
	for (size_t i = 0; i < sizeof resident; i++)
		if (resident[i] & 1)
			return true;
	return false;
}

static long copy(int fd)
{
	uint64_t bytes = segment.geometry.segment_bytes;
	long error = sys_call2(SYS_ftruncate, fd, (long)bytes);
	/* A sealed one has its size. */
	if (error == -EPERM)
		error = 0;
	/* What was swapped out counts as never written. */
	(void)sys_call3(SYS_madvise, (long)segment.base, (long)bytes, MADV_WILLNEED);
	for (uint64_t at = 0; at < bytes && !sys_is_error(error); at += COPY_CHUNK) {
		for (uint64_t done = has_data(at) ? 0 : COPY_CHUNK; done < COPY_CHUNK;) {
			error = sys_call4(SYS_pwrite64, fd, (long)(segment.base + at + done),
					  (long)(COPY_CHUNK - done), (long)(at + done));
			if (error <= 0)
				return error ? error : -ENOSPC;
			done += (uint64_t)error;
		}
	}
	return sys_is_error(error) ? error : 0;
}

/* Whether the file may grow to the segment's size.  Beyond the limit there is a signal that kills. */
static bool is_within_limit(rlim_t limit)
{
	return limit == RLIM_INFINITY || limit >= segment.geometry.segment_bytes;
}

long segment_copy_to(int fd)
{
	struct rlimit limit;
	if (sys_is_error(sys_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit)) ||
	    is_within_limit(limit.rlim_cur))
		return copy(fd);
	if (!is_within_limit(limit.rlim_max))
		return -EFBIG;
	struct rlimit lifted = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
	long error = sys_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, (long)&lifted, 0);
	if (sys_is_error(error))
		return error;
	error = copy(fd);
	(void)sys_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, (long)&limit, 0);
	return error;
}

/* The file that is mapped, for whoever may do that. */
static long open_mapped(void)
{
	char path[80];
	struct text text;
	uint64_t ends[2] = {(uint64_t)(uintptr_t)segment.base, 0};
	ends[1] = ends[0] + segment.geometry.segment_bytes;
	text_init(&text, path, sizeof path);
	text_add(&text, "/proc/self/map_files/");
	for (size_t i = 0; i < 2; i++) {
		bool is_leading = true;
		for (int shift = 60; shift >= 0; shift -= 4) {
			uint32_t digit = (uint32_t)(ends[i] >> shift) & 15;
			is_leading = is_leading && digit == 0;
			if (!is_leading)
				text_add_bytes(&text, &"0123456789abcdef"[digit], 1);
		}
		if (i == 0)
			text_add(&text, "-");
	}
	return sys_call4(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC, 0);
}

static bool has_one_thread(void)
{
	/* A directory for each thread. */
	struct stat tasks;
	return sys_call4(SYS_newfstatat, AT_FDCWD, (long)"/proc/self/task", (long)&tasks, 0) == 0 &&
	       tasks.st_nlink == 3;
}

static long move(void)
{
	long fd = segment_make_memfd(segment.geometry.segment_bytes);
	if (sys_is_error(fd))
		return fd;
	uint64_t all_signals = UINT64_MAX;
	uint64_t old_signals = 0;
	(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all_signals, (long)&old_signals,
			KERNEL_SIGSET_BYTES);
	long error = segment_copy_to((int)fd);
	if (!error)
		error = segment_replace((int)fd);
	(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old_signals, 0, KERNEL_SIGSET_BYTES);
	if (!error)
		return fd;
	(void)sys_call1(SYS_close, fd);
	return error;
}

int segment_reopen(enum segment_others others)
{
	long fd = open_mapped();
	if (!sys_is_error(fd))
		return (int)fd;
	return others == SEGMENT_WITH_OTHERS || has_one_thread() ? (int)move() : -EBUSY;
}
