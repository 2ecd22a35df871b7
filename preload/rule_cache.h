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
 * A rule, from the low bits: fp (8, signed) and bx (8, signed): where they are saved;
 * module row (12); is_hidden (1); shape (3); CFA offset in bytes (32, signed).  The
 * places are chosen so that the fields of an ordinary frame take few instructions.
 *
 *   RULE_BY_SP     CFA = stack pointer + offset, return address at CFA - 8;
 *                  a register saved as n (-1 >= n >= -128) is at CFA + 8 * n
 *   RULE_BY_FP     the same with the frame pointer
 *   RULE_BY_BX     the same with bx
 *   RULE_REALIGNED CFA = the word at fp + offset, return address at CFA - 8;
 *                  a register saved as n is at fp + 16 + 8 * n
 *   RULE_OUTERMOST the walk ends here
 *   RULE_NO_CFI    nothing is known about this code: try the frame pointer
 *
 * n = -1 (the place of the return address) says that the register is unchanged, so that
 * a word can be loaded before that is known.
 */
enum rule_shape { RULE_BY_SP, RULE_BY_FP, RULE_BY_BX, RULE_REALIGNED, RULE_OUTERMOST, RULE_NO_CFI };

#define RULE_BX_SHIFT 8
#define RULE_ROW_SHIFT 16
#define RULE_ROW_MAX 4094u
#define RULE_ROW_MASK UINT32_C(4095)    /* all ones is no row */
#define RULE_HIDDEN (UINT64_C(1) << 28) /* a frame of cprof itself: not shown */
#define RULE_SHAPE_SHIFT 29
#define RULE_OFFSET_SHIFT 32
#define RULE_UNCHANGED (-1)
#define RULE_SAVED_MIN (-128)
/* No register is saved, and no word loaded, so far below the CFA. */
#define RULE_SAVED_BYTES_MAX 1024u

static inline uint64_t rule_make(enum rule_shape shape, int32_t offset, int8_t fp, int8_t bx)
{
	return (uint64_t)(uint8_t)fp | (uint64_t)(uint8_t)bx << RULE_BX_SHIFT |
	       (uint64_t)shape << RULE_SHAPE_SHIFT | (uint64_t)(uint32_t)offset << RULE_OFFSET_SHIFT;
}
static inline uint64_t rule_add_row(uint64_t rule, uint32_t row)
{
	return rule | (uint64_t)row << RULE_ROW_SHIFT;
}
/* An ordinary frame: of shape RULE_BY_SP, shown. */
static inline bool rule_is_ordinary(uint64_t rule)
{
	return (uint32_t)rule < UINT32_C(1) << 28;
}
static inline enum rule_shape rule_shape(uint64_t rule)
{
	return (enum rule_shape)((uint32_t)rule >> RULE_SHAPE_SHIFT);
}
static inline uint32_t rule_row(uint64_t rule)
{
	return (uint32_t)rule >> RULE_ROW_SHIFT & RULE_ROW_MASK;
}
static inline bool rule_has_row_of(uint64_t rule, uint64_t other)
{
	return (((uint32_t)rule ^ (uint32_t)other) & RULE_ROW_MASK << RULE_ROW_SHIFT) == 0;
}
static inline int64_t rule_fp(uint64_t rule)
{
	return (int8_t)rule;
}
static inline int64_t rule_bx(uint64_t rule)
{
	return (int8_t)(rule >> RULE_BX_SHIFT);
}
static inline int64_t rule_offset(uint64_t rule)
{
	return (int64_t)rule >> RULE_OFFSET_SHIFT;
}

/* 512 KiB of zero pages, of which a program touches what its pcs need. */
#define RULE_CACHE_ENTRIES 32768u

struct rule_cache_entry {
	atomic_u64 rule;
	atomic_u64 check;
};

extern struct rule_cache_entry rule_cache[RULE_CACHE_ENTRIES] __attribute__((visibility("hidden")));

/*
 * Beside each entry, where its frame returned to when it was first undone: a guess, which whoever
 * uses it compares with the return address.  Most often it is right, and the processor then has
 * looked up the caller's rule before the return address was loaded.
 */
extern atomic_u64 rule_cache_callers[RULE_CACHE_ENTRIES] __attribute__((visibility("hidden")));

/*
 * A key is pc ^ this.  Rules are inserted for pcs below 2^47 only; a walk may ask for any
 * word that it took for a pc.
 */
#define RULE_CACHE_KEY_EXACT (UINT64_C(1) << 47)

static inline uint64_t rule_cache_key_bits(uint32_t generation, bool is_exact)
{
	return (uint64_t)generation << 48 | (is_exact ? RULE_CACHE_KEY_EXACT : 0);
}

static ALWAYS_INLINE uint64_t rule_cache_mix(uint64_t rule)
{
	return rule * UINT64_C(0x9e3779b97f4a7c15);
}

/*
 * The first entry to look at; the second is its neighbour.  The pc itself is a good hash:
 * functions of a program do not lie at equal distances.  Its lowest bit is left out
 * because then the address of the entry is table + 8 * masked pc, one instruction.
 */
static ALWAYS_INLINE struct rule_cache_entry *rule_cache_first(uint64_t key)
{
	uint64_t masked = key & (2 * (RULE_CACHE_ENTRIES - 1));
	return (struct rule_cache_entry *)(void *)((char *)rule_cache + masked * (sizeof(rule_cache[0]) / 2));
}
static ALWAYS_INLINE struct rule_cache_entry *rule_cache_second(uint64_t key)
{
	return rule_cache_first(key ^ 2);
}

static ALWAYS_INLINE atomic_u64 *rule_cache_caller(uint64_t key)
{
	uint64_t masked = key & (2 * (RULE_CACHE_ENTRIES - 1));
	return (atomic_u64 *)(void *)((char *)rule_cache_callers +
				      masked * (sizeof(rule_cache_callers[0]) / 2));
}

/* Whether the entry holds the key's rule; if so, sets *out_rule. */
static ALWAYS_INLINE bool rule_cache_probe(const struct rule_cache_entry *entry, uint64_t key,
					   uint64_t *out_rule)
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
	return rule_cache_probe(rule_cache_first(key), key, out_rule) ||
	       rule_cache_probe(rule_cache_second(key), key, out_rule);
}

/* Puts a rule in front; what was there moves to the second place. */
void rule_cache_insert(uint64_t key, uint64_t rule);

/* Forgets everything.  Needed when the 16 bits of generation in the keys come round. */
void rule_cache_clear(void);

#endif
