/* SPDX-License-Identifier: MIT */
/* CPROF_FLIGHT_SLOW: what it may say, what it is about, and when it asks for a window. */
#include <criterion/criterion.h>
#include <string.h>

#include "flight_slow.h"
#include "own_segment.h"

#define MS UINT64_C(1000000)
#define BEGIN UINT64_C(5000000000)

static void open_segment(void)
{
	own_segment_open(UINT64_C(16) << 20);
	store_relaxed(&segment_control()->trace, CPROF_TRACE_FLIGHT);
	segment_control()->flight_age_ns = 1000 * MS;
}

TestSuite(flight_slow, .init = open_segment);

static uint64_t begin(const char *type, uint64_t now_ns)
{
	return flight_slow_begin(type, strlen(type), now_ns);
}

static uint32_t requests(void)
{
	return load_relaxed(&segment_control()->flight_requested);
}

Test(flight_slow, only_names_of_rules_are_watched)
{
	cr_assert(flight_slow_read("checkout:250ms,db:query:1s,x:1ns"));
	cr_expect_neq(begin("checkout", BEGIN), 0);
	cr_expect_neq(begin("db:query", BEGIN), 0);
	cr_expect_neq(begin("x", BEGIN), 0);
	cr_expect_eq(begin("check", BEGIN), 0);
	cr_expect_eq(begin("checkouts", BEGIN), 0);
	cr_expect_eq(begin("", BEGIN), 0);
}

Test(flight_slow, each_name_has_its_own_limit)
{
	cr_assert(flight_slow_read("a:10ms,b:20ms"));
	flight_slow_end(begin("b", BEGIN), BEGIN + 20 * MS);
	flight_slow_end(begin("a", BEGIN), BEGIN + 10 * MS);
	cr_expect_eq(requests(), 0);
	flight_slow_end(begin("b", BEGIN), BEGIN + 20 * MS + 1);
	cr_expect_eq(requests(), 1);
	cr_expect_eq(load_relaxed(&segment_control()->flight_reasons), CPROF_FLIGHT_BY_SLOW);
	cr_expect_eq(load_relaxed(&segment_control()->bell), 1);
}

Test(flight_slow, a_window_is_asked_for_once_while_it_lasts)
{
	cr_assert(flight_slow_read("a:10ms"));
	uint64_t watch = begin("a", BEGIN);
	flight_slow_end(watch, BEGIN + 11 * MS);
	flight_slow_end(watch, BEGIN + 12 * MS);
	flight_slow_end(watch, BEGIN + 1010 * MS);
	cr_expect_eq(requests(), 1);
	flight_slow_end(watch, BEGIN + 1011 * MS);
	cr_expect_eq(requests(), 2);
	flight_slow_forget();
	flight_slow_end(watch, BEGIN + 1012 * MS);
	cr_expect_eq(requests(), 3, "a forked child has asked for nothing yet");
}

Test(flight_slow, times_of_two_threads_may_differ_by_a_little)
{
	cr_assert(flight_slow_read("a:10ms"));
	flight_slow_end(begin("a", BEGIN), BEGIN - 1000);
	cr_expect_eq(requests(), 0, "it ended before it began");
	flight_slow_end(begin("a", BEGIN), BEGIN + 11 * MS);
	flight_slow_end(begin("a", BEGIN - 1000), BEGIN + 11 * MS - 1000);
	cr_expect_eq(requests(), 1, "the second one was earlier than the first");
}

Test(flight_slow, nothing_is_asked_for_where_no_window_is_kept)
{
	cr_assert(flight_slow_read("a:10ms"));
	store_relaxed(&segment_control()->trace, CPROF_TRACE_STREAM);
	flight_slow_end(begin("a", BEGIN), BEGIN + 100 * MS);
	cr_expect_eq(requests(), 0);
}

Test(flight_slow, any_word_does_no_harm)
{
	cr_assert(flight_slow_read("a:10ms"));
	for (uint64_t rule = 1; rule < 16; rule++)
		flight_slow_end(rule << 60 | 1, BEGIN);
	flight_slow_end(0, BEGIN);
	cr_expect_eq(requests(), 0);
}

Test(flight_slow, what_cannot_be_read_leaves_no_rule)
{
	static const char *const bad[] = {
		"a",     "a:",    ":1s",        "a:0",   "a:1x",
		"a:1s,", ",a:1s", "a:1s,,b:1s", "a:-1s", "a:1s,b:1s,c:1s,d:1s,e:1s,f:1s,g:1s,h:1s,i:1s"};
	char long_name[FLIGHT_SLOW_NAME_BYTES + 8];
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		cr_expect_not(flight_slow_read(bad[i]), "%s", bad[i]);
		cr_expect_eq(begin("a", BEGIN), 0, "%s", bad[i]);
	}
	memset(long_name, 'n', sizeof long_name);
	memcpy(long_name + sizeof long_name - 4, ":1s", 4);
	cr_expect_not(flight_slow_read(long_name));
	cr_expect(flight_slow_read(""));
	cr_expect(flight_slow_read(long_name + 4));
	cr_expect(flight_slow_read("a:1s,b:1s,c:1s,d:1s,e:1s,f:1s,g:1s,h:1s"));
}
