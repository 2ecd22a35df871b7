/* SPDX-License-Identifier: MIT */
/*
 * Losing or doubling an entry in a race costs a second look at the call frame
 * information, nothing else; so all stores are plain words.
 *
 * Context: any (async-signal-safe).
 */
#include "rule_cache.h"

SPARSE struct rule_cache_entry rule_cache[RULE_CACHE_ENTRIES] __attribute__((aligned(64)));

static void store(struct rule_cache_entry *entry, uint64_t rule, uint64_t check, uint64_t caller)
{
	store_relaxed(&entry->caller, caller); /* any entry's place will do */
	store_relaxed(&entry->check, check);   /* its order does not matter: see rule_cache_probe() */
	store_release(&entry->rule, rule);     /* pairs with the acquire in rule_cache_probe() */
}

void rule_cache_insert(uint64_t key, uint64_t rule)
{
	bool is_exact = key & RULE_CACHE_KEY_EXACT;
	struct rule_cache_entry *first = rule_cache_first(key, is_exact);
	uint64_t old_rule = load_relaxed(&first->rule); /* copied as words: torn stays torn */
	uint64_t old_check = load_relaxed(&first->check);
	if (old_check != 0)
		store(rule_cache_second(key, is_exact), old_rule, old_check, load_relaxed(&first->caller));
	store(first, rule, key ^ rule_cache_mix(rule), 0);
}

/*
 * The first caller stays, unless it has only changed its place: of frames with many callers the
 * processors would fight for the line.
 */
void rule_cache_correct(struct rule_cache_entry *entry, const struct rule_cache_entry *caller)
{
	uint64_t place = (uint64_t)(caller - rule_cache) * sizeof(*caller);
	uint64_t guessed = load_relaxed(&entry->caller); /* a guess orders nothing */
	if (guessed == 0 || (guessed ^ place) == sizeof(*caller))
		store_relaxed(&entry->caller, place);
}

void rule_cache_clear(void)
{
	for (uint32_t i = 0; i < RULE_CACHE_ENTRIES; i++)
		if (load_relaxed(&rule_cache[i].check) != 0) /* an untouched page stays untouched */
			store_relaxed(&rule_cache[i].check, 0);
}
