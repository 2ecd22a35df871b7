/* SPDX-License-Identifier: MIT */
/*
 * Context: collector, main thread; see metrics_process.h.
 */
#include "metrics_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES 4096

static bool read_file(const char *path, char out_text[FILE_BYTES])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out_text, FILE_BYTES - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	out_text[n] = '\0';
	return true;
}

/* When the machine was started, in seconds since 1970. */
static double boot_time_s(void)
{
	static double boot_s; /* main thread only */
	char line[256];
	if (boot_s > 0)
		return boot_s;
	FILE *file = fopen("/proc/stat", "re");
	while (file && fgets(line, sizeof line, file))
		if (strncmp(line, "btime ", 6) == 0)
			boot_s = strtod(line + 6, NULL);
	if (file)
		fclose(file);
	return boot_s;
}

bool metrics_process_parse_stat(const char *text, struct metrics_process *out_process)
{
	unsigned long minor, major, user, system, threads, virtual_bytes;
	unsigned long long start;
	long resident_pages;
	double ticks = (double)sysconf(_SC_CLK_TCK);
	/* The name may hold anything, also a parenthesis. */
	const char *rest = strrchr(text, ')');
	if (!rest ||
	    sscanf(rest + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %lu %*u %lu %*u %lu %lu %*d %*d %*d %*d %lu %*d %llu "
		   "%lu %ld",
		   &minor, &major, &user, &system, &threads, &start, &virtual_bytes, &resident_pages) != 8)
		return false;
	out_process->minor_faults = minor;
	out_process->major_faults = major;
	out_process->cpu_s = ((double)user + (double)system) / ticks;
	out_process->thread_count = threads;
	out_process->start_time_s = (double)start / ticks;
	out_process->virtual_bytes = virtual_bytes;
	out_process->resident_bytes = (uint64_t)resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

/* The soft limit in a line of /proc/PID/limits. */
static bool read_limit(const char *text, const char *name, double *out_limit)
{
	const char *line = strstr(text, name);
	if (!line)
		return false;
	line += strlen(name);
	line += strspn(line, " ");
	if (strncmp(line, "unlimited", 9) == 0) {
		*out_limit = INFINITY;
		return true;
	}
	char *end;
	*out_limit = strtod(line, &end);
	return end != line;
}

bool metrics_process_parse_limits(const char *text, struct metrics_process *out_process)
{
	return read_limit(text, "Max open files", &out_process->fds_max) &&
	       read_limit(text, "Max address space", &out_process->virtual_max_bytes);
}

/* The KiB in a line of /proc/PID/status. */
static bool read_kib(const char *text, const char *name, uint64_t *out_bytes)
{
	const char *line = strstr(text, name);
	char *end;
	if (!line)
		return false;
	line += strlen(name);
	*out_bytes = strtoull(line, &end, 10) * 1024;
	return end != line;
}

bool metrics_process_parse_status(const char *text, struct metrics_process *out_process)
{
	/* With the line's begin: the process's name comes first. */
	return read_kib(text, "\nRssAnon:", &out_process->anonymous_bytes) &&
	       read_kib(text, "\nVmSwap:", &out_process->swap_bytes);
}

static bool count_fds(pid_t pid, uint64_t *out_count)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/fd", pid);
	DIR *directory = opendir(path);
	if (!directory)
		return false;
	*out_count = 0;
	for (const struct dirent *entry; (entry = readdir(directory));) /* NOLINT(concurrency-mt-unsafe) */
		*out_count += entry->d_name[0] != '.';
	closedir(directory);
	return true;
}

bool metrics_process_read(pid_t pid, struct metrics_process *out_process)
{
	struct metrics_process process = {0};
	char path[64];
	char text[FILE_BYTES];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (pid <= 0 || !read_file(path, text) || !metrics_process_parse_stat(text, &process))
		return false;
	process.start_time_s += boot_time_s();
	snprintf(path, sizeof path, "/proc/%d/limits", pid);
	process.has_limits = read_file(path, text) && metrics_process_parse_limits(text, &process);
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	process.has_memory = read_file(path, text) && metrics_process_parse_status(text, &process);
	process.has_fds = count_fds(pid, &process.open_fds);
	*out_process = process;
	return true;
}
