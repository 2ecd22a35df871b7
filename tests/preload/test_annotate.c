/* SPDX-License-Identifier: MIT */
/*
 * Tasks, regions and messages, as a program says them by cprof.h and as they lie in the
 * trace.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "annotate.h"
#include "cprof.h"
#include "cprof_trace.h"
#include "own_segment.h"
#include "real.h"
#include "trace.h"

/* Events in the order in which they were made, as "KIND a b text" lines. */
static char told[4096];

static const char *const names[CPROF_EVENT_COUNT] = {
	[CPROF_EVENT_TASK_BEGIN] = "task",
	[CPROF_EVENT_TASK_END] = "/task",
	[CPROF_EVENT_REGION_BEGIN] = "region",
	[CPROF_EVENT_REGION_END] = "/region",
	[CPROF_EVENT_LOG] = "log",
};

static void switch_trace(uint32_t trace)
{
	store_relaxed(&segment_control()->trace, trace);
}

static void open_segment(void)
{
	cr_assert(real_resolve());
	real_resolve_optional();
	own_segment_open(UINT64_C(16) << 20);
	segment_control()->trace_chunk_count = trace_chunks_for(64 << 10);
	switch_trace(CPROF_TRACE_FLIGHT);
	trace_follow_segment();
}

TestSuite(annotate, .init = open_segment, .timeout = 60);

static const char *tell(void)
{
	const struct cprof_trace_chunk *chunk = segment_trace_chunk(0);
	size_t length = 0;
	uint32_t used = load_acquire(&chunk->used);
	told[0] = '\0';
	for (uint32_t e = 0; e < used; e++) {
		const struct cprof_event *event = &chunk->events[e];
		uint32_t head = load_acquire(&event->head);
		length += (size_t)snprintf(told + length, sizeof told - length, "%s %d %d",
					   names[cprof_event_kind_of(head)], (int)event->a, (int)event->b);
		for (uint32_t i = 0; i < cprof_event_more_of(head); i++, e++) {
			uint32_t text = load_acquire(&event[i + 1].head);
			length += (size_t)snprintf(told + length, sizeof told - length, "%s%.*s",
						   i ? "" : " ", (int)cprof_event_what_of(text),
						   (const char *)&event[i + 1] + CPROF_EVENT_TEXT_OFFSET);
		}
		length += (size_t)snprintf(told + length, sizeof told - length, "\n");
	}
	return told;
}

Test(annotate, tasks_and_regions_nest)
{
	struct cprof_task outer = cprof_task_begin("order");
	struct cprof_task inner = cprof_task_begin("price");
	struct cprof_region far_out = cprof_region_begin("a");
	struct cprof_region far_in = cprof_region_begin("b");
	cprof_log("cat", "message");
	cprof_region_end(far_in);
	cprof_region_end(far_out);
	cprof_task_end(inner);
	cprof_log("x", "");
	cprof_task_end(outer);
	cprof_log("", "y");
	cr_expect_str_eq(tell(), "task 1 0 order\n"
				 "task 2 1 price\n"
				 "region 2 0 a\n"
				 "region 2 1 b\n"
				 "log 2 3 catmessage\n"
				 "/region 2 1\n"
				 "/region 2 0\n"
				 "/task 2 0\n"
				 "log 1 1 x\n"
				 "/task 1 0\n"
				 "log 0 0 y\n");
}

Test(annotate, a_region_ends_those_that_were_left_in_it)
{
	struct cprof_region outer = cprof_region_begin("outer");
	struct cprof_region left = cprof_region_begin("left");
	(void)cprof_region_begin("left too");
	cprof_region_end(outer);
	cprof_region_end(left);
	cprof_region_end(cprof_region_begin("next"));
	cr_expect_str_eq(tell(), "region 0 0 outer\n"
				 "region 0 1 left\n"
				 "region 0 2 left too\n"
				 "/region 0 0\n"
				 "region 0 0 next\n"
				 "/region 0 0\n");
}

static void *take_over(void *task)
{
	struct cprof_task before = cprof_task_switch(*(struct cprof_task *)task);
	cr_expect_eq(before.id, 0);
	cr_expect_eq(cprof_task_current().id, ((struct cprof_task *)task)->id);
	cprof_task_end(*(struct cprof_task *)task);
	cr_expect_eq(cprof_task_current().id, 0);
	return NULL;
}

