/* SPDX-License-Identifier: MIT */
/*
 * The file is written by the profiled process while we read it, so any byte is
 * possible.  Compilers reuse memory: a later line wins over an earlier one.
 *
 * Context: collector; see perf_map.h.
 */
#include "perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "range_map.h"
#include "root_file.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)

struct perf_map {
	char *names; /* the file, lines terminated; values of ranges are offsets into it */
	struct range_map ranges;
};

/* Reads a hexadecimal number and the blanks after it; NULL if there is none. */
static const char *read_hex(const char *at, const char *end, uint64_t *out_number)
{
	uint64_t number = 0;
	if (end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
		at += 2;
	const char *first = at;
	for (; at < end; at++) {
		int digit = *at >= '0' && *at <= '9'   ? *at - '0'
			    : *at >= 'a' && *at <= 'f' ? *at - 'a' + 10
			    : *at >= 'A' && *at <= 'F' ? *at - 'A' + 10
						       : -1;
		if (digit < 0)
			break;
		if (number >> 60)
			return NULL;
		number = number << 4 | (uint64_t)digit;
	}
	if (at == first || at == end || (*at != ' ' && *at != '\t'))
		return NULL;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	*out_number = number;
	return at;
}

static void parse_line(struct perf_map *map, const char *line, const char *end, uint32_t rank)
{
	uint64_t start, size;
	const char *at = read_hex(line, end, &start);
	at = at ? read_hex(at, end, &size) : NULL;
	if (!at || at == end || size > UINT64_MAX - start)
		return;
	struct range range = {start, start + size, rank, (uint32_t)(at - map->names)};
	range_map_add(&map->ranges, range);
}

/* Takes over `text`, which has room for a terminator at text[size]. */
static struct perf_map *parse_owned(char *text, size_t size)
{
	struct perf_map *map = calloc(1, sizeof(*map));
	if (!map) {
		free(text);
		return NULL;
	}
	map->names = text;
	text[size] = '\0';
	uint32_t rank = 0;
	for (char *line = text; line < text + size;) {
		char *end = memchr(line, '\n', (size_t)(text + size - line));
		/* A line that is still being written has no end yet. */
		if (!end)
			break;
		*end = '\0';
		parse_line(map, line, end, rank++);
		line = end + 1;
	}
	if (range_map_seal(&map->ranges) < 0) {
		perf_map_free(map);
		return NULL;
	}
	return map;
}

struct perf_map *perf_map_parse(const char *text, size_t size)
{
	char *copy = size <= FILE_BYTES_MAX ? malloc(size + 1) : NULL;
	if (!copy)
		return NULL;
	memcpy(copy, text, size);
	return parse_owned(copy, size);
}

static char *read_file(int fd, size_t *out_size)
{
	char *text = NULL;
	size_t size = 0, capacity = 0;
	for (;;) {
		if (size == capacity) {
			capacity = capacity ? 2 * capacity : 1 << 16;
			char *grown = capacity <= FILE_BYTES_MAX ? realloc(text, capacity + 1) : NULL;
			if (!grown)
				break;
			text = grown;
		}
		ssize_t got = read(fd, text + size, capacity - size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		size += (size_t)got;
	}
	*out_size = size;
	return text;
}

struct perf_map *perf_map_load(int root_fd, uint32_t pid, uid_t owner)
{
	char path[64];
	snprintf(path, sizeof(path), "/tmp/perf-%u.map", pid);
	struct stat st;
	int fd = root_file_open(root_fd, path, O_NOFOLLOW, &st);
	if (fd < 0)
		return NULL;
	char *text = NULL;
	size_t size = 0;
	if (st.st_uid == owner || st.st_uid == 0 || st.st_uid == geteuid())
		text = read_file(fd, &size);
	close(fd);
	return text ? parse_owned(text, size) : NULL;
}

const char *perf_map_find(const struct perf_map *map, uint64_t address)
{
	uint32_t offset;
	return range_map_find(&map->ranges, address, &offset) ? map->names + offset : NULL;
}

void perf_map_free(struct perf_map *map)
{
	if (!map)
		return;
	range_map_fini(&map->ranges);
	free(map->names);
	free(map);
}
