/* SPDX-License-Identifier: MIT */
/*
 * Stacks that a thread recorded before, found again without a walk.
 *
 * A walk is a function of the registers that it begins with, of the words of the stack
 * that it reads, and of rules that change with modules_generation only.  A memo holds all
 * of these: if they are what they were, so is the stack.  A walk waits for each return
 * address before it knows where the next one lies; here all are compared side by side,
 * and nothing is interned.
 *
 * A thread has a few memos, by where its stacks begin.  What begins somewhere for the
 * first time is noted only, and what often differs is learnt anew rarely, so that stacks
 * which do not come back cost one cache line.
 *
 * Context: any (async-signal-safe), under the outermost guard of the thread.
 */
#ifndef PRELOAD_STACK_MEMO_H
#define PRELOAD_STACK_MEMO_H

#include <stddef.h>

#include "thread.h"

/* Stacks of which more has to be compared are not remembered. */
#define STACK_MEMO_WORDS 56u

/* A word of the stack: five of them in a cache line. */
struct stack_memo_word {
	uint64_t word;
	uint32_t offset; /* from sp on */
} __attribute__((packed, aligned(4)));

/*
 * Written and read by its thread only, never in a handler that interrupted the thread in here.  That a
 * stack of few frames came before is seen in two lines.
 */
struct stack_memo {
	uint64_t pc; /* where the walk begins */
	uint64_t sp;
	uint64_t fp;
	uint64_t function; /* whose frame is the stack's first, before those that are walked; 0: none is */
	uint64_t rows;     /* bits of the modules that could be unloaded */
	uint32_t stack;    /* its id; 0: only that something began here is known */
	uint32_t generation;
	uint32_t span_bytes; /* of the stack from sp on that the words lie in */
	uint32_t misses;     /* how often it was another one, 0 at the first sight */
	uint32_t word_count;
	bool needs_fp;
	struct stack_memo_word words[STACK_MEMO_WORDS];
	uint64_t total_key;       /* for which `total` was looked for last; 0: none */
	struct cprof_sums *total; /* the thread's own of that key, NULL: there is none */
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct stack_memo, words) == 64, "the first words lie in the second line");

/* The memo for what begins with these registers; NULL: this thread, or this nesting level, has none. */
struct stack_memo *stack_memo_at(const struct guard *guard, const struct unwind_regs *regs);

/* The same for stacks whose first frame is the function's, called with these registers. */
struct stack_memo *stack_memo_above(const struct guard *guard, const void *function,
				    const struct unwind_regs *regs);

/* The id of such a stack of the thread with this slot, under its outermost guard; 0 if it is not known. */
uint32_t stack_memo_known_above(const struct cprof_thread *slot, const void *function,
				const struct unwind_regs *regs);

/* The id of the stack that begins with these registers, 0 if it is not known to be the memo's. */
uint32_t stack_memo_find(const struct stack_memo *memo, const struct guard *guard,
			 const struct unwind_regs *regs);

/* A whole walk from `regs` gave the guard's frames, the function's included, which are interned as `stack`. */
void stack_memo_learn(struct stack_memo *memo, const struct guard *guard, const struct unwind_regs *regs,
		      uint32_t frame_count, uint32_t stack);

#endif
