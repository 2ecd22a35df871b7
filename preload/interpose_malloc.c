/* SPDX-License-Identifier: MIT */
/*
 * The malloc family.  Each function has a fast path of a few instructions that ends
 * in a tail call, and a sampled_ twin for the rare rest, which unwinds from its
 * caller's caller: the fast path left no frame of its own.
 *
 * Order: a free is recorded before the real free, an allocation after the real
 * malloc, so that no address is ever in the live table twice.
 *
 * Context: any (async-signal-safe beyond what the real function is).
 */
#include "interpose_malloc.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap.h"
#include "live.h"
#include "malloc_time.h"
#include "process.h"
#include "record.h"
#include "sampler.h"
#include "segment.h"
#include "trace.h"

/* The thread that probes, by the address of its TLS; what it was told last. */
static atomic_u64 probe_owner;
static const void *probe_block;

bool heap_probe_begin(uint64_t *out_countdown)
{
	uint64_t nobody = 0;
	if (!cas_acq_rel(&probe_owner, &nobody, (uint64_t)(uintptr_t)&thread_tls))
		return false;
	probe_block = NULL;
	*out_countdown = thread_tls.countdown_bytes;
	thread_tls.countdown_bytes = 0; /* a nested call is certain to reach heap_record() */
	return true;
}

bool heap_probe_has_noted(void)
{
	return probe_block != NULL;
}

bool heap_probe_end(const void *block, uint64_t countdown)
{
	bool was_noted = block && probe_block == block;
	store_release(&probe_owner, UINT64_C(0)); /* after probe_block was read */
	thread_tls.countdown_bytes = countdown;
	return was_noted;
}

void heap_probe_forget(void)
{
	store_relaxed(&probe_owner, UINT64_C(0)); /* one thread so far */
}

void heap_record_timed(const void *block, size_t size, const struct unwind_regs *regs, uint64_t duration_ns)
{
	struct guard guard;
	if (!block)
		return;
	/* Relaxed: only this thread can have put its own address there. */
	if (unlikely(load_relaxed(&probe_owner) == (uint64_t)(uintptr_t)&thread_tls)) {
		/* Once: the probe's end may never come, when operator new throws. */
		probe_block = block;
		store_release(&probe_owner, UINT64_C(0)); /* after probe_block */
		return;
	}
	if (!guard_enter(&guard)) {
		sampler_rest();
		return;
	}
	uint64_t rate_bytes;
	if (sampler_decide(size, &rate_bytes)) {
		struct sampler_weight w = sampler_weigh(size, rate_bytes);
		/* In this order: a reader never finds more in use than was allocated. */
		uint32_t stack = record_again(&guard, regs, CPROF_KIND_ALLOC, w.weight, w.value);
		if (live_insert(block, stack, thread_tls.labels, w.weight, w.value) && trace_is_on())
			trace_event(&guard, &(struct trace_event){
						    .kind = CPROF_EVENT_HEAP, .stack = stack, .a = w.value});
		malloc_time_add(duration_ns, &w);
	}
	guard_leave(&guard);
}

void heap_record(const void *block, size_t size, const struct unwind_regs *regs)
{
	heap_record_timed(block, size, regs, 0);
}

/* Leaves an event of an entry that goes. */
static void trace_removal(struct live_entry entry)
{
	struct guard guard;
	uint64_t value = live_value(entry);
	if (value == 0 || !guard_enter(&guard))
		return;
	trace_event(&guard, &(struct trace_event){.kind = CPROF_EVENT_HEAP, .a = -value});
	guard_leave(&guard);
}

void heap_drop(struct live_entry entry, const void *block)
{
	if (unlikely(trace_is_on()))
		trace_removal(entry);
	live_drop(entry, block);
}

void heap_forget(const void *block)
{
	/* In a forked child that has no segment yet the table still is the parent's. */
	if (!process_is_recording())
		return;
	if (unlikely(trace_is_on()))
		heap_drop(live_detach(block), block);
	else
		live_remove(block);
}

struct live_entry heap_detach(const void *block)
{
	if (block && process_is_recording())
		return live_detach(block);
	return (struct live_entry){.found = false};
}

static COLD NOINLINE void *sampled_malloc(size_t size)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	uint64_t begin_ns = malloc_time_begin();
	void *block = real.malloc(size);
	heap_record_timed(block, size, &regs, malloc_time_since(begin_ns));
	return block;
}

EXPORT FAST void *INTERPOSED(malloc)(size_t size)
{
	if (unlikely(sampler_take(size)))
		return sampled_malloc(size);
	return real.malloc(size);
}

static COLD NOINLINE void sampled_free(void *block)
{
	if (bootstrap_owns(block))
		return;
	heap_forget(block);
	real.free(block);
}

EXPORT FAST void INTERPOSED(free)(void *block)
{
	if (unlikely(!live_is_unknown(block))) {
		sampled_free(block);
		return;
	}
	real.free(block);
}