Test(annotate, a_task_ends_in_another_thread_that_took_it_over)
{
	pthread_t thread;
	struct cprof_task task = cprof_task_begin("job");
	cr_assert_eq(pthread_create(&thread, NULL, take_over, &task), 0);
	pthread_join(thread, NULL);
	cr_expect_eq(cprof_task_current().id, task.id, "who began it did not leave it");
	cprof_task_leave(task);
	cr_expect_eq(cprof_task_current().id, 0);
	struct cprof_task next = cprof_task_begin("next");
	cprof_task_leave(task);
	cr_expect_eq(cprof_task_current().id, next.id, "it is another one by now");
}

Test(annotate, a_parent_may_be_named)
{
	struct cprof_task none = {0, 0, 0};
	struct cprof_task a = cprof_task_begin("a");
	struct cprof_task b = cprof_task_begin_in("b", none);
	struct cprof_task c = cprof_task_begin_in("c", a);
	cprof_task_end(c);
	cr_expect_eq(cprof_task_current().id, b.id);
	cr_expect_str_eq(tell(), "task 1 0 a\ntask 2 0 b\ntask 3 1 c\n/task 3 0\n");
}

Test(annotate, what_is_begun_without_a_trace_is_not_ended_in_one)
{
	switch_trace(0);
	struct cprof_task task = cprof_task_begin("t");
	struct cprof_region region = cprof_region_begin("r");
	cprof_log("c", "m");
	cr_expect_eq(task.id, 0);
	cr_expect_eq(region.level, 0);
	switch_trace(CPROF_TRACE_FLIGHT);
	cr_expect(cprof_trace_enabled());
	cprof_region_end(region);
	cprof_task_end(task);
	cr_expect_eq(load_relaxed(&segment_control()->trace_claims), 0);
}

Test(annotate, what_ends_without_a_trace_is_over_in_the_next)
{
	struct cprof_task task = cprof_task_begin("t");
	struct cprof_region region = cprof_region_begin("r");
	switch_trace(0);
	cprof_region_end(region);
	cprof_task_end(task);
	switch_trace(CPROF_TRACE_FLIGHT);
	(void)cprof_region_begin("s");
	cr_expect_str_eq(tell(), "task 1 0 t\nregion 1 0 r\nregion 0 0 s\n");
}

Test(annotate, texts_are_cut_and_null_is_empty)
{
	static char long_text[3000];
	memset(long_text, 'x', sizeof long_text - 1);
	cprof_log(long_text, "never seen");
	cprof_log(NULL, NULL);
	const struct cprof_event *events = segment_trace_chunk(0)->events;
	uint32_t more = cprof_event_more_of(load_relaxed(&events[0].head));
	cr_expect_eq(events[0].b, CPROF_TRACE_TEXT_MAX);
	cr_expect_eq(more, (CPROF_TRACE_TEXT_MAX + CPROF_EVENT_TEXT_BYTES - 1) / CPROF_EVENT_TEXT_BYTES);
	cr_expect_eq(cprof_event_more_of(load_relaxed(&events[1 + more].head)), 0);
	cr_expect_eq(events[1 + more].b, 0);
}

static int evaluated;

static int count(void)
{
	return ++evaluated;
}

Test(annotate, formatted_messages_look_at_their_arguments_only_in_a_trace)
{
	cprof_logf("n", "%d of %s", count(), "many");
	switch_trace(0);
	cprof_logf("n", "%d", count());
	cr_expect_eq(evaluated, 1);
	cr_expect_str_eq(tell(), "log 0 1 n1 of many\n");
}

Test(annotate, an_invalid_value_does_no_harm)
{
	struct cprof_region region = {.task = 99, .level = UINT32_MAX};
	struct cprof_task task = {.id = UINT64_MAX, .outer = UINT64_MAX};
	cprof_region_end(region);
	cprof_task_end(task);
	cr_expect_eq(cprof_task_current().id, 0);
}

Test(annotate, what_a_thread_without_a_slot_says_is_counted_as_lost)
{
	thread_tls.state = THREAD_LIVE; /* it found none */
	cprof_region_end(cprof_region_begin("no slot"));
	struct cprof_task task = cprof_task_begin("no slot");
	cprof_task_end(task);
	cprof_log("", "no slot");
	cr_expect_eq(load_relaxed(&segment_control()->counters[CPROF_LOST_TRACE_EVENTS]), 3);
}
