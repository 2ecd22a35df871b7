/* SPDX-License-Identifier: MIT */
/*
 * A file is a header, the answers, their lines, and the strings that the lines refer to
 * by offset; offset 0 is no string.  Its time of change is when it was last used.
 *
 * Context: collector; see answer_store.h.
 */
#include "answer_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "byte_buffer.h"
#include "cprof_compiler.h"
#include "cprof_shm.h"
#include "cprof_version.h"
#include "output.h"
#include "u64_map.h"

#define FILE_NAME_BYTES (2 * CPROF_BUILD_ID_MAX + sizeof(".answers"))
#define ENTRIES_MAX 4096u

struct file_header {
	char magic[8];
	char version[24]; /* of cprof: names may be written otherwise by another */
	uint8_t build_id[CPROF_BUILD_ID_MAX];
	uint32_t build_id_bytes;
	uint32_t checksum; /* of all that follows the header */
	uint32_t answer_count;
	uint32_t line_count;
	uint32_t string_bytes;
	uint32_t reserved;
};

struct file_line {
	uint32_t name, system_name, file; /* offsets of strings */
	uint32_t line, column, start_line;
};

_Static_assert(sizeof(struct file_header) == 88 && sizeof(struct file_line) == 24 &&
		       sizeof(struct answer) == 16,
	       "a file has no padding");

static bool is_own_directory(int fd)
{
	struct stat status;
	return fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
	       !(status.st_mode & (S_IWGRP | S_IWOTH));
}

