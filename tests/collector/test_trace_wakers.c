/* SPDX-License-Identifier: MIT */
/*
 * Which kill() ended which sigwait(): where no other is in question, and nowhere else.
 *
 * Context: tests.
 */
#include "trace_model.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "cprof_compiler.h"
#include "fake_trace.h"

#define OWN_PID 4242
#define THREAD_OF(thread) (UINT64_C(0x7f0000001000) + (thread))

static struct trace_model model;
static uint32_t threads[4];

static void begin(void)
{
	fake_trace_open();
	for (uint32_t i = 0; i < ARRAY_LENGTH(threads); i++)
		threads[i] = fake_trace_thread(100 + i, "t");
}

static void end(void)
{
	trace_model_free(&model);
	fake_trace_close();
}

TestSuite(trace_wakers, .init = begin, .fini = end);

static void add_kill(uint32_t thread, int number, uint64_t at_ms)
{
	FAKE_EVENT(threads[thread], .at = at_ms * FAKE_MS, .kind = CPROF_EVENT_SIGNAL,
		   .what = (uint32_t)number, .a = OWN_PID);
}

static void add_pthread_kill(uint32_t thread, int number, uint64_t at_ms, uint64_t target)
{
	FAKE_EVENT(threads[thread], .at = at_ms * FAKE_MS, .kind = CPROF_EVENT_SIGNAL,
		   .what = (uint32_t)number, .flags = CPROF_EVENT_TO_THREAD, .a = target);
}

static void add_tgkill(uint32_t thread, int number, uint64_t at_ms, uint64_t tid, uint64_t process)
{
	FAKE_EVENT(threads[thread], .at = at_ms * FAKE_MS, .kind = CPROF_EVENT_SIGNAL,
		   .what = (uint32_t)number, .flags = CPROF_EVENT_TO_TID, .a = tid, .b = process);
}

/* As the library records it: what was taken lies within the wait. */
static void add_sigwait(uint32_t thread, int number, uint64_t from_ms, uint64_t until_ms, uint64_t sender)
{
	FAKE_EVENT(threads[thread], .at = until_ms * FAKE_MS - 1, .kind = CPROF_EVENT_SIGNAL_TAKEN,
		   .what = (uint32_t)number, .a = sender, .b = THREAD_OF(thread));
	FAKE_EVENT(threads[thread], .at = until_ms * FAKE_MS, .kind = CPROF_EVENT_WAIT,
		   .what = CPROF_WAIT_SIGNAL, .a = (until_ms - from_ms) * FAKE_MS);
}

static void build(void)
{
	trace_model_free(&model);
	cr_assert_eq(trace_model_build(&fake_trace, &model), 0);
}

/* When the signal was sent that ended the wait of a thread that ended then; 0: not known. */
static uint64_t sent_at_ms(uint32_t thread, uint64_t until_ms)
{
	for (size_t i = 0; i < model.wait_count; i++)
		if (model.waits[i].thread == thread && model.waits[i].end_ns == until_ms * FAKE_MS)
			return model.waits[i].waker == TRACE_NONE
				       ? 0
				       : model.wakes[model.waits[i].waker].time_ns / FAKE_MS;
	cr_assert_fail("no wait of thread %u until %lu", thread, (unsigned long)until_ms);
	return 0;
}

Test(trace_wakers, a_signal_ends_the_wait_that_takes_it)
{
	add_kill(1, SIGUSR2, 1150);
	add_kill(1, SIGUSR1, 1200);
	add_sigwait(0, SIGUSR1, 1100, 1210, 0);
	build();
	cr_expect_eq(sent_at_ms(0, 1210), 1200);
	cr_expect_eq(model.waits[0].object, SIGUSR1);
}

Test(trace_wakers, a_signal_for_another_thread_or_process_ends_nothing)
{
	add_pthread_kill(1, SIGUSR1, 1150, THREAD_OF(2));
	FAKE_EVENT(threads[1], .at = 1160 * FAKE_MS, .kind = CPROF_EVENT_SIGNAL, .what = SIGUSR1, .a = 77);
	add_sigwait(0, SIGUSR1, 1100, 1170, 0);
	add_pthread_kill(1, SIGUSR1, 1200, THREAD_OF(0));
	add_sigwait(0, SIGUSR1, 1180, 1210, 0);
	build();
	cr_expect_eq(sent_at_ms(0, 1170), 0);
	cr_expect_eq(sent_at_ms(0, 1210), 1200);
}

