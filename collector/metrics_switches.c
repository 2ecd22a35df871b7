/* SPDX-License-Identifier: MIT */
/*
 * Context: collector, main thread; see metrics_switches.h.
 */
#include "metrics_switches.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_BYTES 4096

static bool read_number(const char *status, const char *name, uint64_t *out_number)
{
	const char *line = strstr(status, name);
	char *end;
	if (!line)
		return false;
	*out_number = strtoull(line + strlen(name), &end, 10);
	return end != line + strlen(name);
}

bool metrics_switches_parse(const char *status, struct metrics_switches_thread *out_thread)
{
	/* With the line's begin: one name ends in the other, and a thread's own name comes first. */
	return read_number(status, "\nvoluntary_ctxt_switches:", &out_thread->voluntary) &&
	       read_number(status, "\nnonvoluntary_ctxt_switches:", &out_thread->involuntary);
}

static bool read_thread(int task_fd, const char *name, struct metrics_switches_thread *out_thread)
{
	char path[NAME_MAX + 16];
	char status[STATUS_BYTES];
	snprintf(path, sizeof path, "%s/status", name);
	int fd = openat(task_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	status[n] = '\0';
	out_thread->tid = (pid_t)strtol(name, NULL, 10);
	return metrics_switches_parse(status, out_thread);
}

static int compare(const void *a, const void *b)
{
	const struct metrics_switches_thread *one = a;
	const struct metrics_switches_thread *other = b;
	return (one->tid > other->tid) - (one->tid < other->tid);
}

void metrics_switches_add(struct metrics_switches *switches, struct metrics_switches_thread *threads,
			  size_t count)
{
	size_t before = 0;
	for (size_t i = 0; i < count; i++) {
		while (before < switches->thread_count && switches->threads[before].tid < threads[i].tid)
			before++;
		struct metrics_switches_thread since = threads[i];
		const struct metrics_switches_thread *known =
			before < switches->thread_count && switches->threads[before].tid == since.tid
				? &switches->threads[before]
				: NULL;
		/* A count that fell is another thread's, which got the number. */
		if (known && known->voluntary <= since.voluntary && known->involuntary <= since.involuntary) {
			since.voluntary -= known->voluntary;
			since.involuntary -= known->involuntary;
		}
		switches->voluntary += since.voluntary;
		switches->involuntary += since.involuntary;
	}
	free(switches->threads);
	switches->threads = threads;
	switches->thread_count = count;
}

bool metrics_switches_read(struct metrics_switches *switches, pid_t pid)
{
	char path[64];
	struct metrics_switches_thread *threads = NULL;
	size_t count = 0;
	size_t room = 0;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *directory = pid > 0 ? opendir(path) : NULL;
	if (!directory)
		return false;
	for (const struct dirent *entry; (entry = readdir(directory));) { /* NOLINT(concurrency-mt-unsafe) */
		if (entry->d_name[0] == '.' || count >= METRICS_SWITCHES_THREADS_MAX)
			continue;
		if (count == room) {
			struct metrics_switches_thread *grown = reallocarray(threads, room * 2 + 8,
									     sizeof *grown);
			if (!grown)
				break;
			threads = grown;
			room = room * 2 + 8;
		}
		count += read_thread(dirfd(directory), entry->d_name, &threads[count]);
	}
	closedir(directory);
	if (count == 0) {
		free(threads);
		return false;
	}
	qsort(threads, count, sizeof *threads, compare);
	metrics_switches_add(switches, threads, count);
	return true;
}

void metrics_switches_fini(struct metrics_switches *switches)
{
	free(switches->threads);
	*switches = (struct metrics_switches){0};
}
