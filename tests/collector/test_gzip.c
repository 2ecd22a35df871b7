/* SPDX-License-Identifier: MIT */
/*
 * What gunzip makes of it, and that equal input gives equal output.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "gzip.h"

static void expect_round_trip(const unsigned char *bytes, size_t size)
{
	unsigned char *packed, *again, *unpacked = malloc(size + 1);
	size_t packed_size, again_size;
	cr_assert_eq(gzip_compress(bytes, size, &packed, &packed_size), 0);
	cr_assert_eq(gzip_compress(bytes, size, &again, &again_size), 0);
	cr_expect_eq(packed_size, again_size);
	cr_expect_eq(memcmp(packed, again, packed_size), 0);

	z_stream z = {.next_in = packed,
		      .avail_in = (uInt)packed_size,
		      .next_out = unpacked,
		      .avail_out = (uInt)size + 1};
	cr_assert_eq(inflateInit2(&z, 15 + 16), Z_OK);
	cr_expect_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	cr_expect_eq(z.avail_in, 0);
	cr_expect_eq(z.total_out, size);
	cr_expect_eq(memcmp(unpacked, bytes, size), 0);
	inflateEnd(&z);
	free(packed);
	free(again);
	free(unpacked);
}

Test(gzip, gives_back_what_went_in)
{
	expect_round_trip((const unsigned char *)"", 0);
	expect_round_trip((const unsigned char *)"x", 1);
	size_t size = 3 << 20;
	unsigned char *bytes = calloc(1, size);
	expect_round_trip(bytes, size);
	/* Noise becomes longer. */
	unsigned seed = 7;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)(rand_r(&seed) >> 7);
	expect_round_trip(bytes, size);
	expect_round_trip(bytes, 65537);
	free(bytes);
}

Test(gzip, writes_no_time_and_no_name)
{
	unsigned char *packed;
	size_t size;
	cr_assert_eq(gzip_compress("abc", 3, &packed, &size), 0);
	static const unsigned char start[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0};
	cr_expect_eq(memcmp(packed, start, sizeof(start)), 0);
	free(packed);
}
