/* SPDX-License-Identifier: MIT */
/*
 * What is made of events: waits that nest, who ended them, regions and tasks that are cut,
 * the heap.
 *
 * Context: tests.
 */
#include "trace_model.h"

#include <criterion/criterion.h>

#include "cprof_compiler.h"
#include "fake_trace.h"
#include "fixture.h"

#define OBJECT UINT64_C(0x7f0000001000)

static struct trace_model model;
static uint32_t threads[4];

static void begin(void)
{
	fixture_begin();
	fake_trace_begin(1000, 2000);
	for (uint32_t i = 0; i < ARRAY_LENGTH(threads); i++)
		threads[i] = fake_trace_thread(100 + i, "t");
}

static void end(void)
{
	trace_model_free(&model);
	fake_trace_end();
	fixture_end();
}

TestSuite(trace_model, .init = begin, .fini = end);

static void build(void)
{
	trace_model_free(&model);
	cr_assert_eq(trace_model_build(&fake_trace, &model), 0);
}

static void add_wait(uint32_t thread, uint32_t what, uint64_t from, uint64_t until)
{
	FAKE_EVENT(threads[thread], .at = until, .kind = CPROF_EVENT_WAIT, .what = what, .a = until - from,
		   .b = OBJECT);
}

static void add_wake(uint32_t thread, uint32_t what, uint64_t at, uint64_t count)
{
	FAKE_EVENT(threads[thread], .at = at, .kind = CPROF_EVENT_WAKE, .what = what, .a = count,
		   .b = OBJECT);
}

/* When the wait of a thread that ended at this time was ended by a wake; 0: it has none. */
static uint64_t woken_at(uint32_t thread, uint64_t until)
{
	for (size_t i = 0; i < model.wait_count; i++)
		if (model.waits[i].thread == thread && model.waits[i].end_ns == until)
			return model.waits[i].waker == TRACE_NONE ? 0
								  : model.wakes[model.waits[i].waker].time_ns;
	cr_assert_fail("no wait of thread %u until %lu", thread, (unsigned long)until);
	return 0;
}

Test(trace_model, mutex_is_free_after_the_last_unlock)
{
	add_wait(0, CPROF_WAIT_MUTEX, 1100, 1500);
	add_wake(1, CPROF_WAIT_MUTEX, 1050, 1); /* before anybody waited */
	add_wake(1, CPROF_WAIT_MUTEX, 1200, 1);
	add_wake(2, CPROF_WAIT_MUTEX, 1400, 1); /* it was faster, and let go in its turn */
	add_wake(3, CPROF_WAIT_MUTEX, 1600, 1);
	build();
	cr_expect_eq(woken_at(0, 1500), 1400);
}

Test(trace_model, nobody_wakes_itself)
{
	add_wake(0, CPROF_WAIT_MUTEX, 1300, 1);
	add_wait(0, CPROF_WAIT_MUTEX, 1100, 1500);
	build();
	cr_expect_eq(woken_at(0, 1500), 0);
}

Test(trace_model, who_gave_up_was_not_woken)
{
	FAKE_EVENT(threads[0], .at = 1500, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_COND,
		   .flags = CPROF_EVENT_GAVE_UP, .a = 400, .b = OBJECT);
	add_wait(1, CPROF_WAIT_COND, 1100, 1501);
	add_wake(2, CPROF_WAIT_COND, 1450, 1);
	build();
	cr_expect_eq(woken_at(0, 1500), 0);
	cr_expect_eq(woken_at(1, 1501), 1450);
}

Test(trace_model, each_signal_wakes_one)
{
	add_wait(0, CPROF_WAIT_COND, 1100, 1500);
	add_wait(1, CPROF_WAIT_COND, 1150, 1600);
	add_wake(2, CPROF_WAIT_COND, 1300, 1);
	add_wake(3, CPROF_WAIT_COND, 1400, 1);
	build();
	cr_expect_eq(woken_at(0, 1500), 1300);
	cr_expect_eq(woken_at(1, 1600), 1400);
}

