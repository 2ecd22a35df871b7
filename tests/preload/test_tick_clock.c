/* SPDX-License-Identifier: MIT */
/*
 * The clock by the processor's counter: it is the kernel's, whatever happened to either.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>

#include "own_segment.h"
#include "own_ticks.h"
#include "real.h"
#include "tick_clock.h"

/* A rate that is wrong by 1 in 1000 makes it of the longest span. */
#define TOLERATED_NS UINT64_C(50000)

static struct tick_moment moment;

static void open_segment(void)
{
	own_segment_open_traced(64 << 10);
	store_relaxed(&segment_control()->tick_rate, own_ticks_rate());
	memset(&moment, 0, sizeof moment);
}

TestSuite(tick_clock, .init = open_segment, .timeout = 60);

static bool has_counter(void)
{
	return load_relaxed(&segment_control()->tick_rate) != 0;
}

/* By the counter, between two readings of the clock. */
static void expect_right(void)
{
	uint64_t before = real_monotonic_ns();
	uint64_t ticks = cprof_ticks();
	uint64_t ns;
	if (!tick_clock_ns(&moment, ticks, &ns))
		ns = tick_moment_renew(&moment, &ticks);
	uint64_t after = real_monotonic_ns();
	cr_expect_geq(ns + TOLERATED_NS, before);
	cr_expect_leq(ns, after + TOLERATED_NS);
}

Test(tick_clock, is_the_clock_before_and_after_its_moment_is_renewed)
{
	uint32_t renewals = 0;
	uint64_t ticks = 0, end = real_monotonic_ns() + UINT64_C(50000000);
	while (real_monotonic_ns() < end) {
		expect_right();
		renewals += moment.ticks != ticks;
		ticks = moment.ticks;
	}
	cr_expect(!has_counter() || renewals > 1);
}

Test(tick_clock, a_moment_in_which_the_thread_was_interrupted_is_taken_again)
{
	uint64_t ticks = cprof_ticks() - 1000000;
	(void)tick_moment_renew(&moment, &ticks);
	cr_expect(moment.ticks == 0 || cprof_ticks() - moment.ticks < 1000000);
	expect_right();
}

/* A clock that a handler interrupts each time, for longer than any moment may take. */
static int (*true_clock)(clockid_t clock, struct timespec *out_now);

static int read_interrupted(clockid_t clock, struct timespec *out_now)
{
	int result = true_clock(clock, out_now);
	uint64_t ticks = cprof_ticks();
	real.clock_gettime = true_clock;
	(void)tick_moment_renew(&moment, &ticks);
	while (cprof_ticks() - ticks < 1000000)
		;
	real.clock_gettime = read_interrupted;
	return result;
}

Test(tick_clock, a_moment_in_which_a_handler_took_one_is_none)
{
	uint64_t ticks = cprof_ticks();
	true_clock = real.clock_gettime;
	real.clock_gettime = read_interrupted;
	(void)tick_moment_renew(&moment, &ticks);
	real.clock_gettime = true_clock;
	cr_expect_eq(moment.ticks, 0, "the thread's nanoseconds are not those of the handler's ticks");
	expect_right();
}

Test(tick_clock, a_counter_that_was_set_back_is_not_believed)
{
	uint64_t ticks = cprof_ticks();
	(void)tick_moment_renew(&moment, &ticks);
	moment.ticks = cprof_ticks() + CPROF_TICKS_MAX;
	expect_right();
}

Test(tick_clock, without_a_rate_the_clock_is_read_and_the_ticks_are_given_up)
{
	uint64_t ticks = cprof_ticks();
	(void)tick_moment_renew(&moment, &ticks);
	uint64_t rate = moment.rate;
	store_relaxed(&segment_control()->tick_rate, UINT64_C(0));
	moment.ticks = 0;
	expect_right();
	ticks = cprof_ticks();
	(void)tick_moment_renew(&moment, &ticks);
	cr_expect_eq(ticks, 0);
	cr_expect_eq(moment.rate, rate, "calls that have begun still need it");
	store_relaxed(&segment_control()->tick_rate, UINT64_MAX);
	expect_right();
	cr_expect_eq(moment.ticks, 0, "that is no rate");
}
