/* SPDX-License-Identifier: MIT */
/*
 * jemalloc's extended calls.  A program that only uses them when they are there
 * (a weak reference) finds ours in any case, so without jemalloc they are built on
 * the malloc family, whose interposed forms then count.
 *
 * Context: any (async-signal-safe beyond what the real function is).
 */
#include "interpose_malloc.h"

#include <malloc.h>
#include <string.h>

#include "sampler.h"

/* jemalloc's flags: the low 6 bits are log2 of the alignment (MALLOCX_LG_ALIGN), then MALLOCX_ZERO. */
#define FLAG_LG_ALIGN_MASK 0x3f
#define FLAG_ZERO 0x40

static void *plain_mallocx(size_t size, int flags)
{
	size_t alignment = (size_t)1 << (flags & FLAG_LG_ALIGN_MASK);
	void *block = alignment > _Alignof(max_align_t) ? INTERPOSED(memalign)(alignment, size)
							: INTERPOSED(malloc)(size);
	if (block && (flags & FLAG_ZERO))
		memset(block, 0, size);
	return block;
}

static void *plain_rallocx(void *block, size_t size, int flags)
{
	size_t old_size = malloc_usable_size(block);
	if ((flags & FLAG_LG_ALIGN_MASK) <= __builtin_ctzl(_Alignof(max_align_t)) && !(flags & FLAG_ZERO))
		return INTERPOSED(realloc)(block, size);
	void *moved = plain_mallocx(size, flags);
	if (moved) {
		memcpy(moved, block, size < old_size ? size : old_size);
		INTERPOSED(free)(block);
	}
	return moved;
}

static COLD NOINLINE void *sampled_mallocx(size_t size, int flags)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	void *block = real.mallocx(size, flags);
	heap_record(block, size, &regs);
	return block;
}

EXPORT void *INTERPOSED(mallocx)(size_t size, int flags)
{
	real_resolve_optional();
	if (!real.mallocx)
		return plain_mallocx(size, flags);
	if (unlikely(sampler_take(size)))
		return sampled_mallocx(size, flags);
	return real.mallocx(size, flags);
}

static COLD NOINLINE void *sampled_rallocx(void *block, size_t size, int flags, bool take)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	struct live_entry entry = heap_detach(block);
	void *moved = real.rallocx(block, size, flags);
	if (!moved) {
		live_reattach(entry, block);
		return NULL;
	}
	heap_drop(entry, block);
	if (take)
		heap_record(moved, size, &regs);
	return moved;
}

EXPORT void *INTERPOSED(rallocx)(void *block, size_t size, int flags)
{
	real_resolve_optional();
	if (!real.rallocx)
		return plain_rallocx(block, size, flags);
	bool take = sampler_take(size);
	if (unlikely(take || !live_is_unknown(block)))
		return sampled_rallocx(block, size, flags, take);
	return real.rallocx(block, size, flags);
}

/* Resizes in place; the result is the real size, below `size` if that was not possible. */
static COLD NOINLINE size_t sampled_xallocx(void *block, size_t size, size_t extra, int flags, bool take)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	struct live_entry entry = heap_detach(block);
	size_t result = real.xallocx(block, size, extra, flags);
	if (result < size) {
		live_reattach(entry, block);
		return result;
	}
	heap_drop(entry, block);
	if (take)
		heap_record(block, size, &regs);
	return result;
}

EXPORT size_t INTERPOSED(xallocx)(void *block, size_t size, size_t extra, int flags)
{
	real_resolve_optional();
	if (!real.xallocx)
		return malloc_usable_size(block);
	bool take = sampler_take(size);
	if (unlikely(take || !live_is_unknown(block)))
		return sampled_xallocx(block, size, extra, flags, take);
	return real.xallocx(block, size, extra, flags);
}

EXPORT void INTERPOSED(dallocx)(void *block, int flags)
{
	real_resolve_optional();
	if (!real.dallocx) {
		INTERPOSED(free)(block);
		return;
	}
	if (unlikely(!live_is_unknown(block)))
		heap_forget(block);
	real.dallocx(block, flags);
}

EXPORT void INTERPOSED(sdallocx)(void *block, size_t size, int flags)
{
	real_resolve_optional();
	if (!real.sdallocx) {
		INTERPOSED(free)(block);
		return;
	}
	if (unlikely(!live_is_unknown(block)))
		heap_forget(block);
	real.sdallocx(block, size, flags);
}
