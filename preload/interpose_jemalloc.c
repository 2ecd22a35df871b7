/* SPDX-License-Identifier: MIT */
/*
 * jemalloc's extended calls.  A program that only uses them when they are there
 * (a weak reference) finds ours in any case, so without jemalloc they are built on
 * the malloc family of the program: it may free by the one what it got by the other.  Where that is
 * ours, it counts.
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

struct family {
	void *(*malloc)(size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	/* NULL where the program defines malloc without them. */
	void *(*memalign)(size_t, size_t);
	size_t (*usable_size)(void *);
};

/* Another allocator's functions find nothing of a block of the program's own malloc. */
static void find_program_s(struct family *out_family)
{
	void *first = real_find_program_s("malloc", NULL);
	*out_family = (struct family){
		.malloc = (void *(*)(size_t))(uintptr_t)first,
		.realloc = (void *(*)(void *, size_t))(uintptr_t)real_find_program_s("realloc", NULL),
		.free = (void (*)(void *))(uintptr_t)real_find_program_s("free", NULL),
		.memalign = (void *(*)(size_t, size_t))(uintptr_t)real_find_program_s("memalign", first),
		.usable_size = (size_t(*)(void *))(uintptr_t)real_find_program_s("malloc_usable_size", first),
	};
}

static COLD NOINLINE struct family program_s_family(void)
{
	static struct family kept;
	static atomic_u32 keepers; /* 1: it is being written, 2: it is there */
	uint32_t nobody = 0;
	struct family family;
	if (load_acquire(&keepers) == 2) /* pairs with the release below */
		return kept;
	find_program_s(&family);
	if (cas_acq_rel(&keepers, &nobody, UINT32_C(1))) {
		kept = family;
		store_release(&keepers, UINT32_C(2)); /* after what was kept */
	}
	return family;
}

static struct family family(void)
{
	if (unlikely(!heap_is_first()))
		return program_s_family();
	return (struct family){.malloc = INTERPOSED(malloc),
			       .realloc = INTERPOSED(realloc),
			       .free = INTERPOSED(free),
			       .memalign = INTERPOSED(memalign),
			       .usable_size = malloc_usable_size};
}

static void *plain_mallocx(size_t size, int flags)
{
	const struct family next = family();
	size_t alignment = (size_t)1 << (flags & FLAG_LG_ALIGN_MASK);
	void *block = NULL;
	if (alignment <= _Alignof(max_align_t))
		block = next.malloc(size);
	else if (next.memalign)
		block = next.memalign(alignment, size);
	if (block && (flags & FLAG_ZERO))
		memset(block, 0, size);
	return block;
}

static void *plain_rallocx(void *block, size_t size, int flags)
{
	const struct family next = family();
	if ((flags & FLAG_LG_ALIGN_MASK) <= __builtin_ctzl(_Alignof(max_align_t)) && !(flags & FLAG_ZERO))
		return next.realloc(block, size);
	void *moved = next.usable_size ? plain_mallocx(size, flags) : NULL;
	if (moved) {
		size_t old_size = next.usable_size(block);
		memcpy(moved, block, size < old_size ? size : old_size);
		next.free(block);
	}
	return moved;
}

/* What it cannot say is too little for whoever asks. */
static size_t plain_size(void *block)
{
	const struct family next = family();
	return next.usable_size ? next.usable_size(block) : 0;
}

static void plain_dallocx(void *block)
{
	family().free(block);
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
		return plain_size(block);
	bool take = sampler_take(size);
	if (unlikely(take || !live_is_unknown(block)))
		return sampled_xallocx(block, size, extra, flags, take);
	return real.xallocx(block, size, extra, flags);
}

EXPORT void INTERPOSED(dallocx)(void *block, int flags)
{
	real_resolve_optional();
	if (!real.dallocx) {
		plain_dallocx(block);
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
		plain_dallocx(block);
		return;
	}
	if (unlikely(!live_is_unknown(block)))
		heap_forget(block);
	real.sdallocx(block, size, flags);
}
