/* SPDX-License-Identifier: MIT */
/* Interning label sets: what tells them apart, what is too much, and a forked child's copy. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "label_table.h"
#include "own_segment.h"

static void open_segment(void)
{
	own_segment_open(UINT64_C(64) << 20);
}

TestSuite(label_table, .init = open_segment);

static const struct cprof_label_set *set_at(uint32_t id)
{
	return (const void *)(segment_labels() + 8 * (size_t)id);
}

static uint64_t lost(void)
{
	return load_relaxed(&segment_control()->counters[CPROF_LABELS_LOST]);
}

Test(label_table, a_set_is_a_label_on_top_of_another_set)
{
	uint32_t outer = label_table_add(0, "tenant", "a");
	uint32_t inner = label_table_add(outer, "request", "search");
	cr_assert_neq(outer, 0);
	cr_assert_gt(inner, outer);
	const struct cprof_label_set *set = set_at(inner);
	cr_expect_eq(set->outer, outer);
	cr_expect_eq(set->depth, 2);
	cr_expect_eq(set->key_bytes, 7);
	cr_expect_eq(set->value_bytes, 6);
	cr_expect_eq(memcmp(set->text, "requestsearch", 13), 0);
}

Test(label_table, key_value_and_what_is_below_tell_sets_apart)
{
	uint32_t a = label_table_add(0, "key", "value");
	cr_expect_eq(label_table_add(0, "key", "value"), a);
	cr_expect_neq(label_table_add(0, "ke", "yvalue"), a);
	cr_expect_neq(label_table_add(0, "key", "valuf"), a);
	cr_expect_neq(label_table_add(0, "key", ""), a);
	cr_expect_neq(label_table_add(a, "key", "value"), a);
}

Test(label_table, long_texts_are_cut)
{
	static char text[2000];
	memset(text, 'x', sizeof text - 1);
	uint32_t id = label_table_add(0, text, text);
	cr_assert_neq(id, 0);
	cr_expect_eq(set_at(id)->key_bytes, CPROF_LABEL_KEY_BYTES);
	cr_expect_eq(set_at(id)->value_bytes, CPROF_LABEL_VALUE_BYTES);
	text[CPROF_LABEL_KEY_BYTES] = '\0';
	cr_expect_neq(label_table_add(0, text, ""), id);
}

Test(label_table, a_full_set_stays_as_it_is_and_what_is_not_added_is_counted)
{
	uint32_t id = 0;
	for (uint32_t i = 0; i < CPROF_LABELS_MAX; i++)
		id = label_table_add(id, "key", "value");
	cr_assert_eq(set_at(id)->depth, CPROF_LABELS_MAX);
	cr_expect_eq(lost(), 0);
	cr_expect_eq(label_table_add(id, "one", "more"), id);
	cr_expect_eq(lost(), 1);
}

Test(label_table, a_full_table_keeps_what_it_has)
{
	own_segment_open(UINT64_C(1) << 20);
	uint32_t first = label_table_add(0, "n", "0");
	uint64_t refused = 0;
	char value[16];
	for (int i = 1; i < 10000; i++) {
		snprintf(value, sizeof value, "%d", i);
		refused += label_table_add(first, "n", value) == first;
	}
	cr_assert_gt(refused, 0);
	cr_expect_eq(lost(), refused);
	cr_expect_leq(load_relaxed(&segment_control()->labels_used) * 8, segment.geometry.labels_bytes);
	cr_expect_eq(label_table_add(0, "n", "0"), first);
}

Test(label_table, ids_that_are_none_count_as_no_labels)
{
	static const uint32_t bad[] = {5000, CPROF_LABEL_IDS - 1, UINT32_MAX};
	uint32_t known = label_table_add(0, "a", "b");
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		cr_expect_eq(label_table_add(bad[i], "a", "b"), known);
}

static void *add_many(void *ids)
{
	char value[16];
	for (int i = 0; i < 2000; i++) {
		snprintf(value, sizeof value, "%d", i);
		((uint32_t *)ids)[i] = label_table_add(0, "n", value);
	}
	return NULL;
}

Test(label_table, threads_agree_on_ids)
{
	static uint32_t ids[4][2000];
	pthread_t threads[4];
	for (int t = 0; t < 4; t++)
		cr_assert_eq(pthread_create(&threads[t], NULL, add_many, ids[t]), 0);
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	for (int i = 0; i < 2000; i++) {
		char value[16];
		snprintf(value, sizeof value, "%d", i);
		for (int t = 0; t < 4; t++) {
			cr_assert_neq(ids[t][i], 0);
			cr_assert_eq(memcmp(set_at(ids[t][i])->text + 1, value, strlen(value)), 0);
		}
	}
}

Test(label_table, a_copy_keeps_ids_good_in_another_segment)
{
	static uint32_t ids[3000];
	char value[16];
	struct label_table_copy copy;
	for (int i = 0; i < 3000; i++) {
		snprintf(value, sizeof value, "%d", i);
		ids[i] = label_table_add(0, "n", value);
	}
	label_table_keep(&copy);
	open_segment();
	cr_assert(label_table_restore(&copy));
	label_table_drop(&copy);
	for (int i = 0; i < 3000; i++) {
		snprintf(value, sizeof value, "%d", i);
		cr_assert_eq(label_table_add(0, "n", value), ids[i]);
	}
	cr_expect_gt(label_table_add(0, "n", "new"), ids[2999]);
}

Test(label_table, a_copy_for_a_segment_of_another_size_is_refused)
{
	struct label_table_copy copy;
	char value[16];
	for (int i = 0; i < 3000; i++) {
		snprintf(value, sizeof value, "%d", i);
		(void)label_table_add(0, "n", value);
	}
	label_table_keep(&copy);
	own_segment_open(UINT64_C(1) << 20);
	cr_expect_not(label_table_restore(&copy));
	label_table_drop(&copy);
	cr_expect_eq(load_relaxed(&segment_control()->labels_used), 0);
}

Test(label_table, without_labels_there_is_nothing_to_copy)
{
	struct label_table_copy copy;
	label_table_keep(&copy);
	cr_expect_eq(copy.bytes, NULL);
	cr_expect_not(label_table_restore(&copy));
	label_table_drop(&copy);
}
