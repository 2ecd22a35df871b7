/* SPDX-License-Identifier: MIT */
/*
 * The profiled executable or shared library: its build id, its code, and the way from
 * offsets in the file to the addresses that its debug information speaks of.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_BINARY_H
#define TOOLS_PGO_BINARY_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PGO_BUILD_ID_BYTES 160 /* as hexadecimal text, of at most 64 bytes with some room */

struct pgo_binary {
	const char *path;                  /* borrowed */
	const char *name;                  /* the last part of path */
	char build_id[PGO_BUILD_ID_BYTES]; /* "" if there is none */
	Dwfl *dwfl;
	Elf *elf;
	Dwarf *dwarf; /* its own or that of its separate debug file */
};

/*
 * Opens `path`.  0, or -errno and said why: there is no such file, it is no x86-64
 * ELF object, or nothing tells the lines of its code.
 */
int pgo_binary_open(struct pgo_binary *binary, const char *path);

void pgo_binary_close(struct pgo_binary *binary);

/* The address of an offset in the file.  False if no code was loaded from there. */
bool pgo_binary_address(const struct pgo_binary *binary, uint64_t offset, uint64_t *out_address);

/* The code at an address and how many bytes of it are there; NULL if there is none. */
const uint8_t *pgo_binary_code(const struct pgo_binary *binary, uint64_t address, size_t *out_size);

#endif