Test(trace_wakers, a_signal_that_names_a_tid_ends_the_wait_of_that_thread)
{
	add_tgkill(1, SIGUSR1, 1140, 100, 77);
	add_tgkill(1, SIGUSR1, 1150, 102, OWN_PID);
	add_tgkill(1, SIGUSR1, 1160, 0, OWN_PID);
	add_sigwait(0, SIGUSR1, 1100, 1170, 0);
	add_tgkill(1, SIGUSR1, 1200, 100, OWN_PID);
	add_sigwait(0, SIGUSR1, 1180, 1210, 0);
	add_tgkill(1, SIGUSR1, 1250, 100, 0);
	add_sigwait(0, SIGUSR1, 1220, 1260, 0);
	build();
	cr_expect_eq(sent_at_ms(0, 1170), 0);
	cr_expect_eq(sent_at_ms(0, 1210), 1200);
	cr_expect_eq(sent_at_ms(0, 1260), 1250);
}

Test(trace_wakers, what_another_process_sent_has_no_arrow)
{
	add_kill(1, SIGUSR1, 1150);
	add_sigwait(0, SIGUSR1, 1100, 1160, 77);
	add_sigwait(2, SIGUSR2, 1100, 1310, OWN_PID);
	add_kill(1, SIGUSR2, 1300);
	build();
	cr_expect_eq(sent_at_ms(0, 1160), 0);
	cr_expect_eq(sent_at_ms(2, 1310), 1300);
}

Test(trace_wakers, of_several_by_one_thread_the_first_ends_the_wait)
{
	add_kill(1, SIGUSR1, 1200);
	add_kill(1, SIGUSR1, 1205);
	add_sigwait(0, SIGUSR1, 1100, 1210, 0);
	build();
	cr_expect_eq(sent_at_ms(0, 1210), 1200);
}

Test(trace_wakers, of_several_threads_nobody_knows_who_was_first)
{
	add_kill(1, SIGUSR1, 1200);
	add_kill(2, SIGUSR1, 1205);
	add_sigwait(0, SIGUSR1, 1100, 1210, 0);
	build();
	cr_expect_eq(sent_at_ms(0, 1210), 0);
}

Test(trace_wakers, what_may_be_pending_is_in_question)
{
	add_sigwait(0, SIGUSR1, 1100, 1110, 0);
	add_kill(1, SIGUSR1, 1120); /* while nobody waits */
	FAKE_EVENT(threads[1], .at = 1130 * FAKE_MS + 100, .kind = CPROF_EVENT_SIGNAL, .what = SIGUSR1,
		   .a = OWN_PID);
	add_sigwait(0, SIGUSR1, 1130, 1131, 0);
	add_kill(1, SIGUSR1, 1140);
	add_kill(1, SIGUSR1, 1200); /* the wait would have been over long before */
	add_sigwait(0, SIGUSR1, 1150, 1210, 0);
	build();
	cr_expect_eq(sent_at_ms(0, 1131), 0);
	cr_expect_eq(sent_at_ms(0, 1210), 1200);
}

Test(trace_wakers, of_several_who_wait_any_may_take_any_of_several)
{
	add_kill(1, SIGUSR1, 1200);
	add_kill(1, SIGUSR1, 1205);
	add_sigwait(0, SIGUSR1, 1100, 1210, 0);
	add_sigwait(2, SIGUSR1, 1100, 1211, 0);
	add_sigwait(0, SIGUSR1, 1220, 1320, 0);
	add_sigwait(2, SIGUSR1, 1220, 1420, 0);
	add_kill(1, SIGUSR1, 1310);
	add_kill(3, SIGUSR1, 1410);
	build();
	cr_expect_eq(sent_at_ms(0, 1210), 0);
	cr_expect_eq(sent_at_ms(2, 1211), 0);
	cr_expect_eq(sent_at_ms(0, 1320), 1310, "one was sent, and one waiter took it");
	cr_expect_eq(sent_at_ms(2, 1420), 1410);
}

Test(trace_wakers, a_pause_took_nothing)
{
	add_kill(1, SIGUSR1, 1200);
	FAKE_EVENT(threads[0], .at = 1210 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_SIGNAL,
		   .a = 110 * FAKE_MS, .b = SIGUSR1);
	build();
	cr_expect_eq(sent_at_ms(0, 1210), 0);
	cr_expect_eq(model.waits[0].object, 0);
}
