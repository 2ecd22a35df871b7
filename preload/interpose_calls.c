/* SPDX-License-Identifier: MIT */
/*
 * Calls of the C library that may block.  Each is passed on by a jump while no trace is
 * taken, and timed while one is.  They have no fast twin to try first: a call that does
 * not wait is told by its time (CONTENTION_CALL_NS_MIN) and leaves nothing.
 *
 * Most are cancellation points, and any may be left by a jump out of a handler: nothing
 * is held while the real call runs but what the thread's slot shows of it, which the next
 * wait or the thread's end takes away.
 *
 * Context: any (async-signal-safe), as the real functions.
 */
#include "call_list.h"
#include "contention_call.h"
#include "real.h"
#include "trace.h"
#include "trace_life.h"

#define END_COUNT(result) ((result) < 0 ? CONTENTION_GAVE_UP : CONTENTION_ACQUIRED)
#define END_READY(result) ((result) <= 0 ? CONTENTION_GAVE_UP : CONTENTION_ACQUIRED)
#define END_ERROR(result) ((result) != 0 ? CONTENTION_GAVE_UP : CONTENTION_ACQUIRED)
#define END_SIGNAL(result) ((void)(result), CONTENTION_ACQUIRED)

#define DEFINE_WATCHED(type, name, parameters, arguments)  \
	EXPORT FAST_SHORT type INTERPOSED(name) parameters \
	{                                                  \
		if (unlikely(trace_is_on()))               \
			return traced_##name arguments;    \
		return real.name arguments;                \
	}

#define DEFINE_CALL(type, name, parameters, arguments, what, object, end)                         \
	type INTERPOSED(name) parameters;                                                         \
	static NOINLINE HOT type traced_##name parameters                                         \
	{                                                                                         \
		struct contention_call call;                                                      \
		contention_call_begin(&call, CPROF_WAIT_##what, (const void *)(intptr_t)(object), \
				      (const void *)(uintptr_t)real.name,                         \
				      (const uint64_t *)__builtin_frame_address(0));              \
		type result = real.name arguments;                                                \
		contention_call_end(&call, END_##end(result));                                    \
		return result;                                                                    \
	}                                                                                         \
	DEFINE_WATCHED(type, name, parameters, arguments)

CALL_LIST_TIMED(DEFINE_CALL)
CALL_LIST_LATE(DEFINE_CALL)

/* What was taken is told before the wait's end: that it lies within shows which wait it ended. */
#define DEFINE_SIGNAL_CALL(type, name, parameters, arguments, number, info)                       \
	type INTERPOSED(name) parameters;                                                         \
	static NOINLINE type traced_##name parameters                                             \
	{                                                                                         \
		struct contention_wait wait;                                                      \
		struct trace_life_call call = {.function = (const void *)(uintptr_t)real.name};   \
		unwind_regs_of_caller(&call.regs);                                                \
		contention_wait_begin(&wait, CPROF_WAIT_SIGNAL, NULL, call.function, &call.regs); \
		type result = real.name arguments;                                                \
		int taken = number;                                                               \
		trace_life_takes_signal(&call, taken, info);                                      \
		contention_wait_end(&wait, taken > 0 ? CONTENTION_ACQUIRED : CONTENTION_GAVE_UP); \
		return result;                                                                    \
	}                                                                                         \
	DEFINE_WATCHED(type, name, parameters, arguments)

CALL_LIST_SIGNAL(DEFINE_SIGNAL_CALL)
