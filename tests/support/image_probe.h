/* SPDX-License-Identifier: MIT */
/*
 * Programs for tests of images, and what an image says about their code.  Files are in
 * the scratch directory of fixture.h.
 *
 * Context: tests of the collector.
 */
#ifndef TESTS_SUPPORT_IMAGE_PROBE_H
#define TESTS_SUPPORT_IMAGE_PROBE_H

#include <stdint.h>

#include "image.h"

/* After a test: closes images and removes the directory. */
void image_probe_end(void);

/* Opens a file by its path in a root directory (-1: ours), as the one with this build id. */
struct image *image_probe_open_at(const char *path, int root_fd, const uint8_t *build_id,
				  uint32_t build_id_bytes);

/* DIR/name, identified as the module table would. */
struct image *image_probe_open(const char *name);

/* Frames of an address, innermost first, "name(system_name)" each. */
const char *image_probe_frames(struct image *image, uint64_t address);

/* The same of a symbol of DIR/file. */
const char *image_probe_frames_of(struct image *image, const char *file, const char *symbol);

/* A program with functions inlined into each other; one with C++ scopes of all sorts; a library. */
extern const char image_probe_inlines_c[], image_probe_scopes_cc[], image_probe_library_c[];

/* Compiles the library to DIR/full and DIR/stripped; the address of its hidden function. */
uint64_t image_probe_build_library(void);

/* Puts what DIR/full has and DIR/stripped has not under DIR/root, where debug files are looked for. */
void image_probe_install_debug_file(const char *root);

#endif
