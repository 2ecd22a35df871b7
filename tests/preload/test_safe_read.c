/* SPDX-License-Identifier: MIT */
/* Reads beside the known stack: mapped, unmapped, across the end of a mapping, forbidden. */
#include <criterion/criterion.h>
#include <sys/mman.h>

#include "safe_read.h"

#define PAGE 4096u

/* Two readable pages of counted words, then one that cannot be read. */
static uint64_t *map_words(void)
{
	uint64_t *words = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (uint64_t i = 0; i < 2 * PAGE / 8; i++)
		words[i] = 1000 + i;
	mprotect((char *)words + 2 * PAGE, PAGE, PROT_NONE);
	return words;
}

static uint64_t chunk[SAFE_READ_CHUNK_BYTES / 8];

static bool read_at(struct safe_reader *reader, const void *address, uint64_t *out_word)
{
	return safe_read_word(reader, (uint64_t)address, out_word);
}

Test(safe_read, far_words_are_copied_in_any_order)
{
	struct safe_reader reader;
	uint64_t *words = map_words(), word;
	safe_reader_init(&reader, 0, 0, chunk);
	const uint32_t order[] = {0, 1, 31, 32, 30, 500, 511, 512, 1023, 3};
	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
		cr_assert(read_at(&reader, words + order[i], &word));
		cr_assert_eq(word, 1000 + order[i]);
	}
	cr_assert(read_at(&reader, (char *)words + PAGE - 4, &word));
	cr_assert_eq(word, (uint64_t)(1000 + 511) >> 32 | (uint64_t)(1000 + 512) << 32);
}

Test(safe_read, unreadable_words_are_refused_with_and_without_a_chunk)
{
	struct safe_reader reader;
	uint64_t *words = map_words(), word = 7;
	for (int i = 0; i < 2; i++) {
		safe_reader_init(&reader, 0, 0, i ? chunk : NULL);
		cr_assert(read_at(&reader, words + 1023, &word));
		cr_assert_eq(word, 1000 + 1023);
		cr_assert_not(read_at(&reader, (char *)(words + 1023) + 1, &word));
		cr_assert_not(read_at(&reader, words + 1024, &word));
		cr_assert_not(read_at(&reader, NULL, &word));
		cr_assert_not(read_at(&reader, (void *)UINT64_C(0xffffffffffffffff), &word));
		cr_assert_not(read_at(&reader, (void *)UINT64_C(0x0000800000000000), &word));
		cr_assert(read_at(&reader, words, &word));
	}
}

Test(safe_read, near_words_are_those_wholly_within_the_bounds)
{
	struct safe_reader reader;
	uint64_t words[4];
	safe_reader_init(&reader, (uint64_t)(words + 1), (uint64_t)(words + 3), NULL);
	cr_assert_not(safe_read_is_near(&reader, (uint64_t)(words + 1) - 1));
	cr_assert(safe_read_is_near(&reader, (uint64_t)(words + 1)));
	cr_assert(safe_read_is_near(&reader, (uint64_t)(words + 2)));
	cr_assert_not(safe_read_is_near(&reader, (uint64_t)(words + 2) + 1));
	for (uint64_t bytes = 0; bytes < 8; bytes++) {
		safe_reader_init(&reader, (uint64_t)words, (uint64_t)words + bytes, NULL);
		cr_assert_not(safe_read_is_near(&reader, (uint64_t)words));
	}
	safe_reader_init(&reader, (uint64_t)(words + 3), (uint64_t)words, NULL);
	cr_assert_not(safe_read_is_near(&reader, (uint64_t)words));
}

Test(safe_read, nothing_far_is_read_once_calls_are_forbidden)
{
	struct safe_reader reader;
	uint64_t *words = map_words(), word;
	safe_reader_init(&reader, (uint64_t)words, (uint64_t)(words + 2), chunk);
	cr_assert(safe_read_may_call());
	safe_read_forbid_calls();
	cr_assert_not(safe_read_may_call());
	cr_assert(read_at(&reader, words + 1, &word));
	cr_assert_not(read_at(&reader, words + 2, &word));
}