int answer_store_open(const char *xdg_cache_home, const char *home)
{
	char path[PATH_MAX];
	bool is_xdg = xdg_cache_home && xdg_cache_home[0] == '/';
	const char *base = is_xdg ? xdg_cache_home : home;
	/* Root with the home of somebody else must leave nothing there that this one cannot use. */
	int base_fd = base && base[0] == '/' ? open(base, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct stat status;
	bool is_own = base_fd >= 0 && fstat(base_fd, &status) == 0 && status.st_uid == geteuid();
	if (base_fd >= 0)
		close(base_fd);
	if (!is_own)
		return -EACCES;
	if ((size_t)snprintf(path, sizeof path, "%s%s/cprof", base, is_xdg ? "" : "/.cache") >= sizeof path)
		return -ENAMETOOLONG;
	int fd = output_open_dir(path);
	if (fd >= 0 && !is_own_directory(fd)) {
		close(fd);
		return -EACCES;
	}
	return fd;
}

/* 0, or -EINVAL if there is no build id. */
static int file_name(const uint8_t *build_id, uint32_t bytes, char out_name[FILE_NAME_BYTES])
{
	if (bytes == 0 || bytes > CPROF_BUILD_ID_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < bytes; i++)
		snprintf(out_name + 2 * i, 3, "%02x", build_id[i]);
	memcpy(out_name + 2 * bytes, ".answers", sizeof(".answers"));
	return 0;
}

static void fill_header(struct file_header *header, const uint8_t *build_id, uint32_t build_id_bytes)
{
	*header = (struct file_header){.magic = "cprofSYM", .build_id_bytes = build_id_bytes};
	snprintf(header->version, sizeof header->version, "1 " CPROF_VERSION);
	memcpy(header->build_id, build_id, build_id_bytes);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* All of a file of ours, or NULL. */
static char *read_file(int dir_fd, const char *name, size_t *out_size)
{
	struct stat status;
	char *bytes = NULL;
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
	    status.st_size >= (off_t)sizeof(struct file_header) &&
	    status.st_size <= (off_t)ANSWER_STORE_FILE_BYTES_MAX)
		bytes = malloc((size_t)status.st_size);
	size_t size = bytes ? (size_t)status.st_size : 0, got = 0;
	while (got < size) {
		ssize_t n = read(fd, bytes + got, size - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	if (bytes && got == size)
		futimens(fd, NULL); /* used now */
	close(fd);
	if (got < size) {
		free(bytes);
		return NULL;
	}
	*out_size = size;
	return bytes;
}

/* Whether the file is one that answer_store_write() makes, as far as its parts go. */
static bool is_sound(const char *bytes, size_t size, const uint8_t *build_id, uint32_t build_id_bytes)
{
	struct file_header header, wanted;
	memcpy(&header, bytes, sizeof header);
	fill_header(&wanted, build_id, build_id_bytes);
	if (memcmp(&header, &wanted, offsetof(struct file_header, checksum)) != 0 ||
	    header.answer_count > ANSWER_STORE_ANSWERS_MAX ||
	    header.line_count > ANSWER_STORE_ANSWERS_MAX * IMAGE_LINES_MAX || header.string_bytes == 0)
		return false;
	uint64_t parts = sizeof header + header.answer_count * (uint64_t)sizeof(struct answer) +
			 header.line_count * (uint64_t)sizeof(struct file_line) + header.string_bytes;
	const char *strings = bytes + size - header.string_bytes;
	return parts == size && strings[0] == '\0' && bytes[size - 1] == '\0' &&
	       crc32_z(0, (const Bytef *)bytes + sizeof header, size - sizeof header) == header.checksum;
}

/* Sets *out_string; false if there is no string at that offset. */
static bool string_at(const char *strings, uint32_t string_bytes, uint32_t offset, const char **out_string)
{
	*out_string = offset ? strings + offset : NULL;
	return offset < string_bytes;
}

/* The lines of a sound file in memory; false if it refers to what is not there. */
static bool decode(const char *bytes, const struct file_header *header, struct answers *answers)
{
	const char *at = bytes + sizeof *header;
	memcpy(answers->answers, at, header->answer_count * sizeof(struct answer));
	at += header->answer_count * sizeof(struct answer);
	const char *strings = at + header->line_count * sizeof(struct file_line);
	for (uint32_t i = 0; i < header->answer_count; i++) {
		const struct answer *answer = &answers->answers[i];
		if (answer->count > IMAGE_LINES_MAX || answer->first > header->line_count ||
		    answer->count > header->line_count - answer->first)
			return false;
	}
	for (uint32_t i = 0; i < header->line_count; i++, at += sizeof(struct file_line)) {
		struct file_line line;
		struct image_line *out = &answers->lines[i];
		memcpy(&line, at, sizeof line);
		*out = (struct image_line){
			.line = line.line, .column = line.column, .start_line = line.start_line};
		if (!line.name || !line.system_name ||
		    !string_at(strings, header->string_bytes, line.name, &out->name) ||
		    !string_at(strings, header->string_bytes, line.system_name, &out->system_name) ||
		    !string_at(strings, header->string_bytes, line.file, &out->file))
			return false;
	}
	return true;
}

int answer_store_read(int dir_fd, const uint8_t *build_id, uint32_t build_id_bytes,
		      struct answers *out_answers)
{
	char name[FILE_NAME_BYTES];
	struct file_header header;
	size_t size;
	int error = file_name(build_id, build_id_bytes, name);
	if (error)
		return error;
	char *bytes = read_file(dir_fd, name, &size);
	if (!bytes)
		return -ENOENT;
	if (!is_sound(bytes, size, build_id, build_id_bytes)) {
		free(bytes);
		return -EBADMSG;
	}
	memcpy(&header, bytes, sizeof header);
	/* One more of each, as calloc(0) may be NULL. */
	*out_answers = (struct answers){
		.answers = calloc(header.answer_count + (size_t)1, sizeof(struct answer)),
		.lines = calloc(header.line_count + (size_t)1, sizeof(struct image_line)),
		.answer_count = header.answer_count,
		.line_count = header.line_count,
		.memory = bytes,
	};
	bool has_memory = out_answers->answers && out_answers->lines;
	if (has_memory && decode(bytes, &header, out_answers))
		return 0;
	free(out_answers->answers);
	free(out_answers->lines);
	free(bytes);
	return has_memory ? -EBADMSG : -ENOMEM;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The strings of a file, each once by its address. */
struct string_table {
	struct byte_buffer bytes;
	struct u64_map offsets;
};

static uint32_t add_string(struct string_table *table, const char *string)
{
	uint32_t offset = 0;
	if (!string || u64_map_find(&table->offsets, (uint64_t)(uintptr_t)string, &offset))
		return offset;
	offset = (uint32_t)table->bytes.size;
	byte_buffer_add(&table->bytes, string, strlen(string) + 1);
	/* Without memory for this it comes twice. */
	(void)u64_map_put(&table->offsets, (uint64_t)(uintptr_t)string, offset);
	return offset;
}

/* The newest answers that a file may hold, behind the header, which is counted up. */
static void encode(struct file_header *header, const struct answers *answers, struct byte_buffer *body)
{
	struct byte_buffer lines = {0};
	struct string_table strings = {0};
	uint32_t first = answers->answer_count > ANSWER_STORE_ANSWERS_MAX
				 ? answers->answer_count - ANSWER_STORE_ANSWERS_MAX
				 : 0;
	byte_buffer_byte(&strings.bytes, '\0');
	for (uint32_t i = first; i < answers->answer_count; i++) {
		struct answer answer = answers->answers[i];
		const struct image_line *line = &answers->lines[answer.first];
		answer.first = header->line_count;
		/* Offsets have 32 bits: what is too large for a file goes no further. */
		if (strings.bytes.size > ANSWER_STORE_FILE_BYTES_MAX)
			break;
		for (uint32_t k = 0; k < answer.count; k++, line++) {
			struct file_line out = {
				.name = add_string(&strings, line->name),
				.system_name = add_string(&strings, line->system_name),
				.file = add_string(&strings, line->file),
				.line = line->line,
				.column = line->column,
				.start_line = line->start_line,
			};
			byte_buffer_add(&lines, &out, sizeof out);
			header->line_count++;
		}
		byte_buffer_add(body, &answer, sizeof answer);
		header->answer_count++;
	}
	header->string_bytes = (uint32_t)strings.bytes.size;
	byte_buffer_add(body, lines.bytes, lines.size);
	byte_buffer_add(body, strings.bytes.bytes, strings.bytes.size);
	body->is_failed = body->is_failed || lines.is_failed || strings.bytes.is_failed;
	byte_buffer_free(&lines);
	byte_buffer_free(&strings.bytes);
	u64_map_fini(&strings.offsets);
}

int answer_store_write(int dir_fd, const uint8_t *build_id, uint32_t build_id_bytes,
		       const struct answers *answers)
{
	char name[FILE_NAME_BYTES];
	struct file_header header;
	struct byte_buffer body = {0};
	int error = file_name(build_id, build_id_bytes, name);
	if (error)
		return error;
	fill_header(&header, build_id, build_id_bytes);
	byte_buffer_add(&body, &header, sizeof header);
	encode(&header, answers, &body);
	if (body.is_failed) {
		error = -ENOMEM;
	} else if (body.size > ANSWER_STORE_FILE_BYTES_MAX) {
		error = -EFBIG;
	} else {
		header.checksum = (uint32_t)crc32_z(0, body.bytes + sizeof header, body.size - sizeof header);
		memcpy(body.bytes, &header, sizeof header);
		error = output_replace(dir_fd, name, body.bytes, body.size);
	}
	byte_buffer_free(&body);
	if (!error)
		answer_store_trim(dir_fd, ANSWER_STORE_BYTES_MAX);
	return error;
}

/* ---- making room ----------------------------------------------------------------------------- */

struct entry {
	char name[FILE_NAME_BYTES];
	struct timespec used;
	uint64_t bytes;
};

static int compare_use(const void *a, const void *b)
{
	const struct timespec *x = &((const struct entry *)a)->used, *y = &((const struct entry *)b)->used;
	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

void answer_store_trim(int dir_fd, uint64_t bytes_max)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	struct entry *entries = calloc(ENTRIES_MAX, sizeof(*entries));
	uint32_t count = 0;
	uint64_t bytes = 0;
	struct dirent *found;
	struct stat status;
	while (directory && entries && count < ENTRIES_MAX && (found = readdir(directory))) {
		size_t length = strlen(found->d_name);
		if (length >= FILE_NAME_BYTES || found->d_name[0] == '.' ||
		    fstatat(dir_fd, found->d_name, &status, AT_SYMLINK_NOFOLLOW) || !S_ISREG(status.st_mode))
			continue;
		memcpy(entries[count].name, found->d_name, length + 1);
		entries[count].used = status.st_mtim;
		entries[count].bytes = (uint64_t)status.st_size;
		bytes += entries[count++].bytes;
	}
	if (entries)
		qsort(entries, count, sizeof(*entries), compare_use);
	for (uint32_t i = 0; i < count && bytes > bytes_max; i++)
		if (unlinkat(dir_fd, entries[i].name, 0) == 0)
			bytes -= entries[i].bytes;
	free(entries);
	if (directory)
		closedir(directory);
	else if (fd >= 0)
		close(fd);
}
