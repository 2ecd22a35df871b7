/* SPDX-License-Identifier: MIT */
/*
 * pthread_create: the new thread starts in a trampoline that gives it its slot and
 * CPU timer, and leaves by a destructor of thread-specific data, which covers return,
 * pthread_exit and cancellation alike.  Each thread that was started is recorded with
 * the stack of who started it, which its slot remembers as well.
 *
 * Context: as pthread_create: threads, not handlers.
 */
#include "interpose_thread.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <threads.h>

#include "process.h"
#include "real.h"
#include "record.h"
#include "segment.h"
#include "signal_mask.h"
#include "thread.h"
#include "thread_private.h"
#include "trace_life.h"

#pragma weak pthread_attr_getsigmask_np /* glibc 2.32 */

/*
 * What pthread_create leaves for the trampoline.  Not in the slot: a program that writes over
 * the segment by mistake must not lose its way.
 */
struct start {
	atomic_u32 is_taken;
	uint32_t creator; /* thread id */
	struct cprof_thread *slot;
	void *(*function)(void *);
	void *argument;
	uint64_t stack_bytes; /* at least, 0 if not known */
	uint64_t stack_low;   /* 0: the stack is glibc's own */
	uint32_t labels;
	uint8_t sigprof_witness;
	bool sigprof_is_programs;
	bool is_c11; /* the function returns an int */
};

/* Of threads that are about to begin. */
#define STARTS_MAX 512u
static SPARSE struct start starts[STARTS_MAX];

/* Set once at load. */
static pthread_key_t end_key;
static bool has_end_key;

/* Of stacks that glibc makes itself. */
static atomic_u64 default_stack_bytes;

/*
 * Runs in each round of destructors, and asks for the next one until the last, so
 * that what other destructors allocate and free still has a slot.
 */
static void on_thread_end(void *unused)
{
	(void)unused;
	if (++thread_tls.exit_rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
		(void)pthread_setspecific(end_key, &thread_tls);
		return;
	}
	trace_life_thread_ends((uint64_t)pthread_self());
	thread_detach();
}

static void take_default(const pthread_attr_t *attributes)
{
	size_t bytes = 0;
	if (pthread_attr_getstacksize(attributes, &bytes) == 0)
		store_relaxed(&default_stack_bytes, (uint64_t)bytes); /* one value, read alone */
}

void interpose_thread_load(void)
{
	has_end_key = pthread_key_create(&end_key, on_thread_end) == 0;
	pthread_attr_t attributes;
	if (pthread_getattr_default_np(&attributes) == 0) {
		take_default(&attributes);
		(void)pthread_attr_destroy(&attributes);
	}
}

EXPORT int INTERPOSED(pthread_setattr_default_np)(const pthread_attr_t *attributes)
{
	real_resolve();
	int error = real.pthread_setattr_default_np(attributes);
	if (error == 0)
		take_default(attributes); /* where they have no size, that is glibc's */
	return error;
}

void interpose_thread_watch_end(void)
{
	if (has_end_key)
		(void)pthread_setspecific(end_key, &thread_tls);
}

/*
 * The thread's stack.  glibc keeps the thread's descriptor at its upper end, also in a
 * stack that the program gave, and the frames above the trampoline are few.
 */
static struct unwind_bounds bounds_of(const struct start *start)
{
	uint64_t here = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	uint64_t high = (uint64_t)pthread_self();
	struct unwind_bounds bounds = {0, 0};
	if (start->stack_bytes == 0 || here >= high || high - here >= start->stack_bytes)
		return bounds;
	bounds.high = high;
	bounds.low = start->stack_low ? start->stack_low : high - start->stack_bytes;
	return bounds;
}

static void *trampoline(void *argument)
{
	struct start *left = argument;
	const struct start start = *left;
	struct cprof_thread *slot = start.slot;
	store_release(&left->is_taken, UINT32_C(0)); /* it was read */
	struct unwind_bounds bounds = bounds_of(&start);
	thread_tls.sigprof_witness = start.sigprof_witness;
	thread_tls.sigprof_is_programs = start.sigprof_is_programs;
	thread_tls.labels = start.labels;
	signal_mask_open_sigprof();
	thread_attach(slot, &bounds);
	interpose_thread_watch_end();
	trace_life_thread_starts(start.creator, load_relaxed(&slot->created_by)); /* its own */
	if (start.is_c11)
		return (void *)(intptr_t)((thrd_start_t)(uintptr_t)start.function)(start.argument);
	return start.function(start.argument);
}

/* C11's, with its type. */
static int trampoline_c11(void *argument)
{
	return (int)(intptr_t)trampoline(argument);
}

