/* SPDX-License-Identifier: MIT */
/*
 * Traces as Perfetto's protobuf, as a reader of its own sees them.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>

#include "fake_profile.h"
#include "fake_trace.h"
#include "fixture.h"

TestSuite(trace_perfetto, .init = fake_trace_open, .fini = fake_trace_close);

Test(trace_perfetto, shows_who_waited_and_who_woke)
{
	fake_trace_hand_over("pthread_mutex_lock;take;worker_main", "pthread_mutex_unlock;give;main");
	fake_trace_write(TRACE_PERFETTO, "t");
	const char *text = fake_trace_perfetto_text("t");
	expect_contains(text, "\n200000000 worker/4243/waits begin mutex object=0x7f0000001000 "
			      "[pthread_mutex_lock < take < worker_main]\n");
	expect_contains(text, "\n300000000 app/4242 instant wake: mutex object=0x7f0000001000 ->1 "
			      "[pthread_mutex_unlock < give < main]\n");
	expect_contains(text, "\n301000000 worker/4243/waits end woken by=app 4242\n");
	expect_contains(text, "\n301000000 worker/4243/waits instant woken <-1\n");
}

/* Descriptors and processes are numbers however large, and any child is none. */
Test(trace_perfetto, shows_what_a_call_waited_for)
{
	uint32_t thread = fake_trace_thread(4242, "app");
	FAKE_EVENT(thread, .at = 1100 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_CHILD,
		   .a = 10 * FAKE_MS, .b = 31337);
	FAKE_EVENT(thread, .at = 1200 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_CHILD,
		   .a = 10 * FAKE_MS, .b = UINT64_MAX);
	FAKE_EVENT(thread, .at = 1300 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_READ,
		   .a = 10 * FAKE_MS, .b = 5000);
	fake_trace_write(TRACE_PERFETTO, "t");
	const char *text = fake_trace_perfetto_text("t");
	expect_contains(text, "\n90000000 app/4242/waits begin end of process object=31337\n");
	expect_contains(text, "\n190000000 app/4242/waits begin end of process\n");
	expect_contains(text, "\n290000000 app/4242/waits begin input object=5000\n");
}

Test(trace_perfetto, shows_tasks_regions_and_messages)
{
	uint32_t first = fake_trace_thread(4242, "app");
	uint32_t second = fake_trace_thread(4243, "");
	FAKE_EVENT(first, .at = 1100 * FAKE_MS, .kind = CPROF_EVENT_TASK_BEGIN, .a = 7, .text = "checkout");
	FAKE_EVENT(first, .at = 1110 * FAKE_MS, .kind = CPROF_EVENT_TASK_BEGIN, .a = 8, .b = 7, .text = "");
	FAKE_EVENT(first, .at = 1200 * FAKE_MS, .kind = CPROF_EVENT_REGION_BEGIN, .a = 7, .text = "price");
	FAKE_EVENT(first, .at = 1210 * FAKE_MS, .kind = CPROF_EVENT_LOG, .a = 7, .category = "cart",
		   .text = "3 \xff items");
	FAKE_EVENT(first, .at = 1300 * FAKE_MS, .kind = CPROF_EVENT_REGION_END, .a = 7);
	FAKE_EVENT(second, .at = 1400 * FAKE_MS, .kind = CPROF_EVENT_TASK_END, .a = 7);
	FAKE_EVENT(second, .at = 1500 * FAKE_MS, .kind = CPROF_EVENT_TASK_BEGIN, .a = 9,
		   .text = "reuses its lane");
	fake_trace_write(TRACE_PERFETTO, "t");
	const char *text = fake_trace_perfetto_text("t");
	expect_contains(text, "\n100000000 tasks begin checkout task=7 begun by=app 4242\n");
	expect_contains(text, "\n110000000 tasks begin task task=8 parent=7 begun by=app 4242\n");
	expect_contains(text, "\n200000000 app/4242 begin price task=7\n");
	expect_contains(text, "\n210000000 app/4242 instant 3 \xef\xbf\xbd items category=cart task=7\n");
	expect_contains(text, "\n300000000 app/4242 end\n");
	expect_contains(text, "\n400000000 tasks end ended by=4243\n");
	expect_contains(text, "\n1000000000 tasks end not over=True\n");
	expect_contains(text, "\n500000000 tasks begin reuses its lane ");
}

