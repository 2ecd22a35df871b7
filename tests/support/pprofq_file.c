/* SPDX-License-Identifier: MIT */
/*
 * Ids may be any numbers: tables are sorted by them and searched.
 *
 * Context: tests; see pprofq_file.h.
 */
#include "pprofq_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Tables by id, filled by pprofq_open(). */
struct by_id {
	uint64_t id;
	const void *item;
};
static struct by_id *functions, *locations, *mappings;

void pprofq_die(int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("pprofq: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(status);
}

void *pprofq_must(void *p)
{
	if (!p)
		pprofq_die(2, "no memory");
	return p;
}

/* Decompresses the whole file; anything but exactly one gzip member is an error. */
static uint8_t *read_gzip(const char *path, size_t *out_size)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		pprofq_die(2, "%s: %s", path, strerror(errno));
	z_stream z = {0};
	if (inflateInit2(&z, 15 + 16) != Z_OK)
		pprofq_die(2, "zlib");
	size_t capacity = 1 << 16, size = 0;
	uint8_t *bytes = pprofq_must(malloc(capacity));
	static uint8_t in[1 << 16];
	int status = Z_OK;
	while (status == Z_OK) {
		if (z.avail_in == 0) {
			z.next_in = in;
			z.avail_in = (uInt)fread(in, 1, sizeof(in), file);
			if (z.avail_in == 0)
				pprofq_die(1, "%s: cut short", path);
		}
		if (size == capacity)
			bytes = pprofq_must(realloc(bytes, capacity *= 2));
		z.next_out = bytes + size;
		z.avail_out = (uInt)(capacity - size < (1u << 30) ? capacity - size : 1u << 30);
		size_t room = z.avail_out;
		status = inflate(&z, Z_NO_FLUSH);
		size += room - z.avail_out;
	}
	if (status != Z_STREAM_END)
		pprofq_die(1, "%s: not gzip: %s", path, z.msg ? z.msg : "bad data");
	if (z.avail_in != 0 || fgetc(file) != EOF)
		pprofq_die(1, "%s: something follows the gzip member", path);
	inflateEnd(&z);
	fclose(file);
	*out_size = size;
	return bytes;
}

static int compare_ids(const void *a, const void *b)
{
	const struct by_id *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

static const void *find_id(const struct by_id *table, size_t count, uint64_t id)
{
	struct by_id key = {.id = id};
	const struct by_id *found = bsearch(&key, table, count, sizeof(*table), compare_ids);
	return found ? found->item : NULL;
}

static struct by_id *index_table(const char *what, void *const *items, size_t count,
				 uint64_t (*id_of)(const void *))
{
	struct by_id *table = pprofq_must(calloc(count + 1, sizeof(*table)));
	for (size_t i = 0; i < count; i++)
		table[i] = (struct by_id){id_of(items[i]), items[i]};
	qsort(table, count, sizeof(*table), compare_ids);
	for (size_t i = 0; i < count; i++) {
		if (table[i].id == 0)
			pprofq_die(1, "%s with id 0", what);
		if (i && table[i].id == table[i - 1].id)
			pprofq_die(1, "two %ss with id %" PRIu64, what, table[i].id);
	}
	return table;
}

static uint64_t function_id(const void *f)
{
	return ((const function_t *)f)->id;
}

static uint64_t location_id(const void *l)
{
	return ((const location_t *)l)->id;
}

static uint64_t mapping_id(const void *m)
{
	return ((const mapping_t *)m)->id;
}

const char *pprofq_string(const profile_t *p, int64_t index)
{
	if (index < 0 || (uint64_t)index >= p->n_string_table)
		pprofq_die(1, "string index %" PRId64 " of %zu", index, p->n_string_table);
	return p->string_table[index];
}

const location_t *pprofq_location(const profile_t *p, uint64_t id)
{
	const location_t *l = find_id(locations, p->n_location, id);
	if (!l)
		pprofq_die(1, "no location %" PRIu64, id);
	return l;
}

const function_t *pprofq_function(const profile_t *p, uint64_t id)
{
	const function_t *f = find_id(functions, p->n_function, id);
	if (!f)
		pprofq_die(1, "no function %" PRIu64, id);
	return f;
}

const mapping_t *pprofq_mapping(const profile_t *p, uint64_t id)
{
	return find_id(mappings, p->n_mapping, id);
}

profile_t *pprofq_open(const char *path)
{
	size_t size;
	uint8_t *bytes = read_gzip(path, &size);
	profile_t *p = perftools__profiles__profile__unpack(NULL, size, bytes);
	free(bytes);
	if (!p)
		pprofq_die(1, "%s: not a profile", path);
	functions = index_table("function", (void *const *)p->function, p->n_function, function_id);
	locations = index_table("location", (void *const *)p->location, p->n_location, location_id);
	mappings = index_table("mapping", (void *const *)p->mapping, p->n_mapping, mapping_id);
	return p;
}

void pprofq_close(profile_t *p)
{
	free(functions);
	free(locations);
	free(mappings);
	perftools__profiles__profile__free_unpacked(p, NULL);
}