/* The stack of a call of `function`, 0 if there is none or nothing is recorded. */
static uint32_t stack_of_call(const void *function, const struct unwind_regs *regs)
{
	struct guard guard;
	if (!guard_enter(&guard))
		return 0;
	uint32_t stack = record_stack_above(&guard, function, regs);
	guard_leave(&guard);
	return stack;
}

/* The thread runs: counts it. */
static void record_start(uint32_t stack)
{
	struct guard guard;
	if (!guard_enter(&guard))
		return;
	record_add_labelled(&guard, stack, CPROF_KIND_THREADCREATE, 0, CPROF_WEIGHT_ONE, 0);
	guard_leave(&guard);
}

static struct start *take_start(void)
{
	static atomic_u32 hint; /* where the last one was; any thread writes it */
	uint32_t first = add_relaxed(&hint, UINT32_C(1));
	for (uint32_t i = 0; i < STARTS_MAX; i++) {
		struct start *start = &starts[(first + i) % STARTS_MAX];
		if (exchange_acquire(&start->is_taken, UINT32_C(1)) == 0)
			return start;
	}
	return NULL;
}

/* Takes a slot, and leaves what the new thread begins with. NULL: it starts without us. */
static struct start *prepare(void *(*function)(void *), void *argument, uint32_t created_by)
{
	struct start *start = process_ensure_recording() ? take_start() : NULL;
	if (!start)
		return NULL;
	struct cprof_thread *slot = thread_slot_take();
	if (!slot) {
		store_release(&start->is_taken, UINT32_C(0)); /* nobody else saw it */
		return NULL;
	}
	store_relaxed(&slot->created_by, created_by); /* published with LIVE, by the thread itself */
	start->slot = slot;
	start->function = function;
	start->argument = argument;
	start->stack_bytes = load_relaxed(&default_stack_bytes); /* one value */
	start->stack_low = 0;
	start->creator = thread_tls.slot ? load_relaxed(&thread_tls.slot->tid) : 0; /* its own */
	start->sigprof_witness = thread_tls.sigprof_witness;
	start->sigprof_is_programs = thread_tls.sigprof_is_programs;
	start->is_c11 = false;
	start->labels = thread_tls.labels;
	return start;
}

/* There is no thread after all. */
static void unprepare(struct start *start)
{
	thread_slot_untake(start->slot);
	store_release(&start->is_taken, UINT32_C(0)); /* after the last look at it */
}

static void take_attributes(struct start *start, const pthread_attr_t *attributes)
{
	sigset_t mask;
	if (pthread_attr_getsigmask_np && pthread_attr_getsigmask_np(attributes, &mask) == 0)
		start->sigprof_witness = signal_mask_witness_of(&mask);
	size_t bytes = 0;
	void *low = NULL;
	start->stack_bytes = 0;
	if (pthread_attr_getstacksize(attributes, &bytes) == 0)
		start->stack_bytes = bytes;
	/* A size without an address makes the address come out as minus the size. */
	if (pthread_attr_getstack(attributes, &low, &bytes) == 0 && (uintptr_t)low < UINTPTR_MAX / 2)
		start->stack_low = (uint64_t)(uintptr_t)low;
}

EXPORT int INTERPOSED(pthread_create)(pthread_t *thread, const pthread_attr_t *attributes,
				      void *(*function)(void *), void *argument)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	real_resolve();
	uint32_t stack = stack_of_call((const void *)(uintptr_t)real.pthread_create, &regs);
	struct start *start = prepare(function, argument, stack);
	if (start && attributes)
		take_attributes(start, attributes);
	int error = start ? real.pthread_create(thread, attributes, trampoline, start)
			  : real.pthread_create(thread, attributes, function, argument);
	if (error == 0)
		record_start(stack);
	else if (start)
		unprepare(start);
	return error;
}

/* Does not go through pthread_create's symbol in libc. */
EXPORT int INTERPOSED(thrd_create)(thrd_t *thread, thrd_start_t function, void *argument)
{
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	real_resolve();
	uint32_t stack = stack_of_call((const void *)(uintptr_t)real.thrd_create, &regs);
	struct start *start = prepare((void *(*)(void *))(uintptr_t)function, argument, stack);
	if (start)
		start->is_c11 = true;
	int result = start ? real.thrd_create(thread, trampoline_c11, start)
			   : real.thrd_create(thread, function, argument);
	if (result == thrd_success)
		record_start(stack);
	else if (start)
		unprepare(start);
	return result;
}

EXPORT int INTERPOSED(pthread_setname_np)(pthread_t thread, const char *name)
{
	real_resolve();
	int error = real.pthread_setname_np(thread, name);
	if (error == 0 && pthread_equal(thread, pthread_self()))
		trace_life_thread_is_named();
	return error;
}
