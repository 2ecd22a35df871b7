/* SPDX-License-Identifier: MIT */
/* From the label table to labels: what counts, what is equal, and what nonsense may not do. */
#include <criterion/criterion.h>
#include <string.h>

#include "fake_image.h"
#include "label_sets.h"

static struct fake_image image;
static struct label_sets sets;

static void open_image(void)
{
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
}

static void close_image(void)
{
	label_sets_free(&sets);
	fake_image_close(&image);
}

TestSuite(label_sets, .init = open_image, .fini = close_image);

static uint32_t add(uint32_t outer, const char *key, const char *value)
{
	return fake_labels(&image.segment, outer, key, value);
}

static const struct label_set *find(uint32_t id)
{
	const struct label_set *set;
	cr_assert_eq(label_sets_find(&sets, id, &set), 0);
	return set;
}

static void read_all(void)
{
	cr_assert_eq(label_sets_read(&image.reader, &sets), 0);
}

Test(label_sets, labels_are_sorted_by_key)
{
	uint32_t id = add(add(add(0, "m", "1"), "z", "2"), "a", "3");
	read_all();
	const struct label_set *set = find(id);
	cr_assert_eq(set->count, 3);
	cr_expect_str_eq(set->labels[0].key, "a");
	cr_expect_str_eq(set->labels[0].text, "3");
	cr_expect_str_eq(set->labels[1].key, "m");
	cr_expect_str_eq(set->labels[2].key, "z");
}

Test(label_sets, of_equal_keys_the_last_one_counts)
{
	uint32_t id = add(add(add(0, "k", "first"), "other", "x"), "k", "last");
	read_all();
	const struct label_set *set = find(id);
	cr_assert_eq(set->count, 2);
	cr_expect_str_eq(set->labels[0].text, "last");
}

Test(label_sets, what_says_the_same_is_one_set)
{
	uint32_t ab = add(add(0, "a", "1"), "b", "2");
	uint32_t ba = add(add(0, "b", "2"), "a", "1");
	uint32_t other = add(add(0, "b", "2"), "a", "12");
	read_all();
	cr_expect_eq(find(ab), find(ba));
	cr_expect_neq(find(ab), find(other));
}

Test(label_sets, without_labels_no_id_is_a_set)
{
	read_all();
	cr_expect_null(find(0));
	cr_expect_null(find(1));
	cr_expect_null(find(UINT32_MAX));
}

Test(label_sets, no_nonsense_leads_out_of_the_table_or_round_in_circles)
{
	uint32_t last = 0;
	for (int i = 0; i < 40; i++)
		last = add(last, "key", "value");
	unsigned char *arena = image.segment.base + image.segment.geometry.labels_offset;
	uint64_t random = 1;
	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 4; i++) {
			random = cprof_mix64(random + 1);
			arena[random % (8 * (last + 4))] = (unsigned char)(random >> 32);
		}
		if (round % 16 == 0)
			store_relaxed(&fake_control(&image.segment)->labels_used, random);
		label_sets_free(&sets);
		read_all();
		for (uint32_t id = 0; id < last + 8; id++) {
			const struct label_set *set = find(id);
			cr_assert(!set || (set->count >= 1 && set->count <= CPROF_LABELS_MAX));
		}
		(void)find(image.segment.geometry.labels_bytes / 8 - 1);
		(void)find(image.segment.geometry.labels_bytes / 8);
	}
}
