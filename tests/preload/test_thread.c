/* SPDX-License-Identifier: MIT */
/* Guards: each level has its own scratch, and one that was left by a jump gives its level back. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

#include "contention_publish.h"
#include "cprof_compiler.h"
#include "interpose_thread.h"
#include "own_segment.h"

static void open_segment(void)
{
	own_segment_open(UINT64_C(16) << 20);
	own_thread_attach();
}

TestSuite(thread, .init = open_segment);

/* Enters from a frame that is `depth` deeper than the caller's, and never leaves. */
static NOINLINE void enter_and_be_left(int depth)
{
	char deeper[256];
	struct guard guard;
	__asm__ volatile("" : : "r"(deeper) : "memory");
	if (depth > 0)
		enter_and_be_left(depth - 1);
	else
		cr_assert(guard_enter(&guard));
	__asm__ volatile("" : : "r"(deeper) : "memory"); /* no tail call */
}

/* The level of a guard that is entered here, in the caller's frame or above what it calls. */
static NOINLINE uint32_t level_here(void)
{
	struct guard guard;
	cr_assert(guard_enter(&guard));
	guard_leave(&guard);
	return guard.level;
}

/* Its creator looks for a slot, and then the thread itself. */
Test(thread, that_finds_no_slot_is_counted_once)
{
	const struct unwind_bounds bounds = thread_tls.bounds;
	while (thread_slot_take())
		continue;
	cr_assert_null(thread_slot_take());
	thread_attach(NULL, &bounds);
	cr_assert_null(thread_tls.slot);
	cr_expect_eq(load_relaxed(&segment_control()->counters[CPROF_THREADS_NO_SLOT]), 1);
}

Test(thread, guards_nest_each_with_its_own_scratch)
{
	struct guard guards[CPROF_SCRATCH_LEVELS + 1];
	for (uint32_t i = CPROF_SCRATCH_LEVELS; i + 1 > 0; i--) /* as in a stack, the first one lies above */
		cr_assert(guard_enter(&guards[i]));
	for (uint32_t i = 0; i < CPROF_SCRATCH_LEVELS; i++)
		cr_expect_eq(guards[CPROF_SCRATCH_LEVELS - i].frames, thread_tls.slot->scratch[i].frames);
	cr_expect_null(guards[0].frames, "too deep");
	for (uint32_t i = 0; i <= CPROF_SCRATCH_LEVELS; i++)
		guard_leave(&guards[i]);
	cr_expect_eq(level_here(), 0);
}

Test(thread, guard_that_was_left_gives_its_level_back)
{
	for (int i = 0; i < 1000; i++)
		enter_and_be_left(1);
	cr_expect_eq(level_here(), 0);
	for (int i = 0; i < 1000; i++)
		enter_and_be_left(i % 4);
	cr_expect_eq(level_here(), 0);
}

Test(thread, guard_around_those_that_were_left_stays)
{
	struct guard guard;
	cr_assert(guard_enter(&guard));
	for (int i = 0; i < 10; i++)
		enter_and_be_left(2);
	cr_expect_eq(level_here(), 1);
	guard_leave(&guard);
	cr_expect_eq(level_here(), 0);
}

static uint32_t handlers_level;

static void enter_in_a_handler(int signal)
{
	(void)signal;
	handlers_level = level_here();
}

/* In the thread's own stack, above the frames that it interrupts. */
Test(thread, guard_is_not_left_for_an_alternate_stack_above_it)
{
	static const struct sigaction action = {.sa_handler = enter_in_a_handler, .sa_flags = SA_ONSTACK};
	char bytes[32768];
	struct guard guard;
	const stack_t alternate = {.ss_sp = bytes, .ss_size = sizeof bytes};
	cr_assert_eq(sigaltstack(&alternate, NULL), 0);
	sigaction(SIGUSR1, &action, NULL);
	enter_and_be_left(0); /* below `bytes` */
	raise(SIGUSR1);
	cr_expect_eq(handlers_level, 1);
	cr_assert(guard_enter(&guard));
	guard_leave(&guard);
	cr_expect_eq(guard.level, 0, "not in the handler");
}

Test(thread, what_a_jump_left_half_shown_does_not_stay)
{
	struct publication shown = {.what = CPROF_WAIT_MUTEX, .since_ns = 1, .sp = 1};
	struct cprof_waiting *waiting = &thread_tls.slot->waiting;
	cr_assert(contention_publish(thread_tls.slot, &shown));
	enter_and_be_left(1);
	add_relaxed(&waiting->sequence, UINT32_C(1)); /* as in the middle of it */
	cr_assert_not(contention_publish(thread_tls.slot, &shown));
	cr_expect_eq(level_here(), 0);
	cr_expect_eq(load_relaxed(&waiting->what), CPROF_WAIT_NONE);
	cr_expect(contention_publish(thread_tls.slot, &shown));
	cr_expect_eq(load_relaxed(&waiting->sequence) % 2, 0);
}

static void *size_of_own_stack(void *out_bytes)
{
	*(uint64_t *)out_bytes = load_relaxed(&thread_tls.slot->stack_high) -
				 load_relaxed(&thread_tls.slot->stack_low);
	return NULL;
}

/* Of a thread with the program's default attributes. */
static uint64_t size_of_a_stack(void)
{
	uint64_t bytes = 0;
	pthread_t thread;
	cr_assert_eq(cprof_test_pthread_create(&thread, NULL, size_of_own_stack, &bytes), 0);
	pthread_join(thread, NULL);
	return bytes;
}

/* Reads beyond a stack's end would end the program, those beyond its bounds take a system call. */
Test(thread, bounds_follow_the_default_size)
{
	pthread_attr_t attributes;
	interpose_thread_load();
	for (size_t bytes = UINT64_C(1) << 17; bytes < UINT64_C(1) << 26; bytes <<= 4) {
		pthread_attr_init(&attributes);
		pthread_attr_setstacksize(&attributes, bytes);
		cr_assert_eq(cprof_test_pthread_setattr_default_np(&attributes), 0);
		pthread_attr_destroy(&attributes);
		cr_expect_eq(size_of_a_stack(), bytes);
	}
}
