/* SPDX-License-Identifier: MIT */
/*
 * An object is found by the mapping of its file's beginning, where the ELF header is.
 * Its extent comes from its program headers, not from the file's other mappings: text
 * may have been moved to anonymous huge pages.
 *
 * Context: see remote_objects.h.
 */
#include "remote_objects.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PROGRAM_HEADERS_MAX 64u
#define NOTES_BYTES_MAX 4096u
#define MAPS_BYTES_MAX ((size_t)64 << 20)
#define DELETED " (deleted)"
/* Reads of headers: some for each object. */
#define READS_PER_MAPPING 8u

/* ---- /proc/PID/maps ------------------------------------------------------------------------ */

static bool take_number(const char **at, const char *end, int base, uint64_t *out_number)
{
	uint64_t number = 0;
	const char *start = *at;
	for (; *at < end; (*at)++) {
		char c = **at;
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
		if (digit >= base)
			break;
		if (number >> 60 && base == 16)
			return false;
		number = number * (uint64_t)base + (uint64_t)digit;
	}
	*out_number = number;
	return *at > start;
}

static bool take(const char **at, const char *end, char c)
{
	if (*at >= end || **at != c)
		return false;
	(*at)++;
	return true;
}

bool remote_objects_parse_line(const char **at, const char *end, struct remote_mapping *out_mapping)
{
	struct remote_mapping mapping = {0};
	uint64_t major;
	uint64_t minor;
	const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
	const char *line_end = newline ? newline : end;
	const char *c = *at;
	*at = newline ? newline + 1 : end;
	if (!take_number(&c, line_end, 16, &mapping.start) || !take(&c, line_end, '-') ||
	    !take_number(&c, line_end, 16, &mapping.end) || !take(&c, line_end, ' ') || line_end - c < 5)
		return false;
	mapping.is_executable = c[2] == 'x';
	c += 4;
	if (!take(&c, line_end, ' ') || !take_number(&c, line_end, 16, &mapping.offset) ||
	    !take(&c, line_end, ' ') || !take_number(&c, line_end, 16, &major) || !take(&c, line_end, ':') ||
	    !take_number(&c, line_end, 16, &minor) || !take(&c, line_end, ' ') ||
	    !take_number(&c, line_end, 10, &mapping.inode))
		return false;
	mapping.device = makedev((unsigned)major, (unsigned)minor);
	while (take(&c, line_end, ' '))
		;
	mapping.path = c;
	mapping.path_bytes = (size_t)(line_end - c);
	if (mapping.start >= mapping.end)
		return false;
	*out_mapping = mapping;
	return true;
}

/* The whole file; -errno, or 0 with *out_text to be freed. */
static int read_maps(pid_t pid, char **out_text, size_t *out_size)
{
	char path[64];
	size_t size = 0;
	size_t capacity = (size_t)64 << 10;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	char *text = malloc(capacity);
	int error = text ? 0 : -ENOMEM;
	while (!error) {
		if (size == capacity) {
			char *grown = capacity < MAPS_BYTES_MAX ? realloc(text, 2 * capacity) : NULL;
			if (!grown) {
				error = -ENOMEM;
				break;
			}
			text = grown;
			capacity *= 2;
		}
		ssize_t n = read(fd, text + size, capacity - size);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			error = -errno;
		if (n > 0)
			size += (size_t)n;
	}
	close(fd);
	if (error) {
		free(text);
		return error;
	}
	*out_text = text;
	*out_size = size;
	return 0;
}

static int parse_maps(struct remote_objects *objects, size_t size)
{
	const char *end = objects->text + size;
	size_t lines = 1;
	for (const char *c = objects->text; (c = memchr(c, '\n', (size_t)(end - c))); c++)
		lines++;
	objects->mappings = calloc(lines, sizeof *objects->mappings);
	if (!objects->mappings)
		return -ENOMEM;
	uint64_t last_end = 0;
	for (const char *at = objects->text; at < end;) {
		struct remote_mapping mapping;
		/* They come sorted; a line that says otherwise is not believed. */
		if (!remote_objects_parse_line(&at, end, &mapping) || mapping.start < last_end)
			continue;
		last_end = mapping.end;
		objects->mappings[objects->mapping_count++] = mapping;
	}
	return 0;
}

/* ---- headers ------------------------------------------------------------------------------- */

static uint64_t page_down(uint64_t address)
{
	return address & ~(uint64_t)(REMOTE_PAGE_BYTES - 1);
}

