/* SPDX-License-Identifier: MIT */
/*
 * Learning walks the stack a second time, by the rules that the first walk left in the
 * cache, and only to see which words matter: return addresses, and saved frame pointers
 * where a later rule is based on one.  It gives up wherever the walk was not an ordinary
 * one, and whenever it does not come by the same frames.
 *
 * Context: any (async-signal-safe), under the outermost guard of the thread.
 */
#include "stack_memo.h"

#include "arch_x86_64.h"
#include "modules.h"
#include "rule_cache.h"
#include "segment.h"

/* Threads whose slot lies further behind have none. */
#define THREADS 64u
#define MEMOS 16u /* of a thread, of each kind */

enum kind { WALKED, ABOVE, KINDS };

static SPARSE struct stack_memo memos[THREADS][KINDS][MEMOS];

static ALWAYS_INLINE struct stack_memo *memo_of(enum kind kind, const struct cprof_thread *slot,
						const struct unwind_bounds *bounds,
						const struct unwind_regs *regs)
{
	if (regs->sp < bounds->low || regs->sp >= bounds->high)
		return NULL;
	uint64_t thread = (uint64_t)(slot - segment_thread(0));
	if (thread >= THREADS)
		return NULL;
	uint64_t hash = (regs->pc + (regs->sp << 3)) * UINT64_C(0x9e3779b97f4a7c15);
	return &memos[thread][kind][hash >> 60];
}
_Static_assert(MEMOS == 16, "four bits of the hash");

struct stack_memo *stack_memo_at(const struct guard *guard, const struct unwind_regs *regs)
{
	return guard->level == 0 && guard->slot ? memo_of(WALKED, guard->slot, &guard->bounds, regs) : NULL;
}

struct stack_memo *stack_memo_above(const struct guard *guard, const void *function,
				    const struct unwind_regs *regs)
{
	struct stack_memo *memo = guard->level == 0 && guard->slot
					  ? memo_of(ABOVE, guard->slot, &guard->bounds, regs)
					  : NULL;
	if (unlikely(memo && memo->function != (uint64_t)(uintptr_t)function)) {
		memo->stack = 0;
		fence_signal(); /* a handler may jump out of here: nothing is there until all is */
		memo->pc = 0;
		memo->function = (uint64_t)(uintptr_t)function;
	}
	return memo;
}

static ALWAYS_INLINE uint32_t find(const struct stack_memo *memo, const struct unwind_bounds *bounds,
				   const struct unwind_regs *regs)
{
	/* Relaxed: an object that is being unloaded is not on this stack. */
	if (memo->pc != regs->pc || memo->sp != regs->sp || memo->stack == 0 ||
	    memo->generation != load_relaxed(&modules_generation) || (memo->needs_fp && memo->fp != regs->fp))
		return 0;
	/* Whoever had this slot before may have learnt it in a larger stack. */
	if (memo->span_bytes > bounds->high - regs->sp)
		return 0;
	const char *sp = (const char *)(uintptr_t)regs->sp;
	const struct stack_memo_word *end = memo->words + memo->word_count;
	for (const struct stack_memo_word *word = memo->words; word < end; word++)
		if (*(const uint64_t *)(const void *)(sp + word->offset) != word->word)
			return 0;
	for (uint64_t rows = memo->rows; rows; rows &= rows - 1)
		if (!modules_revalidate((uint32_t)__builtin_ctzll(rows)))
			return 0;
	return memo->stack;
}

uint32_t stack_memo_find(const struct stack_memo *memo, const struct guard *guard,
			 const struct unwind_regs *regs)
{
	return find(memo, &guard->bounds, regs);
}

HOT uint32_t stack_memo_known_above(const struct cprof_thread *slot, const void *function,
				    const struct unwind_regs *regs)
{
	const struct stack_memo *memo = memo_of(ABOVE, slot, &thread_tls.bounds, regs);
	if (unlikely(!memo || memo->function != (uint64_t)(uintptr_t)function))
		return 0;
	return find(memo, &thread_tls.bounds, regs);
}