Test(trace_model, a_broadcast_wakes_all_who_wait)
{
	add_wait(0, CPROF_WAIT_COND, 1100, 1500);
	add_wait(1, CPROF_WAIT_COND, 1150, 1700);
	add_wait(2, CPROF_WAIT_COND, 1450, 1800); /* too late for the first */
	add_wake(3, CPROF_WAIT_COND, 1400, 0);
	add_wake(0, CPROF_WAIT_COND, 1600, 0); /* one that was woken does the same */
	build();
	cr_expect_eq(woken_at(0, 1500), 1400);
	cr_expect_eq(woken_at(1, 1700), 1400);
	cr_expect_eq(woken_at(2, 1800), 1600);
	cr_expect_eq(model.wakes[0].first_woken != TRACE_NONE, true);
}

Test(trace_model, a_post_may_serve_somebody_who_never_waited)
{
	add_wait(0, CPROF_WAIT_SEMAPHORE, 1100, 1500);
	add_wake(1, CPROF_WAIT_SEMAPHORE, 1200, 1);
	add_wake(1, CPROF_WAIT_SEMAPHORE, 1400, 1);
	build();
	cr_expect_eq(woken_at(0, 1500), 1400);
}

Test(trace_model, posts_wake_waiters_in_turn)
{
	add_wait(0, CPROF_WAIT_SEMAPHORE, 1100, 1500);
	add_wait(2, CPROF_WAIT_SEMAPHORE, 1100, 1600);
	add_wake(1, CPROF_WAIT_SEMAPHORE, 1200, 1);
	add_wake(1, CPROF_WAIT_SEMAPHORE, 1400, 1);
	build();
	cr_expect_eq(woken_at(0, 1500), 1200);
	cr_expect_eq(woken_at(2, 1600), 1400);
}

Test(trace_model, an_rwlock_is_one_for_readers_and_writers)
{
	add_wait(0, CPROF_WAIT_RWLOCK_READ, 1100, 1500);
	add_wait(1, CPROF_WAIT_RWLOCK_READ, 1100, 1510);
	add_wake(2, CPROF_WAIT_RWLOCK_WRITE, 1400, 0);
	build();
	cr_expect_eq(woken_at(0, 1500), 1400);
	cr_expect_eq(woken_at(1, 1510), 1400);
}

Test(trace_model, a_reader_lets_writers_go_on_and_no_readers)
{
	add_wait(0, CPROF_WAIT_RWLOCK_READ, 1100, 1500);
	add_wait(1, CPROF_WAIT_RWLOCK_READ, 1100, 1410);
	add_wait(3, CPROF_WAIT_RWLOCK_WRITE, 1420, 1520);
	add_wake(2, CPROF_WAIT_RWLOCK_WRITE, 1400, 0);
	add_wake(1, CPROF_WAIT_RWLOCK_WRITE, 1450, 1); /* it was woken first, and has read */
	add_wake(0, CPROF_WAIT_RWLOCK_WRITE, 1510, 1);
	build();
	cr_expect_eq(woken_at(0, 1500), 1400);
	cr_expect_eq(woken_at(1, 1410), 1400);
	cr_expect_eq(woken_at(3, 1520), 1510);
}

Test(trace_model, a_thread_that_ends_wakes_its_joiner)
{
	add_wait(0, CPROF_WAIT_JOIN, 1100, 1500);
	FAKE_EVENT(threads[1], .at = 1300, .kind = CPROF_EVENT_THREAD_END, .b = OBJECT + 64);
	FAKE_EVENT(threads[2], .at = 1200, .kind = CPROF_EVENT_THREAD_END, .b = OBJECT);
	build();
	cr_expect_eq(woken_at(0, 1500), 1200);
	cr_expect_eq(model.threads[1].is_ended, true);
	cr_expect_eq(model.threads[1].end_ns, 1300);
}

Test(trace_model, waits_of_handlers_are_nested)
{
	add_wait(0, CPROF_WAIT_READ, 1200, 1300);
	add_wait(0, CPROF_WAIT_MUTEX, 1100, 1500);
	add_wait(0, CPROF_WAIT_MUTEX, 1450, 1600); /* half in the one before: nobody can do that */
	build();
	cr_assert_eq(model.wait_count, 3);
	cr_expect_eq(model.waits[0].is_nested, true);
	cr_expect_eq(model.waits[1].is_nested, false);
	cr_expect_eq(model.waits[2].begin_ns, 1500);
	cr_expect_eq(model.threads[0].wait_count, 2);
}

