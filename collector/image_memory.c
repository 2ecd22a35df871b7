/* SPDX-License-Identifier: MIT */
/*
 * Each segment goes where it was in the file.  Code is left out, unless what names it lies in the
 * same segment.  The dynamic linker has made addresses of some entries of the dynamic section; in the
 * file they are relative to the object, and libdwfl wants them so.
 *
 * Context: collector; see image_memory.h.
 */
#include "image_memory.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "remote_memory.h"

#define SEGMENTS_MAX 64u
#define ENTRIES_MAX 256u
#define BYTES_MAX (UINT64_C(64) << 20)
#define OFFSET_MAX (UINT64_C(4) << 30)
#define PIECE_BYTES 16384u

struct loaded {
	pid_t pid;
	uint64_t bias;
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENTS_MAX];
	uint64_t dynamic_offset; /* in the file */
	uint32_t entry_count;
	Elf64_Dyn entries[ENTRIES_MAX]; /* as in the file */
};

static int read_headers(struct loaded *loaded, uint64_t start)
{
	Elf64_Ehdr *header = &loaded->header;
	int error = remote_memory_copy_all(loaded->pid, start, header, sizeof *header);
	if (error)
		return error;
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_phentsize != sizeof loaded->segments[0] || header->e_phnum == 0 ||
	    header->e_phnum > SEGMENTS_MAX)
		return -ENOEXEC;
	/* They are not in memory. */
	header->e_shoff = 0;
	header->e_shnum = header->e_shstrndx = 0;
	return remote_memory_copy_all(loaded->pid, start + header->e_phoff, loaded->segments,
				      header->e_phnum * sizeof loaded->segments[0]);
}

static bool is_address(int64_t tag)
{
	switch (tag) {
	case DT_HASH:
	case DT_GNU_HASH:
	case DT_STRTAB:
	case DT_SYMTAB:
	case DT_VERSYM:
	case DT_VERDEF:
	case DT_VERNEED:
		return true;
	default:
		return false;
	}
}

static int read_dynamic(struct loaded *loaded)
{
	const Elf64_Phdr *dynamic = NULL;
	for (uint32_t i = 0; i < loaded->header.e_phnum; i++)
		if (loaded->segments[i].p_type == PT_DYNAMIC)
			dynamic = &loaded->segments[i];
	if (!dynamic)
		return -ENOENT;
	uint64_t count = dynamic->p_filesz / sizeof loaded->entries[0];
	loaded->entry_count = (uint32_t)(count < ENTRIES_MAX ? count : ENTRIES_MAX);
	loaded->dynamic_offset = dynamic->p_offset;
	int error = remote_memory_copy_all(loaded->pid, loaded->bias + dynamic->p_vaddr, loaded->entries,
					   loaded->entry_count * sizeof loaded->entries[0]);
	for (uint32_t i = 0; i < loaded->entry_count; i++) {
		Elf64_Dyn *entry = &loaded->entries[i];
		if (is_address(entry->d_tag) && entry->d_un.d_ptr >= loaded->bias)
			entry->d_un.d_ptr -= loaded->bias;
	}
	return error;
}

static bool is_wanted(const struct loaded *loaded, const Elf64_Phdr *segment)
{
	if (segment->p_type != PT_LOAD || segment->p_filesz == 0)
		return false;
	for (uint32_t i = 0; i < loaded->entry_count; i++)
		if (is_address(loaded->entries[i].d_tag) &&
		    loaded->entries[i].d_un.d_ptr - segment->p_vaddr < segment->p_filesz)
			return true;
	return !(segment->p_flags & PF_X);
}

static int put(int fd, const void *bytes, size_t size, uint64_t offset)
{
	ssize_t written = pwrite(fd, bytes, size, (off_t)offset);
	if (written < 0)
		return -errno;
	return (size_t)written == size ? 0 : -EIO;
}

static int put_segment(const struct loaded *loaded, int fd, const Elf64_Phdr *segment)
{
	unsigned char piece[PIECE_BYTES];
	int error = 0;
	for (uint64_t done = 0; done < segment->p_filesz && !error; done += sizeof piece) {
		uint64_t left = segment->p_filesz - done;
		size_t size = left < sizeof piece ? left : sizeof piece;
		error = remote_memory_copy_all(loaded->pid, loaded->bias + segment->p_vaddr + done, piece,
					       size);
		if (!error)
			error = put(fd, piece, size, segment->p_offset + done);
	}
	return error;
}

static int put_all(const struct loaded *loaded, int fd)
{
	uint64_t total = 0;
	int error = 0;
	for (uint32_t i = 0; i < loaded->header.e_phnum && !error; i++) {
		const Elf64_Phdr *segment = &loaded->segments[i];
		if (!is_wanted(loaded, segment))
			continue;
		if (segment->p_filesz > BYTES_MAX - total || segment->p_offset > OFFSET_MAX)
			return -EFBIG;
		total += segment->p_filesz;
		error = put_segment(loaded, fd, segment);
	}
	if (!error)
		error = put(fd, &loaded->header, sizeof loaded->header, 0);
	if (!error && loaded->dynamic_offset <= OFFSET_MAX)
		error = put(fd, loaded->entries, loaded->entry_count * sizeof loaded->entries[0],
			    loaded->dynamic_offset);
	return error;
}

int image_memory_open(const struct image_source *source)
{
	struct loaded loaded = {.pid = (pid_t)source->pid, .bias = source->bias};
	if (source->pid == 0 || source->start == 0)
		return -ENOENT;
	int error = read_headers(&loaded, source->start);
	if (!error)
		error = read_dynamic(&loaded);
	if (error)
		return error;
	int fd = memfd_create("image", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = put_all(&loaded, fd);
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}
