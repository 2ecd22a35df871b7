/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/environ is what a process was exec'd with, so it holds the mark as long
 * as the process lives, whatever it does to its variables; a zombie's is empty.
 *
 * Context: command line.
 */
#include "run_tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* The kernel's own limit for one string is 128 KiB, for all of them a part of the stack limit. */
#define ENVIRON_BYTES_MAX (2 << 20)
/* The collector's processes are cprof-collector and cprof-supervise. */
#define COLLECTOR_COMM "cprof-"

int run_tree_make_mark(char mark[RUN_TREE_MARK_BYTES])
{
	uint64_t number;
	if (getrandom(&number, sizeof number, 0) != sizeof number)
		return -errno;
	snprintf(mark, RUN_TREE_MARK_BYTES, "%016" PRIx64, number);
	return 0;
}

/* Reads up to capacity - 1 bytes and terminates them; returns their number. */
static size_t read_proc(int proc_fd, const char *pid, const char *what, char *bytes, size_t capacity)
{
	char path[64];
	size_t size = 0;
	snprintf(path, sizeof path, "%.16s/%s", pid, what);
	int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t got;
		while (size + 1 < capacity && (got = read(fd, bytes + size, capacity - 1 - size)) > 0)
			size += (size_t)got;
		close(fd);
	}
	bytes[size] = '\0';
	return size;
}

static bool has_entry(const char *environment, size_t size, const char *entry)
{
	for (size_t at = 0; at < size; at += strlen(environment + at) + 1)
		if (strcmp(environment + at, entry) == 0)
			return true;
	return false;
}

struct run_tree_count run_tree_count(const char *mark)
{
	struct run_tree_count count = {0};
	char entry[sizeof RUN_TREE_ENV + 1 + RUN_TREE_MARK_BYTES], comm[64];
	char *environment = malloc(ENVIRON_BYTES_MAX);
	DIR *proc = opendir("/proc");
	snprintf(entry, sizeof entry, RUN_TREE_ENV "=%s", mark);
	while (environment && proc) {
		const struct dirent *process = readdir(proc);
		if (!process)
			break;
		if (!isdigit((unsigned char)process->d_name[0]))
			continue;
		size_t size = read_proc(dirfd(proc), process->d_name, "environ", environment,
					ENVIRON_BYTES_MAX);
		if (!has_entry(environment, size, entry))
			continue;
		read_proc(dirfd(proc), process->d_name, "comm", comm, sizeof comm);
		if (strncmp(comm, COLLECTOR_COMM, strlen(COLLECTOR_COMM)) == 0)
			count.collectors++;
		else
			count.programs++;
	}
	if (proc)
		closedir(proc);
	free(environment);
	return count;
}
