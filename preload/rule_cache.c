/* SPDX-License-Identifier: MIT */
/*
 * Losing or doubling an entry in a race costs a second look at the call frame
 * information, nothing else; so all stores are plain words.
 *
 * Context: any (async-signal-safe).
 */
#include "rule_cache.h"

struct rule_cache_entry rule_cache[RULE_CACHE_ENTRIES] __attribute__((aligned(64)));
atomic_u64 rule_cache_callers[RULE_CACHE_ENTRIES] __attribute__((aligned(64)));

static void store(struct rule_cache_entry *entry, uint64_t rule, uint64_t check)
{
	store_relaxed(&entry->check, check); /* its order does not matter: see rule_cache_probe() */
	store_release(&entry->rule, rule);   /* pairs with the acquire in rule_cache_probe() */
}

void rule_cache_insert(uint64_t key, uint64_t rule)
{
	struct rule_cache_entry *first = rule_cache_first(key);
	struct rule_cache_entry *second = rule_cache_second(key);
	uint64_t old_rule = load_relaxed(&first->rule); /* copied as words: torn stays torn */
	uint64_t old_check = load_relaxed(&first->check);
	if (old_check != 0)
		store(second, old_rule, old_check);
	store(first, rule, key ^ rule_cache_mix(rule));
}

void rule_cache_clear(void)
{
	for (uint32_t i = 0; i < RULE_CACHE_ENTRIES; i++)
		if (load_relaxed(&rule_cache[i].check) != 0) /* an untouched page stays untouched */
			store_relaxed(&rule_cache[i].check, 0);
}
