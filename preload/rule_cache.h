/* SPDX-License-Identifier: MIT */
/*
 * The unwinder's memory: for each pc seen, the rule that undoes its frame, in one
 * word.  A lookup costs one cache line and never waits; a writer never waits either.
 *
 * An entry is three words, written and read without any lock:
 *
 *     rule                what to do
 *     check               key ^ (rule * an odd constant)
 *     caller              where the caller's entry is: a guess, see below
 *
 * A reader accepts the rule if check ^ (rule * constant) is its key.  Words of two
 * different writers that meet in one entry do not pass that test, but for a chance of
 * about 2^-47.  The key holds the pc, whether it is exact (the rule is then the one at pc, not
 * the one at the call before it), and 16 bits of the generation, so that all rules
 * learnt before an object was unloaded vanish at once.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_RULE_CACHE_H
#define PRELOAD_RULE_CACHE_H

#include <stddef.h>

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
static inline enum rule_shape rule_shape(uint64_t rule)
{
	return (enum rule_shape)((uint32_t)rule >> RULE_SHAPE_SHIFT);
}
static inline uint32_t rule_row(uint64_t rule)
{
	return (uint32_t)rule >> RULE_ROW_SHIFT & RULE_ROW_MASK;
}
/* The same in its place, and what is of no row. */
static inline uint32_t rule_row_bits(uint64_t rule)
{
	return (uint32_t)rule & RULE_ROW_MASK << RULE_ROW_SHIFT;
}
#define RULE_ROW_BITS_NONE UINT32_MAX
/* An ordinary frame of that row, which most are: of shape RULE_BY_SP, shown. */
static inline bool rule_is_ordinary_in(uint64_t rule, uint32_t row_bits)
{
	return ((uint32_t)rule ^ row_bits) < UINT32_C(1) << RULE_ROW_SHIFT;
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

/* 1 MiB of zero pages, of which a program touches what its pcs need. */
#define RULE_CACHE_ENTRIES 32768u

/*
 * `caller` is how many bytes from the table's start the entry lies by which the caller's frame was
 * undone the first time.  Whoever follows it compares the key that it finds there as at any other
 * place.  Most often it is right, and the processor then has the caller's rule before it knows where
 * the frame returns to.  0 says that nothing is known, and is a place like others.
 */
struct rule_cache_entry {
	atomic_u64 rule;
	atomic_u64 check;
	atomic_u64 caller;
} __attribute__((aligned(32))); /* within one cache line */

extern struct rule_cache_entry rule_cache[RULE_CACHE_ENTRIES] __attribute__((visibility("hidden")));

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
	/* A constant that fits into the multiplication. */
	return rule * (uint64_t)INT64_C(-0x61c8864f);
}

/*
 * The first entry to look at; the second is its neighbour.  The pc itself is a good hash:
 * functions of a program do not lie at equal distances.  No two return addresses lie within
 * four bytes, or hardly ever, so that the address of the entry is table + 8 * masked pc, one
 * instruction; instructions that were interrupted do, and take one more.
 */
static ALWAYS_INLINE struct rule_cache_entry *rule_cache_at(uint64_t place)
{
	uint64_t masked = place & (4 * (RULE_CACHE_ENTRIES - 1));
	return (struct rule_cache_entry *)(void *)((char *)rule_cache + masked * (sizeof(rule_cache[0]) / 4));
}
static ALWAYS_INLINE uint64_t rule_cache_place(uint64_t key, bool is_exact)
{
	return is_exact ? key << 1 : key;
}
static ALWAYS_INLINE struct rule_cache_entry *rule_cache_first(uint64_t key, bool is_exact)
{
	return rule_cache_at(rule_cache_place(key, is_exact));
}
static ALWAYS_INLINE struct rule_cache_entry *rule_cache_second(uint64_t key, bool is_exact)
{
	return rule_cache_at(rule_cache_place(key, is_exact) ^ 4);
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

/* The entry that holds the key's rule, or NULL.  `is_exact`: as in the key. */
static ALWAYS_INLINE struct rule_cache_entry *rule_cache_find(uint64_t key, bool is_exact, uint64_t *out_rule)
{
	struct rule_cache_entry *entry = rule_cache_first(key, is_exact);
	if (likely(rule_cache_probe(entry, key, out_rule)))
		return entry;
	entry = rule_cache_second(key, is_exact);
	return rule_cache_probe(entry, key, out_rule) ? entry : NULL;
}

/* It is not where the entry's guess leads, but `caller`. */
void rule_cache_correct(struct rule_cache_entry *entry, const struct rule_cache_entry *caller);

/* As rule_cache_find(), for the caller of the frame that `entry` undid; the key is not exact. */
static ALWAYS_INLINE struct rule_cache_entry *rule_cache_find_caller(struct rule_cache_entry *entry,
								     uint64_t key, uint64_t *out_rule)
{
	uint64_t place = load_relaxed(&entry->caller); /* nothing comes of it but a comparison */
	struct rule_cache_entry *caller = (struct rule_cache_entry *)(void *)((char *)rule_cache + place);
	if (unlikely(!rule_cache_probe(caller, key, out_rule))) {
		caller = rule_cache_find(key, false, out_rule);
		if (caller)
			rule_cache_correct(entry, caller);
	}
	return caller;
}

/* Puts a rule in front; what was there moves to the second place. */
void rule_cache_insert(uint64_t key, uint64_t rule);

/* Forgets everything.  Needed when the 16 bits of generation in the keys come round. */
void rule_cache_clear(void);

#endif
