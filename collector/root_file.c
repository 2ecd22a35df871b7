/* SPDX-License-Identifier: MIT */
/*
 * openat2() keeps symbolic links inside the process's root.  Where it is missing
 * (Linux before 5.6, or a seccomp filter), a link to an absolute path leads into our
 * root instead; callers verify what they got in any case.
 *
 * Context: collector; see root_file.h.
 */
#include "root_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_in_root(int root_fd, const char *path, int flags)
{
	struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	if (fd >= 0)
		return (int)fd;
	if (errno != ENOSYS && errno != EPERM)
		return -errno;
	while (*path == '/')
		path++;
	int plain = openat(root_fd, path, flags);
	return plain < 0 ? -errno : plain;
}

int root_file_open(int root_fd, const char *path, int flags, struct stat *out_stat)
{
	if (path[0] != '/')
		return -ENOENT;
	flags |= O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd;
	if (root_fd >= 0) {
		fd = open_in_root(root_fd, path, flags);
	} else {
		fd = open(path, flags);
		fd = fd < 0 ? -errno : fd;
	}
	if (fd < 0)
		return fd;
	struct stat st;
	int error = fstat(fd, &st) < 0 ? -errno : 0;
	if (!error && !S_ISREG(st.st_mode))
		error = -EACCES;
	if (error) {
		close(fd);
		return error;
	}
	*out_stat = st;
	return fd;
}
