/* SPDX-License-Identifier: MIT */
/*
 * The unwinder's memory: for each pc seen, the rule that undoes its frame, in one
 * word.  A lookup costs one cache line and never waits; a writer never waits either.
 *
 * An entry is two words, written and read without any lock:
 *
 *     rule                what to do
 *     check               key ^ (rule * an odd constant)
 *
 * A reader accepts the rule if check ^ (rule * constant) is its key.  Words of two
 * different writers that meet in one entry do not pass that test, but for a chance of
 * 2^-64.  The key holds the pc, whether it is exact (the rule is then the one at pc, not
 * the one at the call before it), and 16 bits of the generation, so that all rules
 * learnt before an object was unloaded vanish at once.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_RULE_CACHE_H
#define PRELOAD_RULE_CACHE_H

#include "cprof_atomic.h"
#include "cprof_compiler.h"

/*
 * A rule, from the low bits: kind (2), base register of the CFA (2), is_hidden (1),
 * bx (10), fp (10): where they are saved, 0 = unchanged; module row (13); CFA offset in
 * words (26, signed, at the top so that one shift yields it).
 *
 *   RULE_STEP       CFA = base + 8 * offset; return address at CFA - 8;
 *                   a register saved as n is at CFA - 8 * n
 *   RULE_REALIGNED  CFA = the word at fp + 8 * offset; return address at CFA - 8;
 *                   a register saved as n is at fp - 8 * (n - 1)
 *   RULE_OUTERMOST  the walk ends here
 *   RULE_NO_CFI     nothing is known about this code: try the frame pointer
 */
enum rule_kind { RULE_STEP, RULE_REALIGNED, RULE_OUTERMOST, RULE_NO_CFI };
enum rule_base { RULE_BASE_SP, RULE_BASE_FP, RULE_BASE_BX };

#define RULE_KIND_MASK UINT64_C(3)
#define RULE_BASE_SHIFT 2
#define RULE_HIDDEN (UINT64_C(1) << 4) /* a frame of cprof itself: not shown */
#define RULE_BX_SHIFT 5
#define RULE_FP_SHIFT 15
#define RULE_SAVED_MAX 1023
#define RULE_ROW_SHIFT 25
#define RULE_ROW_MAX 8191
#define RULE_OFFSET_SHIFT 38
#define RULE_OFFSET_MAX ((INT64_C(1) << 25) - 1)

static inline uint64_t rule_make(enum rule_kind kind, enum rule_base base, int64_t offset_words, uint32_t fp,
				 uint32_t bx)
{
	return (uint64_t)kind | (uint64_t)base << RULE_BASE_SHIFT | (uint64_t)bx << RULE_BX_SHIFT |
	       (uint64_t)fp << RULE_FP_SHIFT | (uint64_t)offset_words << RULE_OFFSET_SHIFT;
}
static inline enum rule_kind rule_kind(uint64_t rule)
{
	return (enum rule_kind)(rule & RULE_KIND_MASK);
}
static inline enum rule_base rule_base(uint64_t rule)
{
	return (enum rule_base)(rule >> RULE_BASE_SHIFT & 3);
}
/* The most frequent rule of all. */
static inline bool rule_is_step_by_sp(uint64_t rule)
{
	return (rule & (RULE_KIND_MASK | UINT64_C(3) << RULE_BASE_SHIFT)) == RULE_STEP;
}
static inline uint64_t rule_fp(uint64_t rule)
{
	return rule >> RULE_FP_SHIFT & RULE_SAVED_MAX;
}
static inline uint64_t rule_bx(uint64_t rule)
{
	return rule >> RULE_BX_SHIFT & RULE_SAVED_MAX;
}
static inline uint32_t rule_row(uint64_t rule)
{
	return (uint32_t)(rule >> RULE_ROW_SHIFT) & RULE_ROW_MAX;
}
static inline uint64_t rule_offset_bytes(uint64_t rule)
{
	return (uint64_t)((int64_t)rule >> RULE_OFFSET_SHIFT) * 8;
}

/* 512 KiB of zero pages, of which a program touches what its pcs need. */
#define RULE_CACHE_ENTRIES 32768u

struct rule_cache_entry {
	atomic_u64 rule;
	atomic_u64 check;
};

extern struct rule_cache_entry rule_cache[RULE_CACHE_ENTRIES] __attribute__((visibility("hidden")));

/* What a key adds to a pc below 2^47, for a walk under this generation. */
static inline uint64_t rule_cache_key_base(uint32_t generation)
{
	return (uint64_t)generation << 48;
}
#define RULE_CACHE_KEY_EXACT (UINT64_C(1) << 47)

static inline uint64_t rule_cache_mix(uint64_t rule)
{
	return rule * UINT64_C(0x9e3779b97f4a7c15);
}

/*
 * The first entry to look at; the second differs in the lowest bit.  The pc itself is a
 * good hash: functions of a program do not start at equal distances.
 */
static inline uint32_t rule_cache_slot(uint64_t key)
{
	return (uint32_t)key & (RULE_CACHE_ENTRIES - 1);
}

/* Whether the entry holds the key's rule; if so, sets *out_rule. */
static ALWAYS_INLINE bool rule_cache_probe(const struct rule_cache_entry *entry, uint64_t key, uint64_t *out_rule)
{
	/*
	 * Acquire: pairs with the release in rule_cache_insert(); what was written about the
	 * module before the rule was learnt is seen by whoever uses the rule.
	 */
	uint64_t rule = load_acquire(&entry->rule);
	uint64_t check = load_relaxed(&entry->check); /* any mixture of writers fails the test */
	if (likely((check ^ rule_cache_mix(rule)) == key)) {
		*out_rule = rule;
		return true;
	}
	return false;
}

static ALWAYS_INLINE bool rule_cache_find(uint64_t key, uint64_t *out_rule)
{
	uint32_t slot = rule_cache_slot(key);
	return rule_cache_probe(&rule_cache[slot], key, out_rule) ||
	       rule_cache_probe(&rule_cache[slot ^ 1], key, out_rule);
}

/* Puts a rule in front; what was there moves to the second place. */
void rule_cache_insert(uint64_t key, uint64_t rule);

/* Forgets everything.  Needed when the 16 bits of generation in the keys come round. */
void rule_cache_clear(void);

#endif
