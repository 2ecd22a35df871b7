/* SPDX-License-Identifier: MIT */
/*
 * Which files are old is found out from their names each time, so that a worker that
 * takes over removes the files of the one before, and nobody removes those of another
 * run whose process had the same number.
 *
 * Context: collector, main thread; see interval_files.h.
 */
#include "interval_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "profile_kind.h"

#define SUFFIX ".pb.gz"

void interval_files_stamp(int64_t realtime_ns, char out_stamp[INTERVAL_STAMP_BYTES])
{
	const time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm utc;
	if (!gmtime_r(&seconds, &utc) ||
	    strftime(out_stamp, INTERVAL_STAMP_BYTES, "%Y%m%dT%H%M%SZ", &utc) == 0)
		snprintf(out_stamp, INTERVAL_STAMP_BYTES, "00000000T000000Z");
}

static bool is_stamp(const char *text)
{
	for (int i = 0; i < INTERVAL_STAMP_BYTES - 1; i++)
		if (i == 8 ? text[i] != 'T' : i == 15 ? text[i] != 'Z' : text[i] < '0' || text[i] > '9')
			return false;
	return true;
}

/* The stamp in PREFIX.KIND.STAMP.pb.gz, or NULL. */
static const char *stamp_in(const char *file, const char *prefix, const char *kind)
{
	size_t prefix_length = strlen(prefix);
	size_t kind_length = strlen(kind);
	if (strlen(file) != prefix_length + kind_length + 2 + INTERVAL_STAMP_BYTES - 1 + strlen(SUFFIX) ||
	    memcmp(file, prefix, prefix_length) != 0 || file[prefix_length] != '.' ||
	    memcmp(file + prefix_length + 1, kind, kind_length) != 0 ||
	    file[prefix_length + 1 + kind_length] != '.')
		return NULL;
	const char *stamp = file + prefix_length + kind_length + 2;
	return is_stamp(stamp) && strcmp(stamp + INTERVAL_STAMP_BYTES - 1, SUFFIX) == 0 ? stamp : NULL;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of one kind's files, in order of time.  Their number; *out_names is to be freed with them. */
static size_t list(DIR *directory, const char *prefix, const char *kind, const char *since, char ***out_names)
{
	char **names = NULL;
	size_t count = 0;
	rewinddir(directory);
	for (const struct dirent *entry; (entry = readdir(directory));) { /* NOLINT(concurrency-mt-unsafe) */
		const char *stamp = stamp_in(entry->d_name, prefix, kind);
		if (!stamp || strncmp(stamp, since, INTERVAL_STAMP_BYTES - 1) < 0)
			continue;
		char **grown = reallocarray(names, count + 1, sizeof *names);
		if (!grown)
			break;
		names = grown;
		names[count] = strdup(entry->d_name);
		if (!names[count])
			break;
		count++;
	}
	if (count)
		qsort(names, count, sizeof *names, compare_names);
	*out_names = names;
	return count;
}

void interval_files_prune_named(int dir_fd, const char *prefix, const char *since, unsigned keep)
{
	int fd = keep ? openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		char **names;
		size_t count = list(directory, prefix, profile_kinds[kind].name, since, &names);
		for (size_t i = 0; i < count; i++) {
			if (i + keep < count)
				unlinkat(dir_fd, names[i], 0);
			free(names[i]);
		}
		free(names);
	}
	closedir(directory);
}

/* When the process started, by the clock as it is or as it was then: it may have been set. */
static int64_t start_time_ns(const struct cprof_control *control)
{
	uint64_t said_ns = control->start_realtime_ns;
	int64_t started_ns = said_ns > INT64_MAX ? 0 : (int64_t)said_ns;
	uint64_t start_monotonic_ns = control->start_monotonic_ns;
	int64_t age_ns = (int64_t)clock_ns(CLOCK_MONOTONIC) -
			 (start_monotonic_ns > INT64_MAX ? 0 : (int64_t)start_monotonic_ns);
	int64_t by_age_ns = (int64_t)clock_ns(CLOCK_REALTIME) - age_ns;
	return by_age_ns < started_ns ? by_age_ns : started_ns;
}

void interval_files_prune(const struct writer *writer, unsigned keep)
{
	const struct output_name name = writer_name(writer, PROFILE_CPU, 0);
	char since[INTERVAL_STAMP_BYTES];
	char instance[16] = "";
	char prefix[OUTPUT_NAME_MAX];
	interval_files_stamp(start_time_ns(segment_reader_control(writer->reader)), since);
	if (name.instance > 1)
		snprintf(instance, sizeof instance, "-%u", name.instance);
	snprintf(prefix, sizeof prefix, "%s.%u%s", name.name, name.pid, instance);
	interval_files_prune_named(writer->dir->fd, prefix, since, keep);
}

int interval_files_write(struct writer *writer, enum profile_kind kind,
			 const char stamp[INTERVAL_STAMP_BYTES], const unsigned char *bytes, size_t size)
{
	struct output_name name = writer_name(writer, kind, 0);
	char suffix[INTERVAL_STAMP_BYTES + sizeof SUFFIX];
	char file[OUTPUT_NAME_MAX];
	snprintf(suffix, sizeof suffix, ".%s" SUFFIX, stamp);
	name.suffix = suffix;
	int error = output_write(writer->dir->fd, &name, bytes, size, file);
	if (error)
		return error;
	writer_keep_instance(writer, &name);
	log_info("wrote %s/%s", writer->dir->path, file);
	return 0;
}
