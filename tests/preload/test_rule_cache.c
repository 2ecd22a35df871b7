/* SPDX-License-Identifier: MIT */
/* The cache of rules: what is found under which key, and that no reader gets a wrong rule. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "cprof_shm.h"
#include "rule_cache.h"

#define PC UINT64_C(0x7f1234567890)

static uint64_t key_of(uint64_t pc, uint32_t generation, bool is_exact)
{
	return pc ^ rule_cache_key_bits(generation, is_exact);
}

/* Pcs at this distance meet in one place, exact ones too. */
#define SAME_PLACE (UINT64_C(4) * RULE_CACHE_ENTRIES)

static bool find(uint64_t key, uint64_t *out_rule)
{
	return rule_cache_find(key, key & RULE_CACHE_KEY_EXACT, out_rule) != NULL;
}

Test(rule_cache, a_rule_gives_back_its_fields)
{
	uint64_t rule = rule_add_row(rule_make(RULE_REALIGNED, -8, -2, -128), 4095);
	cr_assert_eq(rule_shape(rule), RULE_REALIGNED);
	cr_assert_eq(rule_offset(rule), -8);
	cr_assert_eq(rule_fp(rule), -2);
	cr_assert_eq(rule_bx(rule), -128);
	cr_assert_eq(rule_row(rule), 4095);
	cr_assert_not(rule_is_ordinary_in(rule, rule_row_bits(rule)));
	rule = rule_add_row(rule_make(RULE_BY_SP, INT32_MAX, RULE_UNCHANGED, RULE_UNCHANGED), 7);
	cr_assert(rule_is_ordinary_in(rule, rule_row_bits(rule)));
	cr_assert_not(rule_is_ordinary_in(rule | RULE_HIDDEN, rule_row_bits(rule)));
	cr_assert_not(rule_is_ordinary_in(rule, rule_row_bits(rule_add_row(0, 8))));
	cr_assert_not(rule_is_ordinary_in(rule_add_row(rule, RULE_ROW_MAX), RULE_ROW_BITS_NONE));
	cr_assert_eq(rule_shape(rule | RULE_HIDDEN), RULE_BY_SP);
	cr_assert_eq(rule_offset(rule), INT32_MAX);
}

Test(rule_cache, key_is_pc_with_exactness_and_generation)
{
	uint64_t rule;
	cr_assert_not(find(key_of(PC, 0, false), &rule));
	rule_cache_insert(key_of(PC, 0, false), 1);
	rule_cache_insert(key_of(PC, 0, true), 2);
	cr_assert(find(key_of(PC, 0, false), &rule));
	cr_assert_eq(rule, 1);
	cr_assert(find(key_of(PC, 0, true), &rule));
	cr_assert_eq(rule, 2);
	cr_assert_not(find(key_of(PC, 1, false), &rule));
	cr_assert_not(find(key_of(PC + 1, 0, false), &rule));
	cr_assert_not(find(key_of(PC + SAME_PLACE, 0, false), &rule));
}

Test(rule_cache, two_pcs_of_one_place_are_both_kept)
{
	uint64_t rule;
	rule_cache_insert(key_of(PC, 0, false), 1);
	rule_cache_insert(key_of(PC + SAME_PLACE, 0, false), 2);
	cr_assert(find(key_of(PC, 0, false), &rule));
	cr_assert_eq(rule, 1);
	cr_assert(find(key_of(PC + SAME_PLACE, 0, false), &rule));
	cr_assert_eq(rule, 2);
}

Test(rule_cache, neighbouring_interrupted_instructions_are_all_kept)
{
	uint64_t rule;
	for (uint64_t i = 0; i < 16; i++)
		rule_cache_insert(key_of(PC + 3 * i, 0, true), i + 1);
	for (uint64_t i = 0; i < 16; i++) {
		cr_assert(find(key_of(PC + 3 * i, 0, true), &rule));
		cr_assert_eq(rule, i + 1);
	}
}

static uint64_t place_of(const struct rule_cache_entry *entry)
{
	return (uint64_t)((const char *)entry - (const char *)rule_cache);
}

Test(rule_cache, a_guess_moves_with_its_rule_and_ends_with_it)
{
	uint64_t first = key_of(PC, 0, false), second = key_of(PC + SAME_PLACE, 0, false), rule;
	rule_cache_insert(first, 1);
	rule_cache_correct(rule_cache_find(first, false, &rule), &rule_cache[77]);
	rule_cache_insert(second, 2);
	cr_assert_eq(load_relaxed(&rule_cache_find(first, false, &rule)->caller), place_of(&rule_cache[77]));
	cr_assert_eq(load_relaxed(&rule_cache_find(second, false, &rule)->caller), 0);
}

Test(rule_cache, the_first_caller_stays_the_guess_and_is_followed_to_its_neighbour)
{
	uint64_t key = key_of(PC, 0, false), other = key_of(PC + 64, 0, false), rule = 0;
	struct rule_cache_entry *entry = &rule_cache[5];
	rule_cache_insert(other, 4);
	cr_assert_null(rule_cache_find_caller(entry, key, &rule));
	rule_cache_insert(key, 3);
	cr_assert_eq(rule_cache_find_caller(entry, key, &rule), rule_cache_first(key, false));
	cr_assert_eq(load_relaxed(&entry->caller), place_of(rule_cache_first(key, false)));
	cr_assert_eq(rule_cache_find_caller(entry, other, &rule), rule_cache_first(other, false));
	cr_assert_eq(rule, 4);
	cr_assert_eq(load_relaxed(&entry->caller), place_of(rule_cache_first(key, false)));
	rule_cache_insert(key_of(PC + SAME_PLACE, 0, false), 9); /* moves it */
	cr_assert_eq(rule_cache_find_caller(entry, key, &rule), rule_cache_second(key, false));
	cr_assert_eq(rule, 3);
	cr_assert_eq(load_relaxed(&entry->caller), place_of(rule_cache_second(key, false)));
}

Test(rule_cache, nothing_is_left_after_clearing)
{
	uint64_t rule;
	for (uint64_t i = 0; i < 1000; i++)
		rule_cache_insert(key_of(PC + i * 24, 0, false), i);
	rule_cache_clear();
	for (uint64_t i = 0; i < 1000; i++)
		cr_assert_not(find(key_of(PC + i * 24, 0, false), &rule));
}

/* Four threads insert and look up keys that all meet in the same two entries. */
static uint64_t rule_of(uint64_t key)
{
	return cprof_mix64(key);
}

static atomic_u64 wrong_rules;
static atomic_u64 right_rules;

static void *collide(void *argument)
{
	uint64_t random = (uint64_t)(uintptr_t)argument;
	for (int i = 0; i < 300000; i++) {
		random = cprof_mix64(random + 1);
		/* Keys and rules that differ in few bits, as real ones do. */
		uint64_t key = key_of(PC + random % 8 * SAME_PLACE, (uint32_t)(random >> 20) % 2,
				      random >> 30 & 1);
		uint64_t rule;
		if (random >> 40 & 1)
			rule_cache_insert(key, rule_of(key) & 0xffff);
		else if (find(key, &rule))
			add_relaxed(rule == (rule_of(key) & 0xffff) ? &right_rules : &wrong_rules, 1);
	}
	return NULL;
}

Test(rule_cache, colliding_threads_never_see_a_wrong_rule)
{
	pthread_t threads[4];
	for (uint64_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, collide, (void *)(uintptr_t)(i + 1));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(load_relaxed(&wrong_rules), 0);
	cr_assert_gt(load_relaxed(&right_rules), 0);
}
