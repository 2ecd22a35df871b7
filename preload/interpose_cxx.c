/* SPDX-License-Identifier: MIT */
/*
 * operator new and delete.  With libstdc++ they pass through: its operator new calls
 * malloc, which counts.  Where the next allocator brings its own (jemalloc, tcmalloc,
 * mimalloc), which does not call malloc, they count here.
 *
 * Exceptions thrown by the real operator new pass through these frames: nothing is
 * held while it runs.
 *
 * Context: any (async-signal-safe beyond what the real function is).
 */
#include "interpose_malloc.h"

#include <stdlib.h>

#include "sampler.h"

struct nothrow;

/* The real function was not in the global scope at load: the C++ library came by dlopen. */
static COLD NOINLINE void find_or_die(void *(**function)(void), const void *caller)
{
	/* What the look-up allocates is not the program's. */
	uint64_t countdown = thread_tls.countdown_bytes;
	thread_tls.countdown_bytes = UINT64_MAX;
	real_find_cxx(caller);
	thread_tls.countdown_bytes = countdown;
	if (!*function)
		abort(); /* code that calls operator new with no C++ library in the process */
}

#define ENSURE(name)                                                                                    \
	do {                                                                                            \
		if (unlikely(!real.name))                                                               \
			find_or_die((void *(**)(void))(void *)&real.name, __builtin_return_address(0)); \
	} while (0)

/*
 * Some allocators' operator new gets its memory by their own malloc or aligned_alloc
 * through the PLT, and so through us.  Which is seen at the first call of each.
 */
enum nature { NATURE_UNKNOWN = 0, NATURE_COUNTS, NATURE_PASSES };

#define DEFINE_NEW(name, parameters, arguments)                                                           \
	static atomic_u8 nature_##name; /* written by whoever calls first */                              \
	static COLD NOINLINE void *learn_##name parameters                                                \
	{                                                                                                 \
		struct unwind_regs regs;                                                                  \
		uint64_t countdown;                                                                       \
		unwind_regs_of_caller(&regs);                                                             \
		bool is_probe = heap_probe_begin(&countdown);                                             \
		void *block = real.name arguments;                                                        \
		if (is_probe) {                                                                           \
			enum nature n = heap_probe_end(block, countdown) ? NATURE_PASSES : NATURE_COUNTS; \
			store_relaxed(&nature_##name, (uint8_t)n); /* stands alone */                     \
		}                                                                                         \
		if (sampler_take(size))                                                                   \
			heap_record(block, size, &regs);                                                  \
		return block;                                                                             \
	}                                                                                                 \
	static COLD NOINLINE void *sampled_##name parameters                                              \
	{                                                                                                 \
		struct unwind_regs regs;                                                                  \
		unwind_regs_of_caller(&regs);                                                             \
		void *block = real.name arguments;                                                        \
		heap_record(block, size, &regs);                                                          \
		return block;                                                                             \
	}                                                                                                 \
	EXPORT FAST void *INTERPOSED(name) parameters                                                     \
	{                                                                                                 \
		ENSURE(name);                                                                             \
		if (real.cxx_counts) {                                                                    \
			uint8_t nature = load_relaxed(&nature_##name); /* stands alone */                 \
			if (unlikely(nature == NATURE_UNKNOWN))                                           \
				return learn_##name arguments;                                            \
			if (nature == NATURE_COUNTS && unlikely(sampler_take(size)))                      \
				return sampled_##name arguments;                                          \
		}                                                                                         \
		return real.name arguments;                                                               \
	}

#define DEFINE_DELETE(name, parameters, arguments)                        \
	EXPORT FAST void INTERPOSED(name) parameters                      \
	{                                                                 \
		ENSURE(name);                                             \
		if (unlikely(real.cxx_counts && !live_is_unknown(block))) \
			heap_forget(block);                               \
		real.name arguments;                                      \
	}

DEFINE_NEW(_Znwm, (size_t size), (size))
DEFINE_NEW(_Znam, (size_t size), (size))
DEFINE_NEW(_ZnwmRKSt9nothrow_t, (size_t size, const struct nothrow *tag), (size, tag))
DEFINE_NEW(_ZnamRKSt9nothrow_t, (size_t size, const struct nothrow *tag), (size, tag))
DEFINE_NEW(_ZnwmSt11align_val_t, (size_t size, size_t alignment), (size, alignment))
DEFINE_NEW(_ZnamSt11align_val_t, (size_t size, size_t alignment), (size, alignment))
DEFINE_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const struct nothrow *tag),
	   (size, alignment, tag))
DEFINE_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const struct nothrow *tag),
	   (size, alignment, tag))

DEFINE_DELETE(_ZdlPv, (void *block), (block))
DEFINE_DELETE(_ZdaPv, (void *block), (block))
DEFINE_DELETE(_ZdlPvm, (void *block, size_t size), (block, size))
DEFINE_DELETE(_ZdaPvm, (void *block, size_t size), (block, size))
DEFINE_DELETE(_ZdlPvRKSt9nothrow_t, (void *block, const struct nothrow *tag), (block, tag))
DEFINE_DELETE(_ZdaPvRKSt9nothrow_t, (void *block, const struct nothrow *tag), (block, tag))
DEFINE_DELETE(_ZdlPvSt11align_val_t, (void *block, size_t alignment), (block, alignment))
DEFINE_DELETE(_ZdaPvSt11align_val_t, (void *block, size_t alignment), (block, alignment))
DEFINE_DELETE(_ZdlPvmSt11align_val_t, (void *block, size_t size, size_t alignment), (block, size, alignment))
DEFINE_DELETE(_ZdaPvmSt11align_val_t, (void *block, size_t size, size_t alignment), (block, size, alignment))
DEFINE_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t alignment, const struct nothrow *tag),
	      (block, alignment, tag))
DEFINE_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t alignment, const struct nothrow *tag),
	      (block, alignment, tag))
