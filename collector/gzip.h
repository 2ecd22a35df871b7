/* SPDX-License-Identifier: MIT */
/*
 * One gzip member out of one buffer.  Equal input gives equal output: no time, no
 * file name.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_GZIP_H
#define COLLECTOR_GZIP_H

#include <stddef.h>

/*
 * Compresses, fast rather than small, as Go does.  On success 0, *out_bytes
 * malloc'ed (the caller frees) and *out_size; else -ENOMEM.
 */
int gzip_compress(const void *bytes, size_t size, unsigned char **out_bytes, size_t *out_size);

#endif
