/* SPDX-License-Identifier: MIT */
/*
 * What the files of one image say of its addresses: its debug information where there is
 * some, else its symbols.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_IMAGE_CONTENT_H
#define COLLECTOR_IMAGE_CONTENT_H

#include <elfutils/libdwfl.h>

#include "image.h"
#include "image_dwarf.h"
#include "image_names.h"
#include "image_symtab.h"

struct image_content {
	int fd;       /* until it is loaded: then libdwfl's, -1 here */
	int debug_fd; /* of a debug file in the process's root, or -1; likewise */
	bool is_loaded;
	Dwfl *dwfl;
	struct image_names names;
	struct image_symtab symtab;
	struct image_dwarf *dwarf; /* NULL: there is no debug information */
	int guards[2];             /* handles of the mapped files, or -1 */
};

/* Both descriptors are the content's from now on. */
void image_content_init(struct image_content *content, int fd, int debug_fd);
void image_content_fini(struct image_content *content);

/*
 * Reads what there is, once, before what follows is asked.  `path`: for messages of libdwfl's, and to
 * find debug files.
 */
void image_content_load(struct image_content *content, const char *path);

/* As image_symbolise(), and not remembered. */
size_t image_content_lines(struct image_content *content, uint64_t address,
			   struct image_line lines[IMAGE_LINES_MAX]);

/* Where the symbol begins that an address is in.  False: there is none. */
bool image_content_symbol_start(const struct image_content *content, uint64_t address, uint64_t *out_start);

#endif
