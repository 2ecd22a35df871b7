/* SPDX-License-Identifier: MIT */
/*
 * Atomics whose order is part of the name, so that no access is silently
 * sequentially consistent.  An order is chosen at each use, with its reason.
 *
 * Context: any (async-signal-safe).  Objects may lie in memory shared between
 * processes: all of these are lock-free for 32 and 64 bits on x86-64 and aarch64.
 */
#ifndef CPROF_ATOMIC_H
#define CPROF_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic(uint8_t) atomic_u8;
typedef _Atomic(uint16_t) atomic_u16;
typedef _Atomic(uint32_t) atomic_u32;
typedef _Atomic(uint64_t) atomic_u64;

_Static_assert(sizeof(atomic_u32) == 4 && sizeof(atomic_u64) == 8, "atomics are plain words");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LONG_LOCK_FREE == 2, "atomics never lock");

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_acquire(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acquire)
#define sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define add_release(p, v) atomic_fetch_add_explicit((p), (v), memory_order_release)
#define or_relaxed(p, v) atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define and_relaxed(p, v) atomic_fetch_and_explicit((p), (v), memory_order_relaxed)
#define exchange_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)

/*
 * Adds to a word that only this thread and its signal handlers write, others read: one
 * instruction, so that no handler comes in between, but without the bus lock.
 */
static inline void add_own(atomic_u64 *word, uint64_t n)
{
#ifdef __x86_64__
	__asm__ volatile("addq %1, %0" : "+m"(*word) : "er"(n) : "cc");
#else
	add_relaxed(word, n);
#endif
}

/* Compare and swap; on failure *expected holds what was found (acquire). */
#define cas_acq_rel(p, expected, v)                                                         \
	atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel, \
						memory_order_acquire)

/*
 * Orders program memory between a thread and the signal handlers that run on it.
 * Costs no instruction.
 */
static inline void fence_signal(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

#endif