static COLD NOINLINE void *sampled_calloc(size_t count, size_t size)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	uint64_t begin_ns = malloc_time_begin();
	void *block = real.calloc(count, size);
	/* No overflow: the real calloc looked. */
	heap_record_timed(block, count * size, &regs, malloc_time_since(begin_ns));
	return block;
}

EXPORT FAST void *INTERPOSED(calloc)(size_t count, size_t size)
{
	if (unlikely(sampler_take(count * size)))
		return sampled_calloc(count, size);
	return real.calloc(count, size);
}

/* A block of the bootstrap arena moves to the real heap. */
static void *move_from_bootstrap(void *block, size_t size)
{
	void *moved = real.malloc(size);
	size_t old_size = bootstrap_size(block);
	if (moved)
		memcpy(moved, block, size < old_size ? size : old_size);
	return moved;
}

/* `take`: what sampler_take() said. */
static COLD NOINLINE void *sampled_realloc(void *block, size_t size, bool take)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	if (bootstrap_owns(block))
		return move_from_bootstrap(block, size);
	struct live_entry entry = heap_detach(block);
	void *moved = real.realloc(block, size);
	/* NULL for size 0 means freed, as with glibc and tcmalloc; otherwise that it failed. */
	if (!moved && (size != 0 || !block)) {
		live_reattach(entry, block);
		return NULL;
	}
	heap_drop(entry, block);
	if (take)
		heap_record(moved, size, &regs);
	return moved;
}

EXPORT FAST void *INTERPOSED(realloc)(void *block, size_t size)
{
	bool take = sampler_take(size);
	if (unlikely(take || !live_is_unknown(block)))
		return sampled_realloc(block, size, take);
	return real.realloc(block, size);
}

static bool is_first; /* written at load, when there is one thread */

void heap_set_first(bool first)
{
	is_first = first;
}

bool heap_is_first(void)
{
	return is_first;
}

/*
 * Where realloc is ours it counts, which another allocator's reallocarray would not have it do.  Else
 * the real one: glibc's calls the program's own realloc, by whose free the block will be freed.
 */
EXPORT void *INTERPOSED(reallocarray)(void *block, size_t count, size_t size)
{
	size_t bytes;
	if (!is_first)
		return real.reallocarray(block, count, size);
	if (unlikely(__builtin_mul_overflow(count, size, &bytes))) {
		errno = ENOMEM;
		return NULL;
	}
	return INTERPOSED(realloc)(block, bytes);
}

static COLD NOINLINE int sampled_posix_memalign(void **out_block, size_t alignment, size_t size)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	int error = real.posix_memalign(out_block, alignment, size);
	if (!error)
		heap_record(*out_block, size, &regs);
	return error;
}

EXPORT int INTERPOSED(posix_memalign)(void **out_block, size_t alignment, size_t size)
{
	if (unlikely(sampler_take(size)))
		return sampled_posix_memalign(out_block, alignment, size);
	return real.posix_memalign(out_block, alignment, size);
}

/* aligned_alloc and memalign differ in their callers' rights only. */
static COLD NOINLINE void *sampled_aligned(void *(*next)(size_t, size_t), size_t alignment, size_t size)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	void *block = next(alignment, size);
	heap_record(block, size, &regs);
	return block;
}

EXPORT void *INTERPOSED(aligned_alloc)(size_t alignment, size_t size)
{
	if (unlikely(sampler_take(size)))
		return sampled_aligned(real.aligned_alloc, alignment, size);
	return real.aligned_alloc(alignment, size);
}

EXPORT void *INTERPOSED(memalign)(size_t alignment, size_t size)
{
	if (unlikely(sampler_take(size)))
		return sampled_aligned(real.memalign, alignment, size);
	return real.memalign(alignment, size);
}

static COLD NOINLINE void *sampled_paged(void *(*next)(size_t), size_t size)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	void *block = next(size);
	heap_record(block, size, &regs);
	return block;
}

EXPORT void *INTERPOSED(valloc)(size_t size)
{
	if (unlikely(sampler_take(size)))
		return sampled_paged(real.valloc, size);
	return real.valloc(size);
}

EXPORT void *INTERPOSED(pvalloc)(size_t size)
{
	if (unlikely(sampler_take(size)))
		return sampled_paged(real.pvalloc, size);
	return real.pvalloc(size);
}

/* C23. A libc without them gets plain free(), which is what they mean. */
EXPORT void INTERPOSED(free_sized)(void *block, size_t size)
{
	if (unlikely(!live_is_unknown(block)))
		heap_forget(block);
	if (real.free_sized)
		real.free_sized(block, size);
	else
		INTERPOSED(free)(block);
}

EXPORT void INTERPOSED(free_aligned_sized)(void *block, size_t alignment, size_t size)
{
	if (unlikely(!live_is_unknown(block)))
		heap_forget(block);
	if (real.free_aligned_sized)
		real.free_aligned_sized(block, alignment, size);
	else
		INTERPOSED(free)(block);
}
