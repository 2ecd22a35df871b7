/* SPDX-License-Identifier: MIT */
/*
 * libdwfl finds separate debug files (by build id and by debuglink) and applies what
 * dwz shared; reported at base 0, all its addresses are those in the file.
 *
 * Context: command line; see pgo_binary.h.
 */
#include "pgo_binary.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_build_id(struct pgo_binary *binary, Dwfl_Module *module)
{
	const unsigned char *bits;
	GElf_Addr address;
	int size = dwfl_module_build_id(module, &bits, &address);
	binary->build_id[0] = '\0';
	for (int i = 0; i < size && 2 * (size_t)i + 3 <= sizeof binary->build_id; i++)
		snprintf(binary->build_id + 2 * i, 3, "%02x", bits[i]);
}

/* Nothing touches the network unless it was allowed in so many words. */
static void forbid_network(void)
{
	const char *allowed = getenv("CPROF_DEBUGINFOD");
	if (!allowed || strcmp(allowed, "1") != 0)
		unsetenv("DEBUGINFOD_URLS");
}

/* 0, or -errno and said why. */
static int report(struct pgo_binary *binary, int fd)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.section_address = dwfl_offline_section_address,
	};
	GElf_Ehdr header;
	GElf_Addr bias;
	forbid_network();
	binary->dwfl = dwfl_begin(&callbacks);
	dwfl_report_begin(binary->dwfl);
	/* Takes the descriptor if it succeeds. */
	Dwfl_Module *module = dwfl_report_elf(binary->dwfl, binary->path, binary->path, fd, 0, true);
	dwfl_report_end(binary->dwfl, NULL, NULL);
	if (!module)
		close(fd);
	binary->elf = module ? dwfl_module_getelf(module, &bias) : NULL;
	if (!binary->elf || !gelf_getehdr(binary->elf, &header)) {
		fprintf(stderr, "cprof pgo: %s is no ELF file: an executable or shared library is wanted\n",
			binary->path);
		return -ENOEXEC;
	}
	if (header.e_machine != EM_X86_64) {
		fprintf(stderr, "cprof pgo: %s is not for x86-64, and no other code can be read yet\n",
			binary->path);
		return -ENOEXEC;
	}
	read_build_id(binary, module);
	binary->dwarf = dwfl_module_getdwarf(module, &bias);
	Dwarf_CU *unit = NULL;
	if (!binary->dwarf || dwarf_get_units(binary->dwarf, unit, &unit, NULL, NULL, NULL, NULL) != 0) {
		fprintf(stderr,
			"cprof pgo: %s has no debug information (DWARF), neither in itself nor in a separate "
			"file:"
			" build it with -g -fdebug-info-for-profiling\n",
			binary->path);
		return -ENODATA;
	}
	return 0;
}

int pgo_binary_open(struct pgo_binary *binary, const char *path)
{
	const char *slash = strrchr(path, '/');
	*binary = (struct pgo_binary){.path = path, .name = slash ? slash + 1 : path};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int error = -errno;
		fprintf(stderr, "cprof pgo: %s: %s\n", path, strerror(-error));
		return error;
	}
	int error = report(binary, fd);
	if (error)
		pgo_binary_close(binary);
	return error;
}

void pgo_binary_close(struct pgo_binary *binary)
{
	dwfl_end(binary->dwfl);
	*binary = (struct pgo_binary){0};
}

/* The executable segment that `is_in` says; false if there is none. */
static bool find_segment(const struct pgo_binary *binary, bool (*is_in)(const GElf_Phdr *, uint64_t),
			 uint64_t place, GElf_Phdr *out_segment)
{
	size_t count;
	if (elf_getphdrnum(binary->elf, &count) != 0)
		return false;
	for (size_t i = 0; i < count && i < INT32_MAX; i++)
		if (gelf_getphdr(binary->elf, (int)i, out_segment) && out_segment->p_type == PT_LOAD &&
		    (out_segment->p_flags & PF_X) && is_in(out_segment, place))
			return true;
	return false;
}

static bool has_offset(const GElf_Phdr *segment, uint64_t offset)
{
	return offset >= segment->p_offset && offset - segment->p_offset < segment->p_filesz;
}

static bool has_address(const GElf_Phdr *segment, uint64_t address)
{
	return address >= segment->p_vaddr && address - segment->p_vaddr < segment->p_filesz;
}

bool pgo_binary_address(const struct pgo_binary *binary, uint64_t offset, uint64_t *out_address)
{
	GElf_Phdr segment;
	if (!find_segment(binary, has_offset, offset, &segment))
		return false;
	*out_address = segment.p_vaddr + (offset - segment.p_offset);
	return true;
}

const uint8_t *pgo_binary_code(const struct pgo_binary *binary, uint64_t address, size_t *out_size)
{
	GElf_Phdr segment;
	size_t file_bytes;
	const char *file = elf_rawfile(binary->elf, &file_bytes);
	if (!file || !find_segment(binary, has_address, address, &segment))
		return NULL;
	uint64_t skipped = address - segment.p_vaddr, offset = segment.p_offset + skipped;
	if (offset < skipped || offset >= file_bytes)
		return NULL;
	size_t size = segment.p_filesz - skipped;
	*out_size = size < file_bytes - offset ? size : file_bytes - offset;
	return (const uint8_t *)file + offset;
}
