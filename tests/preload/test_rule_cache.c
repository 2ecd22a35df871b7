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

Test(rule_cache, a_rule_gives_back_its_fields)
{
	uint64_t rule = rule_add_row(rule_make(RULE_REALIGNED, -8, -2, -128), 4095);
	cr_assert_eq(rule_shape(rule), RULE_REALIGNED);
	cr_assert_eq(rule_offset(rule), -8);
	cr_assert_eq(rule_fp(rule), -2);
	cr_assert_eq(rule_bx(rule), -128);
	cr_assert_eq(rule_row(rule), 4095);
	cr_assert_not(rule_is_ordinary(rule));
	rule = rule_add_row(rule_make(RULE_BY_SP, INT32_MAX, RULE_UNCHANGED, RULE_UNCHANGED), 7);
	cr_assert(rule_is_ordinary(rule));
	cr_assert_not(rule_is_ordinary(rule | RULE_HIDDEN));
	cr_assert_eq(rule_shape(rule | RULE_HIDDEN), RULE_BY_SP);
	cr_assert_eq(rule_offset(rule), INT32_MAX);
}

Test(rule_cache, key_is_pc_with_exactness_and_generation)
{
	uint64_t rule;
	cr_assert_not(rule_cache_find(key_of(PC, 0, false), &rule));
	rule_cache_insert(key_of(PC, 0, false), 1);
	rule_cache_insert(key_of(PC, 0, true), 2);
	cr_assert(rule_cache_find(key_of(PC, 0, false), &rule));
	cr_assert_eq(rule, 1);
	cr_assert(rule_cache_find(key_of(PC, 0, true), &rule));
	cr_assert_eq(rule, 2);
	cr_assert_not(rule_cache_find(key_of(PC, 1, false), &rule));
	cr_assert_not(rule_cache_find(key_of(PC + 1, 0, false), &rule));
	cr_assert_not(rule_cache_find(key_of(PC + 65536, 0, false), &rule));
}

Test(rule_cache, two_pcs_of_one_place_are_both_kept)
{
	uint64_t rule;
	rule_cache_insert(key_of(PC, 0, false), 1);
	rule_cache_insert(key_of(PC + 65536, 0, false), 2);
	cr_assert(rule_cache_find(key_of(PC, 0, false), &rule));
	cr_assert_eq(rule, 1);
	cr_assert(rule_cache_find(key_of(PC + 65536, 0, false), &rule));
	cr_assert_eq(rule, 2);
}

Test(rule_cache, nothing_is_left_after_clearing)
{
	uint64_t rule;
	for (uint64_t i = 0; i < 1000; i++)
		rule_cache_insert(key_of(PC + i * 24, 0, false), i);
	rule_cache_clear();
	for (uint64_t i = 0; i < 1000; i++)
		cr_assert_not(rule_cache_find(key_of(PC + i * 24, 0, false), &rule));
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
		uint64_t key = key_of(PC + random % 8 * 65536, (uint32_t)(random >> 20) % 2,
				      random >> 30 & 1);
		uint64_t rule;
		if (random >> 40 & 1)
			rule_cache_insert(key, rule_of(key) & 0xffff);
		else if (rule_cache_find(key, &rule))
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
