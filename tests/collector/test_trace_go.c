/* SPDX-License-Identifier: MIT */
/*
 * Traces in Go's form, as `go tool trace` reads them.
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

TestSuite(trace_go, .init = begin, .fini = end);

Test(trace_go, shows_who_waited_and_who_woke)
{
	uint32_t holder = fake_trace_thread(4242, "app");
	uint32_t waiter = fake_trace_thread(4243, "worker");
	uint32_t lock = fake_trace_stack("pthread_mutex_lock;take;worker_main;start_thread");
	uint32_t unlock = fake_trace_stack("pthread_mutex_unlock;give;main;_start");
	FAKE_EVENT(holder, .at = 1300 * MS, .kind = CPROF_EVENT_WAKE, .what = CPROF_WAIT_MUTEX, .a = 1,
		   .b = LOCK, .stack = unlock);
	FAKE_EVENT(waiter, .at = 1301 * MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_MUTEX, .a = 101 * MS,
		   .b = LOCK, .stack = lock);
	fake_trace_write(TRACE_GO, "t");
	const char *events = fake_trace_go_events("t");
	expect_contains(events, "Time=200000000 GoID=4243 Running->Waiting Reason=\"sync\"");
	expect_contains(events, "G=4242 StateTransition Time=300000000 GoID=4243 Waiting->Runnable");
	expect_contains(events, "Time=301000000 GoID=4243 Runnable->Running");
	const char *waits = fake_trace_go_waits("t");
	expect_contains(waits, "100ms   pthread_mutex_lock\n             take\n             worker_main\n");
}
