/* SPDX-License-Identifier: MIT */
/*
 * The list from before the start saves reading all of a directory full of older
 * profiles; the mark in the file decides.
 *
 * Context: command line.
 */
#include "run_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pprof_file.h"

#define PROFILE_SUFFIX ".pb.gz"

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_profile_name(const char *name)
{
	size_t length = strlen(name), suffix = strlen(PROFILE_SUFFIX);
	return name[0] != '.' && length > suffix && strcmp(name + length - suffix, PROFILE_SUFFIX) == 0;
}

/* The profiles in a directory, sorted; none if it does not exist (yet). */
static size_t list_profiles(const char *directory, char ***out_names)
{
	char **names = NULL;
	size_t count = 0;
	DIR *dir = opendir(directory);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		if (!is_profile_name(entry->d_name))
			continue;
		char **more = reallocarray(names, count + 1, sizeof *names);
		if (more)
			names = more;
		if (!more || !(names[count] = strdup(entry->d_name)))
			break;
		count++;
	}
	if (dir)
		closedir(dir);
	if (count)
		qsort(names, count, sizeof *names, compare_names);
	*out_names = names;
	return count;
}

static void free_names(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static bool is_new(const struct run_files *files, const char *name)
{
	return !files->before_count ||
	       !bsearch(&name, files->before, files->before_count, sizeof *files->before, compare_names);
}

static bool has_mark(const Perftools__Profiles__Profile *profile, const char *mark)
{
	for (size_t i = 0; i < profile->n_comment; i++) {
		const char *comment = pprof_file_string(profile, profile->comment[i]);
		if (comment[0] == '#' && strstr(comment, mark))
			return true;
	}
	return false;
}

void run_files_open(struct run_files *files, const char *directory)
{
	snprintf(files->directory, sizeof files->directory, "%s", directory);
	files->before_count = list_profiles(directory, &files->before);
}

bool run_files_have_pid(const struct run_files *files, pid_t pid)
{
	char **names, part[32];
	bool found = false;
	size_t count = list_profiles(files->directory, &names);
	snprintf(part, sizeof part, ".%d", (int)pid);
	for (size_t i = 0; i < count && !found; i++) {
		const char *at = strstr(names[i], part);
		const char *after = at ? at + strlen(part) : NULL;
		found = after && (*after == '.' || *after == '-') && is_new(files, names[i]);
	}
	free_names(names, count);
	return found;
}

void run_files_summarise(const struct run_files *files, const char *mark, struct summary *summary)
{
	char **names, path[2 * PATH_MAX];
	size_t count = list_profiles(files->directory, &names);
	for (size_t i = 0; i < count; i++) {
		Perftools__Profiles__Profile *profile;
		snprintf(path, sizeof path, "%s/%s", files->directory, names[i]);
		/* What cannot be read is another's, or was removed meanwhile. */
		if (!is_new(files, names[i]) || pprof_file_load(path, &profile) != 0)
			continue;
		if (has_mark(profile, mark))
			summary_add(summary, names[i], profile);
		perftools__profiles__profile__free_unpacked(profile, NULL);
	}
	free_names(names, count);
}

void run_files_close(struct run_files *files)
{
	free_names(files->before, files->before_count);
	files->before = NULL;
	files->before_count = 0;
}
