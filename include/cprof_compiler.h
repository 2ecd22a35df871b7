/* SPDX-License-Identifier: MIT */
/*
 * Compiler vocabulary.  HOT paths are short and tail-call; what is rare is COLD
 * and never inlined into them.
 *
 * Context: any.
 */
#ifndef CPROF_COMPILER_H
#define CPROF_COMPILER_H

#define EXPORT __attribute__((visibility("default")))
/* In as few lines of the instruction cache as can be: how a fast path lay to them cost up to a nanosecond. */
#define HOT __attribute__((hot, aligned(64)))
/* Of what is called most, all in one page or two; of the short ones two in a line. */
#define FAST HOT __attribute__((section(".front.text.1")))
#define FAST_SHORT __attribute__((hot, aligned(32), section(".front.text.2")))
#define COLD __attribute__((cold, noinline))
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define UNUSED __attribute__((unused))
/* A table that is touched here and there: apart from what is in use together, see preload/sections.ld. */
#define SPARSE __attribute__((section(".bss.sparse")))
/* What each fast path reads, in one line where it can be: the words, then the table, see preload/sections.ld. */
#define FRONT_WORD __attribute__((section(".front.words")))
#define FRONT_TABLE __attribute__((section(".front.table"), aligned(8)))
/* What short paths look at: in one page with the other variables that do not begin as 0. */
#define TOGETHER __attribute__((section(".data")))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

#endif
