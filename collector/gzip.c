/* SPDX-License-Identifier: MIT */
/*
 * zlib takes and gives at most UINT_MAX bytes at a time, so both sides are fed in
 * pieces.
 *
 * Context: collector; see gzip.h.
 */
#include "gzip.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#define WINDOW_BITS_GZIP (15 + 16)
#define MEMORY_LEVEL 8
#define PIECE_BYTES ((size_t)1 << 30)
#define GZIP_HEADER_AND_TRAILER_BYTES 18

static uInt piece(size_t left)
{
	return (uInt)(left < PIECE_BYTES ? left : PIECE_BYTES);
}

int gzip_compress(const void *bytes, size_t size, unsigned char **out_bytes, size_t *out_size)
{
	z_stream z = {0};
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS_GZIP, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return -ENOMEM;
	/* What deflate can make of it at worst: five bytes for each stored block, and then some. */
	size_t capacity = size + size / 1000 + GZIP_HEADER_AND_TRAILER_BYTES + 1024;
	unsigned char *out = malloc(capacity);
	size_t taken = 0, given = 0;
	int status = out ? Z_OK : Z_MEM_ERROR;
	while (status == Z_OK && given < capacity) {
		uInt in_piece = piece(size - taken), out_piece = piece(capacity - given);
		z.next_in = (Bytef *)(uintptr_t)((const unsigned char *)bytes + taken);
		z.avail_in = in_piece;
		z.next_out = out + given;
		z.avail_out = out_piece;
		status = deflate(&z, taken + in_piece == size ? Z_FINISH : Z_NO_FLUSH);
		taken += in_piece - z.avail_in;
		given += out_piece - z.avail_out;
	}
	deflateEnd(&z);
	if (status != Z_STREAM_END) {
		free(out);
		return -ENOMEM;
	}
	*out_bytes = out;
	*out_size = given;
	return 0;
}
