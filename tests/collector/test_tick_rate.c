/* SPDX-License-Identifier: MIT */
/*
 * What programs are told of the processor's counter.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "own_ticks.h"
#include "tick_rate.h"

static bool is_clock(void)
{
	char name[64] = "";
	FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	if (file) {
		(void)!fgets(name, sizeof name, file);
		fclose(file);
	}
	return strcmp(name, CPROF_TICK_CLOCKSOURCE "\n") == 0;
}

static void rest(void)
{
	const struct timespec span = {.tv_nsec = 60000000};
	nanosleep(&span, NULL);
}

/* It is nanoseconds of the clock for a tick, to 1 in 1000: as well as this test can tell. */
static void expect_right(uint64_t rate)
{
	uint64_t measured = own_ticks_rate();
	cr_expect_geq(rate, measured - measured / 1000);
	cr_expect_leq(rate, measured + measured / 1000);
}

Test(tick_rate, is_told_where_the_kernel_uses_the_counter_itself)
{
	struct tick_rate self = {0};
	cr_expect_eq(tick_rate_now(&self), 0, "a rate needs a span");
	rest();
	uint64_t rate = tick_rate_now(&self);
	if (is_clock())
		expect_right(rate);
	else
		cr_expect_eq(rate, 0);
}

/* After a first span. */
static uint64_t first_rate(struct tick_rate *self)
{
	(void)tick_rate_now(self);
	rest();
	uint64_t rate = tick_rate_now(self);
	if (rate == 0)
		cr_skip_test("the kernel's clock is another one here");
	return rate;
}

Test(tick_rate, is_measured_anew_when_the_two_have_parted)
{
	struct tick_rate self = {0};
	(void)first_rate(&self);
	/* As if the machine had slept for most of ten seconds, which only one of them counts. */
	self.begin_ns -= UINT64_C(10000000000);
	cr_expect_eq(tick_rate_now(&self), 0);
	rest();
	expect_right(tick_rate_now(&self));
}

Test(tick_rate, stays_through_the_next_span)
{
	struct tick_rate self = {0};
	uint64_t rate = first_rate(&self);
	self.begin_ns -= UINT64_C(10000000000);
	self.begin_ticks -= (UINT64_C(10000000000) << CPROF_TICK_SHIFT) / rate;
	expect_right(tick_rate_now(&self));
}