/* Notes a word of the stack.  False: it is one too many, or not in the stack. */
static bool add_word(struct stack_memo *memo, const struct guard *guard, uint64_t place)
{
	uint64_t offset = place - memo->sp;
	if (memo->word_count == STACK_MEMO_WORDS || place < memo->sp ||
	    offset > UINT32_MAX - sizeof(uint64_t) || place > guard->bounds.high - sizeof(uint64_t))
		return false;
	if (memo->span_bytes < offset + sizeof(uint64_t))
		memo->span_bytes = (uint32_t)(offset + sizeof(uint64_t));
	memo->words[memo->word_count++] = (struct stack_memo_word){
		.offset = (uint32_t)offset,
		.word = *(const uint64_t *)(uintptr_t)place,
	};
	return true;
}

/*
 * Where the value of the frame pointer came from, when it is used: START, a place in the stack, or
 * NOTED already.
 */
#define START 0u
#define NOTED 1u

static bool note_frame_pointer(struct stack_memo *memo, const struct guard *guard, uint64_t *source)
{
	if (*source == START)
		memo->needs_fp = true;
	else if (*source != NOTED && !add_word(memo, guard, *source))
		return false;
	*source = NOTED;
	return true;
}

/* The object of the function must stay as well.  False: it is not known. */
static bool note_function(struct stack_memo *memo, const struct guard *guard)
{
	uint32_t row = cprof_frame_module(guard->frames[0]);
	if (row >= 64)
		return false;
	memo->rows |= UINT64_C(1) << row & ~modules_pinned_rows();
	return true;
}

/* False: this stack cannot be remembered. */
static bool note_words(struct stack_memo *memo, const struct guard *guard, uint32_t frame_count)
{
	const uint64_t pinned_rows = modules_pinned_rows();
	const uint64_t key_bits = rule_cache_key_bits(memo->generation, false);
	uint64_t pc = memo->pc, sp = memo->sp, fp = memo->fp, fp_source = START, rule;
	uint32_t frame = memo->function ? 1 : 0;
	while (rule_cache_find(pc ^ key_bits, false, &rule)) {
		uint32_t row = rule_row(rule);
		if (row >= 64)
			return false;
		memo->rows |= UINT64_C(1) << row & ~pinned_rows;
		if (!(rule & RULE_HIDDEN)) {
			if (frame == frame_count || guard->frames[frame] != pc + modules_frame_base[row])
				return false;
			frame++;
		}
		enum rule_shape shape = rule_shape(rule);
		if (shape == RULE_OUTERMOST)
			return frame == frame_count;
		if (shape != RULE_BY_SP &&
		    (shape != RULE_BY_FP || !note_frame_pointer(memo, guard, &fp_source)))
			return false;
		uint64_t cfa = (shape == RULE_BY_FP ? fp : sp) + (uint64_t)rule_offset(rule);
		uint64_t return_place = cfa + (uint64_t)ARCH_RA_CFA_OFFSET;
		uint64_t fp_place = cfa + (uint64_t)rule_fp(rule) * sizeof(uint64_t);
		if (cfa <= sp || !add_word(memo, guard, return_place))
			return false;
		if (rule_fp(rule) != RULE_UNCHANGED) {
			if (fp_place < memo->sp || fp_place > return_place)
				return false;
			fp = *(const uint64_t *)(uintptr_t)fp_place;
			fp_source = fp_place;
		}
		pc = *(const uint64_t *)(uintptr_t)return_place;
		sp = cfa;
	}
	return false;
}

/* After the 2nd, 4th, 8th ... miss, and each 64th. */
static bool is_time_to_learn(uint32_t misses)
{
	return (misses & (misses - 1) & 63) == 0;
}

void stack_memo_learn(struct stack_memo *memo, const struct guard *guard, const struct unwind_regs *regs,
		      uint32_t frame_count, uint32_t stack)
{
	if (memo->pc != regs->pc || memo->sp != regs->sp) {
		memo->stack = 0;
		fence_signal(); /* as in stack_memo_above() */
		memo->pc = regs->pc;
		memo->sp = regs->sp;
		memo->misses = 0;
		return;
	}
	if (!is_time_to_learn(++memo->misses))
		return;
	memo->stack = 0;
	fence_signal(); /* as above */
	memo->fp = regs->fp;
	memo->needs_fp = false;
	memo->word_count = 0;
	memo->span_bytes = 0;
	memo->total_key = 0; /* of a segment that may be another one */
	memo->rows = 0;
	memo->generation = load_acquire(&modules_generation); /* pairs with the release at its change */
	if ((memo->function && !note_function(memo, guard)) || !note_words(memo, guard, frame_count))
		return;
	fence_signal();
	memo->stack = stack;
}
