/* SPDX-License-Identifier: MIT */
/*
 * An object whose file is gone, as far as it is in the memory of a process that runs it: what was
 * loaded says which build it is, and has the names of all functions that it exports.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_IMAGE_MEMORY_H
#define COLLECTOR_IMAGE_MEMORY_H

#include "image.h"

/*
 * A descriptor of an ELF file in memory, made of what source->pid has at source->start, or -errno.
 * It has no section headers.  Whose memory it was is not certain: the caller looks at the build id.
 */
int image_memory_open(const struct image_source *source);

#endif
