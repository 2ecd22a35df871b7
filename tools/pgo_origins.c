/* SPDX-License-Identifier: MIT */
/*
 * A title with the binary's build id, then one line for each function: hash of its first line, hash of all its lines, its first
 * line, how many there are, linkage name, path (the rest of the line, which may have
 * spaces).  A function without hashes is not in the file.
 *
 * Context: command line; see pgo_origins.h.
 */
#include "pgo_origins.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "memory.h"
#include "pgo_output.h"
#include "pgo_source.h"

#define TITLE "cprof pgo sources 1"

void pgo_origins_add(struct pgo_origins *origins, const char *name, const char *path, uint32_t first)
{
	uint64_t key = (uintptr_t)name;
	uint32_t index;
	if (u64_map_find(&origins->index, key, &index))
		return;
	if (u64_map_put(&origins->index, key, (uint32_t)origins->count) != 0)
		allocated(NULL);
	origins->items = grown(origins->items, origins->count, &origins->capacity, sizeof *origins->items);
	origins->items[origins->count++] = (struct pgo_origin){.name = name, .path = path, .first = first};
}

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct pgo_origin *)left)->name, ((const struct pgo_origin *)right)->name);
}

void pgo_origins_seal(struct pgo_origins *origins)
{
	size_t kept = 0;
	if (origins->count)
		qsort(origins->items, origins->count, sizeof *origins->items, by_name);
	for (size_t i = 0; i < origins->count; i++)
		if (!kept || by_name(&origins->items[kept - 1], &origins->items[i]) != 0)
			origins->items[kept++] = origins->items[i];
	origins->count = kept;
	u64_map_fini(&origins->index);
	origins->index = (struct u64_map){0};
}

static void hash_one(struct pgo_origin *origin, const struct pgo_source *source)
{
	if (origin->first == 0 || origin->first > source->line_count)
		return;
	origin->last = pgo_source_function_end(source, origin->first);
	origin->first_hash = pgo_source_hash(source, origin->first, 1);
	origin->hash = pgo_source_hash(source, origin->first, origin->last - origin->first + 1);
}

static int by_path(const void *left, const void *right)
{
	const struct pgo_origin *const *a = left, *const *b = right;
	return strcmp((*a)->path, (*b)->path);
}

void pgo_origins_hash(struct pgo_origins *origins, int64_t built, size_t *out_missing, size_t *out_newer)
{
	struct pgo_origin **sorted = allocated(calloc(origins->count + 1, sizeof(struct pgo_origin *)));
	struct pgo_source source = {0};
	const char *path = NULL;
	bool is_there = false, is_newer = false;
	*out_missing = *out_newer = 0;
	for (size_t i = 0; i < origins->count; i++)
		sorted[i] = &origins->items[i];
	qsort(sorted, origins->count, sizeof(struct pgo_origin *), by_path);
	for (size_t i = 0; i < origins->count; i++) {
		struct stat file;
		if (!path || strcmp(path, sorted[i]->path) != 0) {
			path = sorted[i]->path;
			pgo_source_free(&source);
			is_there = pgo_source_read(&source, path) == 0;
			is_newer = is_there && stat(path, &file) == 0 && file.st_mtime > built;
		}
		if (is_there)
			hash_one(sorted[i], &source);
		*out_missing += !is_there;
		*out_newer += is_newer;
	}
	pgo_source_free(&source);
	free(sorted);
}

int pgo_origins_write(const struct pgo_origins *origins, FILE *to)
{
	fprintf(to, TITLE " %s\n", origins->build_id);
	for (size_t i = 0; i < origins->count; i++) {
		const struct pgo_origin *origin = &origins->items[i];
		if ((origin->hash || origin->first_hash) && !strpbrk(origin->name, " \n") &&
		    !strchr(origin->path, '\n'))
			fprintf(to, "%016" PRIx64 " %016" PRIx64 " %" PRIu32 " %" PRIu32 " %s %s\n",
				origin->first_hash, origin->hash, origin->first,
				origin->last - origin->first + 1, origin->name, origin->path);
	}
	return fflush(to) == 0 && !ferror(to) ? 0 : -EIO;
}

int pgo_origins_save(const struct pgo_origins *origins, const char *profile)
{
	char path[PATH_MAX];
	struct pgo_output output;
	snprintf(path, sizeof path, "%s" PGO_SOURCES_SUFFIX, profile);
	int error = pgo_output_open(&output, path);
	if (error)
		return error;
	pgo_origins_write(origins, output.stream);
	return pgo_output_commit(&output);
}

/* One line without its newline.  False: it is none of ours. */
static bool read_line(struct pgo_origins *origins, char *line)
{
	struct pgo_origin origin = {0};
	uint32_t count;
	int at = 0;
	if (sscanf(line, "%16" SCNx64 " %16" SCNx64 " %" SCNu32 " %" SCNu32 " %n", &origin.first_hash,
		   &origin.hash, &origin.first, &count, &at) != 4 ||
	    !at || !origin.first || !count || count > UINT32_MAX - origin.first)
		return false;
	char *name = line + at, *space = strchr(name, ' ');
	if (!space || space == name || !space[1])
		return false;
	origin.last = origin.first + count - 1;
	origin.name = allocated(arena_copy(&origins->texts, name, (size_t)(space - name)));
	origin.path = allocated(arena_copy(&origins->texts, space + 1, strlen(space + 1)));
	origins->items = grown(origins->items, origins->count, &origins->capacity, sizeof *origins->items);
	origins->items[origins->count++] = origin;
	return true;
}

int pgo_origins_read(struct pgo_origins *origins, FILE *from)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length = getline(&line, &capacity, from);
	int error = length > 0 && strncmp(line, TITLE, strlen(TITLE)) == 0 ? 0 : -EBADMSG;
	if (!error)
		sscanf(line + strlen(TITLE), " %159s", origins->build_id);
	while (!error && (length = getline(&line, &capacity, from)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		if (!read_line(origins, line))
			error = -EBADMSG;
	}
	free(line);
	pgo_origins_seal(origins);
	return error;
}

int pgo_origins_load(struct pgo_origins *origins, const char *profile)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s" PGO_SOURCES_SUFFIX, profile);
	FILE *from = fopen(path, "re");
	if (!from)
		return -errno;
	int error = pgo_origins_read(origins, from);
	fclose(from);
	return error;
}

size_t pgo_origins_find(const struct pgo_origins *origins, const char *name)
{
	size_t low = 0, high = origins->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, origins->items[middle].name);
		if (order == 0)
			return middle;
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return origins->count;
}

void pgo_origins_override(struct pgo_origins *origins, const struct pgo_origins *known)
{
	for (size_t i = 0; i < origins->count; i++) {
		size_t index = pgo_origins_find(known, origins->items[i].name);
		if (index == known->count)
			continue;
		const char *path = known->items[index].path, *name = origins->items[i].name;
		origins->items[i] = known->items[index];
		origins->items[i].name = name;
		origins->items[i].path = allocated(arena_copy(&origins->texts, path, strlen(path)));
	}
}

void pgo_origins_fini(struct pgo_origins *origins)
{
	free(origins->items);
	u64_map_fini(&origins->index);
	arena_fini(&origins->texts);
	*origins = (struct pgo_origins){0};
}
