/* SPDX-License-Identifier: MIT */
/*
 * Which rates are taken, and what the control block says afterwards.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "rates.h"

static struct cprof_control control;
static char line[RATES_LINE_BYTES];

static void start(void)
{
	memset(&control, 0, sizeof control);
	memset(line, 0, sizeof line);
	control.cpu_hz_at_start = 100;
	control.is_heap_available = 1;
	control.heap_state = CPROF_HEAP_ON;
	store_relaxed(&control.cpu_hz, 100);
	store_relaxed(&control.heap_rate_bytes, 524288);
}

TestSuite(rates, .init = start);

Test(rates, changes_what_is_named_and_nothing_else)
{
	struct cprof_rates rates = {.which = CPROF_RATE_HEAP | CPROF_RATE_BLOCK,
				    .cpu_hz = 7,
				    .heap_rate_bytes = 65536,
				    .block_rate_ns = 10000,
				    .mutex_fraction = 5};
	cr_assert_eq(rates_apply(&control, &rates, line), 0);
	cr_expect_eq(load_relaxed(&control.cpu_hz), 100);
	cr_expect_eq(load_relaxed(&control.heap_rate_bytes), 65536);
	cr_expect_eq(load_relaxed(&control.block_rate_ns), 10000);
	cr_expect_eq(load_relaxed(&control.mutex_fraction), 0);
	cr_expect_eq(load_relaxed(&control.contention), 1);
	cr_expect_eq(load_relaxed(&control.rates_changed), CPROF_RATE_HEAP | CPROF_RATE_BLOCK);
}

Test(rates, says_to_the_lock_functions_whether_any_rate_is_on)
{
	struct cprof_rates rates = {.which = CPROF_RATE_BLOCK | CPROF_RATE_MUTEX, .mutex_fraction = 1};
	cr_assert_eq(rates_apply(&control, &rates, line), 0);
	cr_expect_eq(load_relaxed(&control.contention), 1);
	rates.mutex_fraction = 0;
	cr_assert_eq(rates_apply(&control, &rates, line), 0);
	cr_expect_eq(load_relaxed(&control.contention), 0);
}

Test(rates, remembers_the_last_heap_rate_that_was_on)
{
	struct cprof_rates rates = {.which = CPROF_RATE_HEAP};
	cr_assert_eq(rates_apply(&control, &rates, line), 0);
	cr_expect_eq(load_relaxed(&control.heap_rate_bytes), 0);
	cr_expect_eq(load_relaxed(&control.heap_rate_last_bytes), 524288);
	cr_expect_eq(control.heap_state, CPROF_HEAP_ON);
}

Test(rates, turns_a_heap_profile_on_that_was_off_at_the_start)
{
	struct cprof_rates rates = {.which = CPROF_RATE_HEAP, .heap_rate_bytes = 1};
	control.heap_state = CPROF_HEAP_OFF;
	store_relaxed(&control.heap_rate_bytes, 0);
	cr_assert_eq(rates_apply(&control, &rates, line), 0);
	cr_expect_eq(control.heap_state, CPROF_HEAP_ON);
}

Test(rates, what_is_in_force_already_is_no_change)
{
	struct cprof_rates rates = {
		.which = CPROF_RATE_CPU_HZ | CPROF_RATE_HEAP, .cpu_hz = 100, .heap_rate_bytes = 524288};
	cr_assert_eq(rates_apply(&control, &rates, line), 0);
	cr_expect_eq(load_relaxed(&control.rates_changed), 0);
}

Test(rates, refuses_what_has_to_be_there_from_the_start_and_changes_nothing)
{
	struct cprof_rates rates = {
		.which = CPROF_RATE_ALL, .cpu_hz = 100, .heap_rate_bytes = 1, .block_rate_ns = 1};
	control.cpu_hz_at_start = 0;
	store_relaxed(&control.cpu_hz, 0);
	cr_expect_eq(rates_apply(&control, &rates, line), -ENOTSUP);
	cr_expect(strstr(line, "CPROF_CPU_HZ=0"), "%s", line);
	rates.cpu_hz = 0;
	control.is_heap_available = 0;
	cr_expect_eq(rates_apply(&control, &rates, line), -ENOTSUP);
	cr_expect(strstr(line, "malloc"), "%s", line);
	cr_expect_eq(load_relaxed(&control.heap_rate_bytes), 524288);
	cr_expect_eq(load_relaxed(&control.block_rate_ns), 0);
	cr_expect_eq(load_relaxed(&control.rates_changed), 0);
	rates.heap_rate_bytes = 0;
	cr_expect_eq(rates_apply(&control, &rates, line), 0);
}

Test(rates, refuses_what_is_out_of_range_and_says_what_is_accepted)
{
	static const struct {
		struct cprof_rates rates;
		const char *name;
	} cases[] = {
		{{.which = 0}, "cpu_hz"},
		{{.which = CPROF_RATE_ALL + 1}, "cpu_hz"},
		{{.which = CPROF_RATE_CPU_HZ, .cpu_hz = 10001}, "cpu_hz=10001"},
		{{.which = CPROF_RATE_HEAP, .heap_rate_bytes = (UINT64_C(1) << 40) + 1}, "heap_rate="},
		{{.which = CPROF_RATE_BLOCK, .block_rate_ns = UINT64_C(3600000000001)}, "block_rate="},
		{{.which = CPROF_RATE_MUTEX, .mutex_fraction = 1000001}, "mutex_fraction=1000001"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		cr_expect_eq(rates_apply(&control, &cases[i].rates, line), -EINVAL, "case %zu", i);
		cr_expect(strstr(line, cases[i].name) && strstr(line, "accepted"), "case %zu: %s", i, line);
	}
	cr_expect_eq(load_relaxed(&control.rates_changed), 0);
}
