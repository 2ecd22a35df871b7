/* SPDX-License-Identifier: MIT */
/*
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"

Test(arena, gives_separate_zeroed_aligned_pieces_of_every_size)
{
	struct arena arena = {0};
	static const size_t sizes[] = {0, 1, 15, 16, 17, 8191, 8192, 8193, 65535, 65536, 65537, 1 << 20};
	unsigned char *pieces[600];
	for (size_t i = 0; i < 600; i++) {
		size_t size = sizes[(i * 7) % 12];
		pieces[i] = arena_alloc(&arena, size);
		cr_assert_not_null(pieces[i]);
		cr_assert_eq((uintptr_t)pieces[i] % 16, 0);
		for (size_t j = 0; j < size; j++)
			cr_assert_eq(pieces[i][j], 0);
		memset(pieces[i], (int)(i % 255) + 1, size);
	}
	for (size_t i = 0; i < 600; i++)
		for (size_t j = 0; j < sizes[(i * 7) % 12]; j++)
			cr_assert_eq(pieces[i][j], i % 255 + 1);
	arena_fini(&arena);
	arena_fini(&arena);
}

Test(arena, starts_with_a_large_piece_as_well)
{
	struct arena arena = {0};
	char *large = arena_alloc(&arena, 100000);
	char *copy = arena_copy(&arena, "text and more", 4);
	cr_assert(large && copy);
	memset(large, 'x', 100000);
	cr_expect_str_eq(copy, "text");
	arena_fini(&arena);
}

Test(arena, refuses_what_overflows)
{
	struct arena arena = {0};
	cr_expect_null(arena_alloc(&arena, SIZE_MAX));
	cr_expect_null(arena_array(&arena, SIZE_MAX / 2, 4));
	cr_expect_null(arena_copy(&arena, "", SIZE_MAX));
	arena_fini(&arena);
}
