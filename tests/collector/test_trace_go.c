/* SPDX-License-Identifier: MIT */
/*
 * Traces in Go's form, as `go tool trace` reads them.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "fake_profile.h"
#include "fake_trace.h"
#include "fixture.h"

TestSuite(trace_go, .init = fake_trace_open, .fini = fake_trace_close);

Test(trace_go, shows_who_waited_and_who_woke)
{
	fake_trace_hand_over("pthread_mutex_lock;take;worker_main;start_thread",
			     "pthread_mutex_unlock;give;main;_start");
	fake_trace_write(TRACE_GO, "t");
	const char *events = fake_trace_go_events("t");
	expect_contains(events, "Time=200000000 GoID=4243 Running->Waiting Reason=\"sync\"");
	expect_contains(events, "G=4242 StateTransition Time=300000000 GoID=4243 Waiting->Runnable");
	expect_contains(events, "Time=301000000 GoID=4243 Runnable->Running");
	const char *waits = fake_trace_go_waits("t");
	expect_contains(waits, "100ms   pthread_mutex_lock\n             take\n             worker_main\n");
}

Test(trace_go, shows_what_a_handler_does_during_a_wait)
{
	uint32_t thread = fake_trace_thread(4242, "app");
	FAKE_EVENT(thread, .at = 1200 * FAKE_MS, .kind = CPROF_EVENT_REGION_BEGIN, .text = "in handler");
	FAKE_EVENT(thread, .at = 1210 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_MUTEX,
		   .a = 5 * FAKE_MS);
	FAKE_EVENT(thread, .at = 1300 * FAKE_MS, .kind = CPROF_EVENT_REGION_END);
	FAKE_EVENT(thread, .at = 1500 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_SLEEP,
		   .a = 400 * FAKE_MS);
	fake_trace_write(TRACE_GO, "t");
	const char *events = fake_trace_go_events("t");
	expect_contains(events, "Time=100000000 GoID=4242 Running->Waiting Reason=\"sleep\"");
	expect_contains(events, "Time=200000000 GoID=4242 Waiting->Runnable");
	expect_contains(events, "RegionBegin Time=200000002 Task=0 Type=\"in handler\"");
	expect_contains(events, "Time=200000003 GoID=4242 Running->Waiting Reason=\"sleep\"");
	expect_contains(events, "RegionEnd Time=300000002 ");
	expect_contains(events, "Time=500000000 GoID=4242 Waiting->Runnable");
	expect_lacks(events, "Reason=\"sync\"");
}

Test(trace_go, shows_tasks_messages_and_the_heap)
{
	uint32_t first = fake_trace_thread(4242, "app");
	uint32_t second = fake_trace_thread(4243, "worker");
	fake_trace.live_heap_bytes = 4096;
	FAKE_EVENT(first, .at = 1100 * FAKE_MS, .kind = CPROF_EVENT_TASK_BEGIN, .a = 7, .text = "checkout");
	FAKE_EVENT(first, .at = 1200 * FAKE_MS, .kind = CPROF_EVENT_LOG, .a = 7, .category = "cart",
		   .text = "3 items");
	FAKE_EVENT(first, .at = 1300 * FAKE_MS, .kind = CPROF_EVENT_HEAP, .a = 4096);
	FAKE_EVENT(second, .at = 1400 * FAKE_MS, .kind = CPROF_EVENT_TASK_END, .a = 7);
	FAKE_EVENT(second, .at = 1500 * FAKE_MS, .kind = CPROF_EVENT_TASK_END, .a = 8);
	fake_trace_write(TRACE_GO, "t");
	const char *events = fake_trace_go_events("t");
	expect_contains(events, "G=4242 TaskBegin Time=100000000 ID=7");
	expect_contains(events, "G=4242 Log Time=200000000 Task=7 Category=\"cart\" Message=\"3 items\"");
	expect_contains(
		events,
		"Time=300000000 Name=\"/memory/classes/heap/objects:bytes\" Value=Value{Uint64(4096)}");
	expect_contains(events, "G=4243 TaskEnd Time=400000000 ID=7");
	expect_contains(events, "G=4243 TaskEnd Time=500000000 ID=8");
}

Test(trace_go, says_what_is_missing)
{
	uint32_t first = fake_trace_thread(4242, "app");
	fake_trace.missing_threads = 3;
	fake_trace_gap(1600 * FAKE_MS, 1900 * FAKE_MS, 0);
	FAKE_EVENT(first, .at = 1100 * FAKE_MS, .kind = CPROF_EVENT_HEAP, .a = 4096);
	fake_trace_write(TRACE_GO, "t");
	const char *events = fake_trace_go_events("t");
	expect_contains(events,
			"Category=\"cprof\" Message=\"3 threads are missing: no slot was free (CPROF_MEM)\"");
	expect_contains(
		events,
		"Time=600000000 Task=0 Category=\"cprof\" Message=\"what follows could not be written\"");
}

Test(trace_go, tells_threads_apart_that_had_one_number)
{
	for (int i = 0; i < 2; i++) {
		uint32_t thread = fake_trace_thread(4243, i ? "late" : "early");
		FAKE_EVENT(thread, .at = (1100 + 200 * (uint64_t)i) * FAKE_MS,
			   .kind = CPROF_EVENT_THREAD_START);
		FAKE_EVENT(thread, .at = (1200 + 200 * (uint64_t)i) * FAKE_MS,
			   .kind = CPROF_EVENT_THREAD_END);
	}
	fake_trace_write(TRACE_GO, "t");
	const char *events = fake_trace_go_events("t");
	expect_contains(events, "Time=200000000 GoID=4243 Running->NotExist");
	expect_contains(events, "GoID=4294967297 NotExist->Runnable Reason=\"\"\nTransitionStack=\n\tlate @");
	expect_contains(events, "Time=400000000 GoID=4294967297 Running->NotExist");
}

Test(trace_go, accepts_stacks_and_names_of_any_length)
{
	uint32_t thread = fake_trace_thread(4242, "app");
	char names[CPROF_STACK_FRAMES_MAX * 4 + 1] = "";
	for (size_t i = 0; i < CPROF_STACK_FRAMES_MAX; i++)
		sprintf(names + strlen(names), "%sf%zu", i ? ";" : "", i % 100);
	char text[CPROF_TRACE_TEXT_MAX + 1];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	FAKE_EVENT(thread, .at = 1500 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_MUTEX,
		   .a = FAKE_MS, .stack = fake_trace_stack(names));
	FAKE_EVENT(thread, .at = 1600 * FAKE_MS, .kind = CPROF_EVENT_REGION_BEGIN, .text = text);
	fake_trace_write(TRACE_GO, "t");
	expect_contains(fake_trace_go_events("t"), text);
	expect_contains(fake_trace_go_waits("t"), "f27\n");
}