static uint64_t page_up(uint64_t address)
{
	return page_down(address + REMOTE_PAGE_BYTES - 1);
}

/* Extent and text, from the segments.  False: this is no object that was loaded here. */
static bool place(struct remote_object *object, uint64_t at, const Elf64_Phdr *headers, uint32_t count)
{
	bool has_bias = false;
	uint64_t low = UINT64_MAX;
	uint64_t high = 0;
	uint64_t largest = 0;
	for (uint32_t i = 0; i < count; i++)
		if (headers[i].p_type == PT_LOAD && page_down(headers[i].p_offset) == 0 && !has_bias) {
			object->bias = at - page_down(headers[i].p_vaddr);
			has_bias = true;
		}
	for (uint32_t i = 0; has_bias && i < count; i++) {
		const Elf64_Phdr *segment = &headers[i];
		if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
			continue;
		uint64_t start = page_down(segment->p_vaddr + object->bias);
		uint64_t end = page_up(segment->p_vaddr + object->bias + segment->p_memsz);
		if (end <= start)
			return false;
		low = start < low ? start : low;
		high = end > high ? end : high;
		if ((segment->p_flags & PF_X) && segment->p_filesz > largest) {
			largest = segment->p_filesz;
			object->text_start = start;
			object->text_end = page_up(segment->p_vaddr + object->bias + segment->p_filesz);
			object->text_offset = page_down(segment->p_offset);
		}
	}
	object->start = low;
	object->end = high;
	return largest > 0;
}

static void take_build_id(struct remote_object *object, const unsigned char *notes, size_t size)
{
	size_t at = 0;
	while (size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		memcpy(&note, notes + at, sizeof note);
		at += sizeof note;
		uint64_t name_bytes = ((uint64_t)note.n_namesz + 3) & ~UINT64_C(3);
		uint64_t value_bytes = ((uint64_t)note.n_descsz + 3) & ~UINT64_C(3);
		if (name_bytes > size - at || value_bytes > size - at - name_bytes)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
		    memcmp(notes + at, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0 && note.n_descsz > 0 &&
		    note.n_descsz <= CPROF_BUILD_ID_MAX) {
			memcpy(object->build_id, notes + at + name_bytes, note.n_descsz);
			object->build_id_bytes = note.n_descsz;
			return;
		}
		at += name_bytes + value_bytes;
	}
}

/* As all linkers write it: version 1, pc-relative pointer, 32-bit count, 32-bit pairs. */
static void take_table(struct remote_object *object, struct remote_memory *memory, const Elf64_Phdr *segment)
{
	unsigned char header[12];
	uint64_t at = segment->p_vaddr + object->bias;
	uint32_t count;
	if (remote_memory_read(memory, at, header, sizeof header, true))
		return;
	memcpy(&count, header + 8, sizeof count);
	if (header[0] != 1 || (header[1] & 0x0f) != 0x0b || header[2] != 0x03 || header[3] != 0x3b ||
	    segment->p_memsz < sizeof header || count > (segment->p_memsz - sizeof header) / 8)
		return;
	object->table_base = at;
	object->table_start = at + sizeof header;
	object->table_bytes = (uint64_t)count * 8;
}

static void take_segments(struct remote_object *object, struct remote_memory *memory,
			  const Elf64_Phdr *headers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		unsigned char notes[NOTES_BYTES_MAX];
		size_t size = headers[i].p_memsz < sizeof notes ? headers[i].p_memsz : sizeof notes;
		if (headers[i].p_type == PT_GNU_EH_FRAME)
			take_table(object, memory, &headers[i]);
		else if (headers[i].p_type == PT_NOTE && object->build_id_bytes == 0 &&
			 remote_memory_read(memory, headers[i].p_vaddr + object->bias, notes, size, true) ==
				 0)
			take_build_id(object, notes, size);
	}
}

