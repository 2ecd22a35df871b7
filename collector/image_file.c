/* SPDX-License-Identifier: MIT */
/*
 * A path is only a hint: between loading and opening, the file may have been
 * replaced, and the path may belong to another mount namespace.  The build id
 * decides; objects without one are identified by device and inode.
 *
 * Context: collector; see image_file.h.
 */
#include "image_file.h"

#include <elf.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image_memory.h"
#include "root_file.h"

#define VDSO_BYTES_MAX ((size_t)1 << 20)

/* The build id of an open ELF file: its length (0: none), or -ENOEXEC. */
static int read_build_id(int fd, uint8_t out_id[CPROF_BUILD_ID_MAX])
{
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return -ENOEXEC;
	int length = -ENOEXEC;
	if (elf_kind(elf) == ELF_K_ELF) {
		const void *id;
		ssize_t bytes = dwelf_elf_gnu_build_id(elf, &id);
		length = bytes > 0 && bytes <= (ssize_t)CPROF_BUILD_ID_MAX ? (int)bytes : 0;
		if (length > 0)
			memcpy(out_id, id, (size_t)length);
	}
	elf_end(elf);
	return length;
}

static bool is_the_file(int fd, const struct stat *st, const struct image_source *source)
{
	uint8_t id[CPROF_BUILD_ID_MAX];
	int length = read_build_id(fd, id);
	if (length < 0)
		return false;
	if (source->build_id_bytes)
		return (uint32_t)length == source->build_id_bytes &&
		       !memcmp(id, source->build_id, (size_t)length);
	return source->inode && st->st_ino == source->inode && st->st_dev == source->device;
}

/*
 * The kernel's shared object has no file.  All processes of one ABI have the same
 * one, so ours is it, if the build id says so too.
 */
static int open_vdso(void)
{
	const unsigned char *image = (const unsigned char *)getauxval(AT_SYSINFO_EHDR);
	if (!image || memcmp(image, ELFMAG, SELFMAG) != 0 || image[EI_CLASS] != ELFCLASS64)
		return -ENOENT;
	const Elf64_Ehdr *header = (const void *)image;
	size_t size = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
	if (size < sizeof(*header) || size > VDSO_BYTES_MAX)
		return -ENOEXEC;
	int fd = memfd_create("vdso", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, image, size) != (ssize_t)size) {
		close(fd);
		return -EIO;
	}
	return fd;
}

/* An executable that was removed right after its start still has this name. */
static int open_running(uint32_t pid, struct stat *out_stat)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	return pid ? root_file_open(-1, path, 0, out_stat) : -ENOENT;
}

/* Whatever is mapped has this name, for those who may CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN. */
static int open_mapped(const struct image_source *source, struct stat *out_stat)
{
	char path[80];
	snprintf(path, sizeof(path), "/proc/%u/map_files/%" PRIx64 "-%" PRIx64, source->pid,
		 source->text_start, source->text_end);
	return source->pid && source->text_end ? root_file_open(-1, path, 0, out_stat) : -ENOENT;
}

enum place { IN_ITS_ROOT, IN_OUR_ROOT, RUNNING, MAPPED, IN_MEMORY, PLACE_COUNT };

static int open_at(enum place place, const struct image_source *source, struct stat *out_stat)
{
	switch (place) {
	case IN_ITS_ROOT:
		return source->root_fd < 0 ? -ENOENT
					   : root_file_open(source->root_fd, source->path, 0, out_stat);
	case IN_OUR_ROOT:
		return root_file_open(-1, source->path, 0, out_stat);
	case RUNNING:
		return open_running(source->pid, out_stat);
	case MAPPED:
		return open_mapped(source, out_stat);
	default:
		return source->build_id_bytes ? image_memory_open(source) : -ENOENT;
	}
}

static int open_own_vdso(const struct image_source *source)
{
	struct stat unused = {0};
	int fd = source->build_id_bytes ? open_vdso() : -ENOENT;
	if (fd < 0 || is_the_file(fd, &unused, source))
		return fd;
	close(fd);
	return -ESTALE;
}

/*
 * A process that did chroot, or is gone, loaded its files from where we still are: our own
 * root is tried too, and what is found there proves itself in the same way.  Where no path leads to it
 * any more, the process may still have it.
 */
int image_file_open(const struct image_source *source)
{
	struct stat st = {0};
	int result = -ENOENT;
	if (source->flags & CPROF_MODULE_IS_VDSO)
		return open_own_vdso(source);
	for (enum place place = IN_ITS_ROOT; place < PLACE_COUNT; place++) {
		int fd = open_at(place, source, &st);
		if (fd >= 0 && is_the_file(fd, &st, source))
			return fd;
		if (fd >= 0)
			close(fd);
		if (place == IN_OUR_ROOT)
			result = fd >= 0 ? -ESTALE : fd;
	}
	return result;
}

int image_file_open_debug(const struct image_source *source)
{
	char path[64 + 2 * CPROF_BUILD_ID_MAX] = "/usr/lib/debug/.build-id/";
	if (source->root_fd < 0 || source->build_id_bytes < 2 || source->build_id_bytes > CPROF_BUILD_ID_MAX)
		return -ENOENT;
	size_t at = strlen(path);
	for (uint32_t i = 0; i < source->build_id_bytes; i++)
		at += (size_t)sprintf(path + at, i == 1 ? "/%02x" : "%02x", source->build_id[i]);
	memcpy(path + at, ".debug", sizeof(".debug"));
	struct stat st;
	int fd = root_file_open(source->root_fd, path, 0, &st);
	uint8_t id[CPROF_BUILD_ID_MAX];
	if (fd >= 0 && (read_build_id(fd, id) != (int)source->build_id_bytes ||
			memcmp(id, source->build_id, source->build_id_bytes) != 0)) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}
