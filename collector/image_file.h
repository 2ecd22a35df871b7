/* SPDX-License-Identifier: MIT */
/*
 * Finds the file of a loaded object and proves that it is the one.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_IMAGE_FILE_H
#define COLLECTOR_IMAGE_FILE_H

#include "image.h"

/* A descriptor of the object's file, or of a copy of our own vdso; or -errno. */
int image_file_open(const struct image_source *source);

/*
 * A descriptor of the separate debug file of that build id, which lies in the
 * process's root; or -errno.  Our own root is libdwfl's affair.
 */
int image_file_open_debug(const struct image_source *source);

#endif
