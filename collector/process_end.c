/* SPDX-License-Identifier: MIT */
/*
 * A pidfd tells it since Linux 6.15, once somebody has waited for the process; until then
 * it is a zombie, whose status is in /proc for those who may trace it.
 *
 * Context: see process_end.h.
 */
#include "process_end.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its number in /proc/PID/stat, counted behind the name; the state is the first. */
#define STAT_EXIT_CODE 50

/* <linux/pidfd.h> of 6.15; Debian 12 has none of it. */
struct pidfd_info_v0 {
	uint64_t mask;
	uint64_t cgroup;
	uint32_t ids[11];
	int32_t exit_code;
};
_Static_assert(sizeof(struct pidfd_info_v0) == 64, "layout of the kernel");
#define PIDFD_GET_INFO_V0 _IOWR(0xFF, 11, struct pidfd_info_v0)
#define PIDFD_INFO_EXIT_BIT (UINT64_C(1) << 3)

static enum process_end end_of_status(int status)
{
	return WIFSIGNALED(status) ? PROCESS_END_KILLED : PROCESS_END_EXITED;
}

enum process_end process_end_of_stat(const char *stat, bool is_shown)
{
	int status;
	/* The name may hold anything, blanks and parentheses too; nothing behind it does. */
	const char *at = strrchr(stat, ')');
	if (!at || (strncmp(at, ") Z", 3) != 0 && strncmp(at, ") X", 3) != 0))
		return PROCESS_END_UNKNOWN;
	for (int field = 0; at && field < STAT_EXIT_CODE; field++)
		at = strchr(at + 1, ' ');
	/* 0 is also what those see who may not know it. */
	return at && sscanf(at, "%d", &status) == 1 && (status || is_shown) ? end_of_status(status)
									    : PROCESS_END_UNKNOWN;
}

/* Reads from the beginning of /proc/PID/NAME, and terminates it.  False: nothing is to be had. */
static bool read_proc(pid_t pid, const char *name, char *bytes, size_t capacity)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, bytes, capacity - 1);
	if (fd >= 0)
		close(fd);
	bytes[size > 0 ? size : 0] = '\0';
	return size > 0;
}

static enum process_end end_of_zombie(pid_t pid)
{
	char stat[1024];
	char io[64];
	/* What a zombie has read and written is told to the same few as how it ended. */
	bool is_shown = read_proc(pid, "io", io, sizeof io);
	return read_proc(pid, "stat", stat, sizeof stat) ? process_end_of_stat(stat, is_shown)
							 : PROCESS_END_UNKNOWN;
}

enum process_end process_end_of(int pidfd, pid_t pid)
{
	struct pidfd_info_v0 info = {.mask = PIDFD_INFO_EXIT_BIT};
	enum process_end end = PROCESS_END_UNKNOWN;
	/* Asked first: as long as it is not waited for, the pid is its own. */
	if (pid > 0)
		end = end_of_zombie(pid);
	if (pidfd >= 0 && ioctl(pidfd, PIDFD_GET_INFO_V0, &info) == 0 && info.mask & PIDFD_INFO_EXIT_BIT)
		end = end_of_status(info.exit_code);
	return end;
}