Test(trace_model, shows_waits_that_are_not_over)
{
	struct trace_thread *slot = fake_trace_slot(threads[0]);
	slot->what = CPROF_WAIT_MUTEX;
	slot->object = OBJECT;
	slot->since_ns = 1700;
	slot = fake_trace_slot(threads[1]);
	*slot = *fake_trace_slot(threads[0]);
	slot->slot = 1;
	add_wait(1, CPROF_WAIT_MUTEX, 1700, 1900); /* over when its chunk was read */
	build();
	cr_assert_eq(model.wait_count, 2);
	cr_expect_eq(model.waits[0].is_open, false);
	cr_expect_eq(model.waits[1].is_open, true);
	cr_expect_eq(model.waits[1].begin_ns, 1700);
	cr_expect_eq(model.waits[1].end_ns, 2000);
}

static void begin_region(uint32_t thread, uint64_t at, uint64_t depth)
{
	FAKE_EVENT(threads[thread], .at = at, .kind = CPROF_EVENT_REGION_BEGIN, .b = depth, .text = "region");
}

static void end_region(uint32_t thread, uint64_t at, uint64_t depth)
{
	FAKE_EVENT(threads[thread], .at = at, .kind = CPROF_EVENT_REGION_END, .b = depth);
}

Test(trace_model, a_region_ends_with_those_around_it)
{
	begin_region(0, 1100, 0);
	begin_region(0, 1200, 1);
	begin_region(0, 1300, 2);
	end_region(0, 1400, 1);
	end_region(0, 1450, 1); /* of one that began nowhere */
	begin_region(0, 1500, 0);
	build();
	cr_assert_eq(model.region_count, 4);
	cr_expect_eq(model.regions[0].end_ns, 1500);
	cr_expect_eq(model.regions[1].end_ns, 1400);
	cr_expect_eq(model.regions[2].end_ns, 1400);
	cr_expect_eq(model.regions[3].is_open, true);
	cr_expect_eq(model.regions[3].end_ns, 2000);
}

Test(trace_model, a_gap_cuts_regions)
{
	fake_trace_gap(1300, 1400, 7);
	begin_region(0, 1100, 0);
	begin_region(1, 1100, 0);
	begin_region(1, 1450, 0);
	end_region(1, 1500, 0);
	build();
	cr_assert_eq(model.region_count, 3);
	for (size_t i = 0; i < 2; i++) {
		cr_expect_eq(model.regions[i].end_ns, 1300);
		cr_expect_eq(model.regions[i].is_cut, true);
	}
	cr_expect_eq(model.regions[2].is_cut, false);
	cr_expect_eq(model.regions[2].end_ns, 1500);
}

Test(trace_model, chunks_that_were_gone_over_cut_regions)
{
	begin_region(0, 1100, 0);
	fake_trace_next_chunk(threads[0]);
	fake_trace_next_chunk(threads[0]); /* the one before stays empty: it is not there */
	begin_region(0, 1400, 0);
	build();
	cr_assert_eq(model.region_count, 2);
	cr_expect_eq(model.regions[0].is_cut, true);
	cr_expect_eq(model.regions[0].end_ns, 1100);
	cr_expect_eq(model.regions[1].is_open, true);
}

Test(trace_model, tasks_may_begin_and_end_anywhere)
{
	FAKE_EVENT(threads[0], .at = 900, .kind = CPROF_EVENT_TASK_BEGIN, .a = 1, .text = "early");
	FAKE_EVENT(threads[0], .at = 1100, .kind = CPROF_EVENT_TASK_BEGIN, .a = 2, .b = 1, .text = "child");
	FAKE_EVENT(threads[1], .at = 1200, .kind = CPROF_EVENT_TASK_END, .a = 2);
	FAKE_EVENT(threads[2], .at = 1300, .kind = CPROF_EVENT_TASK_END, .a = 2); /* the first counts */
	FAKE_EVENT(threads[2], .at = 1400, .kind = CPROF_EVENT_TASK_END, .a = 3);
	build();
	cr_assert_eq(model.task_count, 3);
	cr_expect_eq(model.tasks[0].ended_by, TRACE_NONE);
	cr_expect_eq(model.tasks[0].end_ns, 2000);
	cr_expect_eq(model.tasks[1].parent, 1);
	cr_expect_eq(model.tasks[1].begun_by, 0);
	cr_expect_eq(model.tasks[1].ended_by, 1);
	cr_expect_eq(model.tasks[1].end_ns, 1200);
	cr_expect_eq(model.tasks[2].begun_by, TRACE_NONE);
	cr_expect_eq(model.tasks[2].end_ns, 1400);
}

