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

#define MS UINT64_C(1000000)
#define LOCK UINT64_C(0x7f0000001000)

static void begin(void)
{
	fixture_begin();
	fake_trace_begin(1000 * MS, 2000 * MS);
}

static void end(void)
{
	fake_trace_end();
	fixture_end();
}

TestSuite(trace_perfetto, .init = begin, .fini = end);

Test(trace_perfetto, shows_who_waited_and_who_woke)
{
	uint32_t holder = fake_trace_thread(4242, "app");
	uint32_t waiter = fake_trace_thread(4243, "worker");
	uint32_t lock = fake_trace_stack("pthread_mutex_lock;take;worker_main");
	uint32_t unlock = fake_trace_stack("pthread_mutex_unlock;give;main");
	FAKE_EVENT(holder, .at = 1300 * MS, .kind = CPROF_EVENT_WAKE, .what = CPROF_WAIT_MUTEX, .a = 1,
		   .b = LOCK, .stack = unlock);
	FAKE_EVENT(waiter, .at = 1301 * MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_MUTEX, .a = 101 * MS,
		   .b = LOCK, .stack = lock);
	fake_trace_write(TRACE_PERFETTO, "t");
	const char *text = fake_trace_perfetto_text("t");
	expect_contains(text, "\n200000000 worker/4243/waits begin mutex object=0x7f0000001000 "
			      "[pthread_mutex_lock < take < worker_main]\n");
	expect_contains(text, "\n300000000 app/4242 instant wake: mutex object=0x7f0000001000 ->1 "
			      "[pthread_mutex_unlock < give < main]\n");
	expect_contains(text, "\n301000000 worker/4243/waits end woken by=app 4242\n");
	expect_contains(text, "\n301000000 worker/4243/waits instant woken by=app 4242 <-1\n");
}
