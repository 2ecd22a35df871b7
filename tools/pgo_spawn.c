/* SPDX-License-Identifier: MIT */
/*
 * The input goes through a file without a name, which unlike a pipe cannot fill up.
 *
 * Context: command line; see pgo_spawn.h.
 */
#include "pgo_spawn.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int pgo_spawn(char *const command[], const char *input)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status = 0, fd = memfd_create("input", MFD_CLOEXEC);
	size_t size = input ? strlen(input) : 0;
	if (fd < 0)
		return -errno;
	if ((size && write(fd, input, size) != (ssize_t)size) || lseek(fd, 0, SEEK_SET) != 0) {
		close(fd);
		return -EIO;
	}
	int error = posix_spawn_file_actions_init(&actions);
	if (!error) {
		error = posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
		if (!error)
			error = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	close(fd);
	if (error)
		return -error;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}