Test(trace_perfetto, shows_what_began_before_and_what_is_not_over)
{
	uint32_t thread = fake_trace_thread(4242, "app");
	FAKE_EVENT(thread, .at = 400 * FAKE_MS, .kind = CPROF_EVENT_REGION_BEGIN, .text = "long");
	FAKE_EVENT(thread, .at = 1100 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_SLEEP,
		   .a = 400 * FAKE_MS);
	fake_trace_slot(thread)->what = CPROF_WAIT_READ;
	fake_trace_slot(thread)->object = 3;
	fake_trace_slot(thread)->since_ns = 1900 * FAKE_MS;
	fake_trace_write(TRACE_PERFETTO, "t");
	const char *text = fake_trace_perfetto_text("t");
	expect_contains(text, "\n0 app/4242 begin long ns before the trace=600000000\n");
	expect_contains(text, "\n0 app/4242/waits begin sleep ns before the trace=300000000\n");
	expect_contains(text, "\n100000000 app/4242/waits end\n");
	expect_contains(text, "\n900000000 app/4242/waits begin input object=3\n");
	expect_contains(text, "\n1000000000 app/4242/waits end not over=True\n");
	expect_contains(text, "\n1000000000 app/4242 end not over=True\n");
}

Test(trace_perfetto, shows_threads_samples_counters_and_gaps)
{
	uint32_t first = fake_trace_thread(4242, "app");
	uint32_t second = fake_trace_thread(4243, "worker");
	uint32_t stack = fake_trace_stack("work;main");
	fake_trace.live_heap_bytes = 5000;
	fake_trace_gap(1600 * FAKE_MS, 1700 * FAKE_MS, 123);
	FAKE_EVENT(first, .at = 1010 * FAKE_MS, .kind = CPROF_EVENT_CPU, .a = 10 * FAKE_MS, .stack = stack);
	FAKE_EVENT(first, .at = 1020 * FAKE_MS, .kind = CPROF_EVENT_CPU,
		   .a = 10 * FAKE_MS); /* nothing to show */
	FAKE_EVENT(second, .at = 1100 * FAKE_MS, .kind = CPROF_EVENT_THREAD_START, .a = 4242, .stack = stack);
	FAKE_EVENT(second, .at = 1200 * FAKE_MS, .kind = CPROF_EVENT_HEAP, .a = 4000);
	FAKE_EVENT(second, .at = 1300 * FAKE_MS, .kind = CPROF_EVENT_THREAD_END);
	FAKE_EVENT(first, .at = 1400 * FAKE_MS, .kind = CPROF_EVENT_FORK, .a = 4300);
	FAKE_EVENT(first, .at = 1500 * FAKE_MS, .kind = CPROF_EVENT_EXEC, .text = "/bin/true");
	fake_trace_write(TRACE_PERFETTO, "t");
	const char *text = fake_trace_perfetto_text("t");
	expect_contains(text, "\n10000000 4242/4242 sample [work < main]\n");
	expect_lacks(text, "\n20000000 ");
	expect_contains(text, "\n100000000 app/4242 instant start thread thread=worker 4243 ->");
	expect_contains(text, "\n100000000 worker/4243 instant started <-");
	expect_contains(text, "\n100000000 threads count 2\n");
	expect_contains(text, "\n200000000 live heap count 5000\n");
	expect_contains(text, "\n300000000 worker/4243 instant ended\n");
	expect_contains(text, "\n300000000 threads count 1\n");
	expect_contains(text, "\n400000000 app/4242 instant fork pid=4300\n");
	expect_contains(text, "\n500000000 app/4242 instant exec path=/bin/true\n");
	expect_contains(text, "\n600000000 gaps begin events dropped events=123\n");
	expect_contains(text, "\n700000000 gaps end\n");
}

Test(trace_perfetto, says_what_is_missing)
{
	uint32_t first = fake_trace_thread(4242, "app");
	fake_trace.missing_threads = 3;
	fake_trace_gap(1600 * FAKE_MS, 2000 * FAKE_MS, 0);
	FAKE_EVENT(first, .at = 1100 * FAKE_MS, .kind = CPROF_EVENT_LOG, .text = "one", .category = "two");
	fake_trace_write(TRACE_PERFETTO, "t");
	const char *text = fake_trace_perfetto_text("t");
	expect_contains(text, "\n0 gaps begin threads missing threads=3\n");
	expect_contains(text, "\n600000000 gaps begin events dropped\n");
	expect_contains(text, "\n1000000000 gaps end\n1000000000 gaps end\n");
}

Test(trace_perfetto, shows_who_held_a_lock)
{
	uint32_t holder = fake_trace_thread(4242, "app");
	uint32_t waiter = fake_trace_thread(4243, "worker");
	FAKE_EVENT(holder, .at = 1300 * FAKE_MS, .kind = CPROF_EVENT_WAKE, .what = CPROF_WAIT_MUTEX, .a = 1,
		   .b = FAKE_LOCK, .stack = fake_trace_stack("unlock;main"));
	FAKE_EVENT(waiter, .at = 1301 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_MUTEX,
		   .a = 101 * FAKE_MS, .b = FAKE_LOCK);
	fake_trace_write(TRACE_PERFETTO, "t");
	const char *text = fake_trace_perfetto_text("t");
	expect_contains(text, "\n200000000 mutex 0x7f0000001000 begin app 4242 [unlock < main]\n");
	expect_contains(text, "\n300000000 mutex 0x7f0000001000 end\n");
}
