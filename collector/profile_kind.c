/* SPDX-License-Identifier: MIT */
/*
 * Types and units are what Go writes, byte for byte: tools know profiles by these
 * names.  Threads are the exception, there is no such profile in Go.
 *
 * Context: see profile_kind.h.
 */
#include "profile_kind.h"

/*
 * cprof's own malloc is never in a stack, so its caller is the leaf.  Of what C++ and
 * Rust put between malloc and the code that wants the memory, the entry points are
 * cut, as pprof cuts them from heap profiles in its old text format.  Nothing that
 * people write: no xmalloc, no allocators of their own.
 */
#define HEAP_DROP_FRAMES                                                                       \
	"operator new(\\[\\])?"                                                                \
	"|(std|std::__1|__gnu_cxx)::(__)?(new_)?(allocator|allocator_traits)(<.*>)?::allocate" \
	"|<?alloc::alloc::.*|(__rustc::)?__(rust|rdl|rg)_(alloc|alloc_zeroed|realloc)"

const struct profile_kind_info profile_kinds[PROFILE_KIND_COUNT] = {
	[PROFILE_CPU] =
		{
			.name = "cpu",
			.values = {{"samples", "count"}, {"cpu", "nanoseconds"}},
			.value_count = 2,
			.period = {"cpu", "nanoseconds"},
		},
	[PROFILE_HEAP] =
		{
			.name = "heap",
			.values = {{"alloc_objects", "count"},
				   {"alloc_space", "bytes"},
				   {"inuse_objects", "count"},
				   {"inuse_space", "bytes"}},
			.value_count = 4,
			.period = {"space", "bytes"},
			.default_type = "inuse_space",
			.drop_frames = HEAP_DROP_FRAMES,
		},
	[PROFILE_BLOCK] =
		{
			.name = "block",
			.values = {{"contentions", "count"}, {"delay", "nanoseconds"}},
			.value_count = 2,
			.period = {"contentions", "count"},
		},
	[PROFILE_MUTEX] =
		{
			.name = "mutex",
			.values = {{"contentions", "count"}, {"delay", "nanoseconds"}},
			.value_count = 2,
			.period = {"contentions", "count"},
		},
	[PROFILE_THREADCREATE] =
		{
			.name = "threadcreate",
			.values = {{"threadcreate", "count"}},
			.value_count = 1,
			.period = {"threadcreate", "count"},
		},
	[PROFILE_THREADS] =
		{
			.name = "threads",
			.values = {{"threads", "count"}},
			.value_count = 1,
			.period = {"threads", "count"},
		},
};
