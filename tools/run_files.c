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
#include <sys/stat.h>

#include "cprof_compiler.h"
#include "pprof_file.h"

/* A profile's, and those of traces. */
static const char *const suffixes[] = {".pb.gz", ".perfetto-trace", ".trace"};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t length = strlen(name), suffix_length = strlen(suffix);
	return length > suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

static bool is_profile_name(const char *name)
{
	return ends_with(name, suffixes[0]);
}

static bool is_ours(const char *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(suffixes); i++)
		if (name[0] != '.' && ends_with(name, suffixes[i]))
			return true;
	return false;
}

/* The profiles and traces in a directory, sorted; none if it does not exist (yet). */
static size_t list_files(const char *directory, char ***out_names)
{
	char **names = NULL;
	size_t count = 0;
	DIR *dir = opendir(directory);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		if (!is_ours(entry->d_name))
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
	files->before_count = list_files(directory, &files->before);
}

bool run_files_have_pid(const struct run_files *files, pid_t pid)
{
	char **names, part[32];
	bool found = false;
	size_t count = list_files(files->directory, &names);
	snprintf(part, sizeof part, ".%d", (int)pid);
	for (size_t i = 0; i < count && !found; i++) {
		const char *at = strstr(names[i], part);
		const char *after = at ? at + strlen(part) : NULL;
		found = after && (*after == '.' || *after == '-') && is_new(files, names[i]);
	}
	free_names(names, count);
	return found;
}

/* Adds a profile that has the mark.  False: it has not, is another's, or was removed meanwhile. */
static bool add_profile(const char *path, const char *name, const char *mark, struct summary *summary)
{
	Perftools__Profiles__Profile *profile;
	if (pprof_file_load(path, &profile) != 0)
		return false;
	bool is_marked = has_mark(profile, mark);
	if (is_marked)
		summary_add(summary, name, profile);
	perftools__profiles__profile__free_unpacked(profile, NULL);
	return is_marked;
}

/* Whether a trace is of the same process as a profile: NAME.PID[.N].trace, NAME.PID.KIND[.N].pb.gz. */
static bool is_same_process(const char *trace, const char *profile)
{
	size_t same = 0, dots = 0;
	for (const char *at = strrchr(profile, '.'); at && at > profile && dots < 3; at--)
		if (*at == '.' && (at[1] < '0' || at[1] > '9') && ++dots == 3)
			same = (size_t)(at - profile);
	if (same == 0 || strncmp(trace, profile, same) != 0)
		return false;
	const char *rest = trace + same;
	if (rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9')
		rest += 1 + strspn(rest + 1, "0123456789");
	return strcmp(rest, suffixes[1]) == 0 || strcmp(rest, suffixes[2]) == 0;
}

void run_files_summarise(const struct run_files *files, const char *mark, struct summary *summary)
{
	char **names, path[2 * PATH_MAX];
	size_t count = list_files(files->directory, &names);
	bool *is_marked = calloc(count + 1, sizeof *is_marked);
	for (size_t i = 0; is_marked && i < count; i++) {
		snprintf(path, sizeof path, "%s/%s", files->directory, names[i]);
		is_marked[i] = is_profile_name(names[i]) && is_new(files, names[i]) &&
			       add_profile(path, names[i], mark, summary);
	}
	/* A trace has no mark: it is this run's if a profile of its process is. */
	for (size_t i = 0; is_marked && i < count; i++) {
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", files->directory, names[i]);
		if (is_profile_name(names[i]) || !is_new(files, names[i]) || stat(path, &st) != 0)
			continue;
		for (size_t k = 0; k < count; k++)
			if (is_marked[k] && is_same_process(names[i], names[k])) {
				summary_add_trace(summary, names[i], st.st_size);
				break;
			}
	}
	free(is_marked);
	free_names(names, count);
}

void run_files_close(struct run_files *files)
{
	free_names(files->before, files->before_count);
	files->before = NULL;
	files->before_count = 0;
}