/* Whether the mapping is the beginning of a loaded object: then all but its path is filled in. */
static bool examine(struct remote_memory *memory, const struct remote_mapping *mapping,
		    struct remote_object *object)
{
	Elf64_Ehdr header;
	Elf64_Phdr headers[PROGRAM_HEADERS_MAX];
	if (mapping->end - mapping->start < sizeof header ||
	    remote_memory_read(memory, mapping->start, &header, sizeof header, true) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_phentsize != sizeof headers[0] || header.e_phnum == 0 ||
	    header.e_phnum > PROGRAM_HEADERS_MAX || header.e_phoff > mapping->end - mapping->start ||
	    remote_memory_read(memory, mapping->start + header.e_phoff, headers,
			       header.e_phnum * sizeof headers[0], true) ||
	    !place(object, mapping->start, headers, header.e_phnum))
		return false;
	take_segments(object, memory, headers, header.e_phnum);
	object->device = mapping->device;
	object->inode = mapping->inode;
	return true;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static bool is_path(const struct remote_mapping *mapping, const char *path)
{
	return mapping->path_bytes == strlen(path) && memcmp(mapping->path, path, mapping->path_bytes) == 0;
}

/* A terminated path in place: the newline behind it is not needed any more. */
static const char *own_path(const struct remote_mapping *mapping)
{
	char *path = (char *)(uintptr_t)mapping->path;
	size_t length = mapping->path_bytes;
	size_t suffix = strlen(DELETED);
	path[length] = '\0';
	if (length > suffix && strcmp(path + length - suffix, DELETED) == 0)
		path[length - suffix] = '\0';
	return path;
}

/* The mapping that the address lies in, NULL if there is none. */
static const struct remote_mapping *mapping_at(const struct remote_objects *objects, uint64_t address)
{
	size_t low = 0;
	size_t high = objects->mapping_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (objects->mappings[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < objects->mapping_count && objects->mappings[low].start <= address
		       ? &objects->mappings[low]
		       : NULL;
}

/*
 * Whether its code is where its headers say: not another object's, or the kernel's, which lies there by
 * chance.  Code that a program has moved to pages of its own, huge ones say, is in no file.
 */
static bool has_code(const struct remote_objects *objects, const struct remote_object *object)
{
	const struct remote_mapping *text = mapping_at(objects, object->text_start);
	return text && text->is_executable && is_path(text, "[vdso]") == object->is_vdso &&
	       (text->inode == 0 || (text->inode == object->inode && text->device == object->device));
}

static int find_objects(struct remote_objects *objects, struct remote_memory *memory, const char *executable)
{
	objects->items = calloc(objects->mapping_count + 1, sizeof *objects->items);
	if (!objects->items)
		return -ENOMEM;
	memory->budget = (uint32_t)objects->mapping_count * READS_PER_MAPPING + READS_PER_MAPPING;
	for (size_t i = 0; i < objects->mapping_count; i++) {
		const struct remote_mapping *mapping = &objects->mappings[i];
		struct remote_object object = {.is_vdso = is_path(mapping, "[vdso]")};
		if (mapping->offset != 0 || (mapping->inode == 0 && !object.is_vdso) ||
		    !examine(memory, mapping, &object) || !has_code(objects, &object))
			continue;
		/* A second mapping of an object's first page is no second object. */
		if (objects->count && objects->items[objects->count - 1].end > object.start)
			continue;
		object.is_main = is_path(mapping, executable);
		object.path = own_path(mapping);
		objects->items[objects->count++] = object;
	}
	return 0;
}

int remote_objects_read(struct remote_memory *memory, struct remote_objects *out_objects)
{
	struct remote_objects objects = {.pid = memory->pid};
	char link[64];
	char executable[4096];
	size_t size = 0;
	int error = read_maps(memory->pid, &objects.text, &size);
	if (error)
		return error;
	/* One byte for the last path's end. */
	char *grown = realloc(objects.text, size + 1);
	error = grown ? 0 : -ENOMEM;
	if (grown)
		objects.text = grown;
	snprintf(link, sizeof link, "/proc/%d/exe", memory->pid);
	ssize_t length = readlink(link, executable, sizeof executable - 1);
	executable[length > 0 ? length : 0] = '\0';
	if (!error)
		error = parse_maps(&objects, size);
	if (!error)
		error = find_objects(&objects, memory, executable);
	if (error) {
		remote_objects_free(&objects);
		return error;
	}
	*out_objects = objects;
	return 0;
}

const struct remote_object *remote_objects_find(const struct remote_objects *objects, uint64_t address)
{
	size_t low = 0;
	size_t high = objects->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (objects->items[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < objects->count && objects->items[low].start <= address ? &objects->items[low] : NULL;
}

bool remote_objects_is_code(const struct remote_objects *objects, uint64_t address)
{
	const struct remote_mapping *mapping = mapping_at(objects, address);
	return mapping && mapping->is_executable;
}

void remote_objects_free(struct remote_objects *objects)
{
	free(objects->items);
	free(objects->mappings);
	free(objects->text);
	*objects = (struct remote_objects){0};
}