Test(trace_model, the_heap_ends_as_it_is)
{
	fake_trace.live_heap_bytes = 700;
	FAKE_EVENT(threads[0], .at = 1100, .kind = CPROF_EVENT_HEAP, .a = 500);
	FAKE_EVENT(threads[1], .at = 1200, .kind = CPROF_EVENT_HEAP, .a = -UINT64_C(100));
	FAKE_EVENT(threads[1], .at = 1300, .kind = CPROF_EVENT_THREAD_END);
	FAKE_EVENT(threads[1], .at = 1310, .kind = CPROF_EVENT_HEAP, .a = -UINT64_C(300));
	build();
	cr_assert_eq(model.heap_count, 3);
	cr_expect_eq(model.heap[0].live_bytes, 1100);
	cr_expect_eq(model.heap[1].live_bytes, 1000);
	cr_expect_eq(model.heap[2].live_bytes, 700);
	cr_expect_eq(model.heap[2].thread, TRACE_NONE);
}

Test(trace_model, knows_who_started_a_thread)
{
	FAKE_EVENT(threads[0], .at = 1050, .kind = CPROF_EVENT_CPU);
	FAKE_EVENT(threads[1], .at = 1100, .kind = CPROF_EVENT_THREAD_START, .a = 100, .stack = 8);
	FAKE_EVENT(threads[2], .at = 900, .kind = CPROF_EVENT_THREAD_START, .a = 100);
	build();
	cr_expect_eq(model.threads[1].is_started, true);
	cr_expect_eq(model.threads[1].creator, 0);
	cr_expect_eq(model.threads[1].created_by, 8);
	cr_expect_eq(model.threads[2].is_started, false);
	cr_expect_eq(model.threads[2].begin_ns, 1000);
	cr_expect_eq(model.threads[0].begin_ns, 1000);
}

/* The hold that this unlock ended: since when; 0: none. */
static uint64_t held_since(uint64_t until)
{
	for (size_t i = 0; i < model.hold_count; i++)
		if (model.holds[i].end_ns == until)
			return model.holds[i].begin_ns;
	return 0;
}

Test(trace_model, knows_who_held_a_mutex_while_others_waited)
{
	add_wait(0, CPROF_WAIT_MUTEX, 1100, 1300);
	add_wait(1, CPROF_WAIT_MUTEX, 1150, 1500);
	add_wait(2, CPROF_WAIT_MUTEX, 1460, 1700);
	add_wake(3, CPROF_WAIT_MUTEX, 1290, 1); /* had it when the first began to wait */
	add_wake(0, CPROF_WAIT_MUTEX, 1450, 1); /* since its wait was over */
	add_wake(3, CPROF_WAIT_MUTEX, 1495, 1); /* slipped in, but was there when somebody came */
	add_wake(1, CPROF_WAIT_MUTEX, 1690, 1);
	build();
	cr_assert_eq(model.lock_count, 1);
	cr_expect_eq(model.locks[0].object, OBJECT);
	cr_expect_eq(model.locks[0].is_shown, true);
	cr_expect_eq(held_since(1290), 1100);
	cr_expect_eq(held_since(1450), 1300);
	cr_expect_eq(held_since(1495), 1460);
	cr_expect_eq(held_since(1690), 1500);
	cr_expect_eq(model.hold_count, 4);
}

/* Nobody waits for a mutex so often at a time; who writes what it likes may say so. */
#define LIES 160000u

Test(trace_model, lies_about_a_mutex_take_no_more_than_their_number, .timeout = 12)
{
	fake_trace.until_ns = UINT64_C(1) << 30;
	for (uint32_t i = 0; i < LIES; i++) {
		add_wake(1, CPROF_WAIT_MUTEX, 1000000 + i, 1);
		add_wait(0, CPROF_WAIT_MUTEX, 900000 - i, 2000000 + i);
	}
	build();
	cr_expect_eq(model.wait_count, LIES);
	cr_expect_eq(woken_at(0, 2000000), 1000000 + LIES - 1);
}
