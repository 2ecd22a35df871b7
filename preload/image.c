/* SPDX-License-Identifier: MIT */
/*
 * For an executable with holes between its segments, whose address space the kernel did
 * not reserve as a whole, the loader's answer to "which object?" is one segment only (glibc's
 * l_contiguous): so the bounds of an image are taken from its program headers.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#include "image.h"

#include <string.h>
#include <sys/auxv.h>

#include "cprof_compiler.h"
#include "cprof_shm.h"

/* Written by image_init(), constant after: addresses in known objects, 0 if there is none. */
static struct {
	uint64_t executable; /* the loader's identity of it */
	uint64_t entry;
	uint64_t headers; /* of the executable */
	uint64_t header_count;
	uint64_t loader;
	uint64_t vdso;
	uint64_t libc;
	uint64_t cprof;
} fixed;

static bool contains(const struct image *image, uint64_t address)
{
	return address >= image->start && address < image->end;
}

static void find_headers(const struct object *object, struct image *image)
{
	image->headers = NULL;
	image->header_count = 0;
	if (object->identity == fixed.executable) {
		image->headers = (const ElfW(Phdr) *)(uintptr_t)fixed.headers;
		image->header_count = (uint32_t)fixed.header_count;
		return;
	}
	const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)(uintptr_t)object->start;
	const uint64_t bytes = object->end - object->start;
	if (bytes < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phoff > bytes ||
	    (bytes - header->e_phoff) / sizeof(ElfW(Phdr)) < header->e_phnum)
		return;
	image->headers = (const ElfW(Phdr) *)(uintptr_t)(object->start + header->e_phoff);
	image->header_count = header->e_phnum;
}

static void set_flags(struct image *image)
{
	bool is_executable = contains(image, fixed.entry);
	image->flags = is_executable ? CPROF_MODULE_IS_MAIN : 0;
	if (contains(image, fixed.vdso))
		image->flags |= CPROF_MODULE_IS_VDSO;
	/* When linked into an executable (tests), cprof is no object to hide. */
	if (contains(image, fixed.cprof) && !is_executable)
		image->flags |= CPROF_MODULE_IS_CPROF;
}

void image_open(const struct object *object, struct image *out_image)
{
	struct image *image = out_image;
	objects_describe(object, &image->bias, &image->name);
	find_headers(object, image);
	image->start = object->start;
	image->end = object->end;
	for (uint32_t i = 0; i < image->header_count; i++) {
		const ElfW(Phdr) *header = &image->headers[i];
		uint64_t start = image->bias + header->p_vaddr;
		if (header->p_type != PT_LOAD)
			continue;
		if (start < image->start)
			image->start = start;
		if (start + header->p_memsz > image->end)
			image->end = start + header->p_memsz;
	}
	set_flags(image);
}

bool image_find_segment(const struct image *image, uint64_t address, uint64_t *out_low, uint64_t *out_high)
{
	for (uint32_t i = 0; i < image->header_count; i++) {
		const ElfW(Phdr) *header = &image->headers[i];
		uint64_t low = image->bias + header->p_vaddr;
		if (header->p_type == PT_LOAD && address - low < header->p_filesz) {
			*out_low = low;
			*out_high = low + header->p_filesz;
			return true;
		}
	}
	return false;
}

bool image_is_pinned(const struct image *image)
{
	return image->flags != 0 || contains(image, fixed.loader) || contains(image, fixed.libc);
}

void image_init(void)
{
	struct object executable;
	fixed.entry = getauxval(AT_ENTRY);
	fixed.headers = getauxval(AT_PHDR);
	fixed.header_count = getauxval(AT_PHNUM);
	fixed.loader = getauxval(AT_BASE);
	fixed.vdso = getauxval(AT_SYSINFO_EHDR);
	fixed.libc = (uint64_t)(uintptr_t)&getauxval;
	fixed.cprof = (uint64_t)(uintptr_t)&image_init;
	fixed.executable = objects_find(fixed.entry, &executable) ? executable.identity : 0;
}
