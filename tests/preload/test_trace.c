/* SPDX-License-Identifier: MIT */
/*
 * Events on their way into chunks: that each is there once, whole and in its thread's
 * order, whatever interrupts its writer, and that nothing goes missing uncounted.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cprof_trace.h"
#include "own_segment.h"
#include "real.h"
#include "trace.h"

static void open_segment(void)
{
	own_segment_open_traced(64 << 10);
}

TestSuite(trace, .init = open_segment, .timeout = 60);

static void go_round_in(uint32_t chunk_count)
{
	segment_control()->trace_chunk_count = chunk_count;
	trace_follow_segment();
}

static uint64_t lost(void)
{
	return load_relaxed(&segment_control()->counters[CPROF_LOST_TRACE_EVENTS]);
}

static void add(uint64_t a, uint64_t b)
{
	struct guard guard;
	const struct trace_event event = {.kind = CPROF_EVENT_CPU, .a = a, .b = b};
	cr_assert(guard_enter(&guard));
	trace_event(&guard, &event);
	guard_leave(&guard);
}

static const struct cprof_trace_chunk *chunk_at(uint32_t index)
{
	return segment_trace_chunk(index);
}

static uint64_t claim_of(const struct cprof_trace_chunk *chunk)
{
	return load_acquire(&chunk->state) >> CPROF_CHUNK_CLAIM_SHIFT;
}

/* The number of events in all chunks that are not text; each is seen by `look`, if there is one. */
static uint64_t count_events(void (*look)(const struct cprof_trace_chunk *, const struct cprof_event *))
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < segment_control()->trace_chunk_count; i++) {
		const struct cprof_trace_chunk *chunk = chunk_at(i);
		uint32_t used = load_acquire(&chunk->used);
		cr_assert_leq(used, CPROF_TRACE_CHUNK_EVENTS);
		for (uint32_t e = 0; claim_of(chunk) && e < used; e++) {
			uint32_t head = load_acquire(&chunk->events[e].head);
			cr_assert_neq(cprof_event_kind_of(head), CPROF_EVENT_NONE, "what is used is whole");
			if (look)
				look(chunk, &chunk->events[e]);
			count++;
			e += cprof_event_more_of(head);
		}
	}
	return count;
}

/* ---- one thread ----------------------------------------------------------------------------- */

Test(trace, event_says_what_who_and_when)
{
	struct guard guard;
	uint64_t before = real_monotonic_ns();
	cr_assert(guard_enter(&guard));
	trace_event(&guard, &(struct trace_event){.kind = CPROF_EVENT_WAIT,
						  .what = CPROF_WAIT_MUTEX,
						  .flags = CPROF_EVENT_GAVE_UP,
						  .stack = 7,
						  .a = 11,
						  .b = 13});
	trace_event(&guard, &(struct trace_event){.kind = CPROF_EVENT_WAKE, .time_ns = 17});
	guard_leave(&guard);
	const struct cprof_trace_chunk *chunk = chunk_at(0);
	cr_expect_eq(load_relaxed(&chunk->state), UINT64_C(1) << CPROF_CHUNK_CLAIM_SHIFT | CPROF_CHUNK_OPEN);
	cr_expect_eq(load_relaxed(&chunk->used), 2);
	cr_expect_eq(chunk->tid, thread_id());
	cr_expect_eq(segment_thread(chunk->slot), thread_tls.slot);
	cr_expect_eq(chunk->generation, load_relaxed(&thread_tls.slot->generation));
	const struct cprof_event *event = &chunk->events[0];
	uint32_t head = load_relaxed(&event->head);
	cr_expect_eq(cprof_event_kind_of(head), CPROF_EVENT_WAIT);
	cr_expect_eq(cprof_event_what_of(head), CPROF_WAIT_MUTEX);
	cr_expect_eq(cprof_event_flags_of(head), CPROF_EVENT_GAVE_UP);
	cr_expect_eq(cprof_event_more_of(head), 0);
	cr_expect_eq(event->stack, 7);
	cr_expect_eq(event->a, 11);
	cr_expect_eq(event->b, 13);
	cr_expect_geq(event->time_ns, before);
	cr_expect_leq(event->time_ns, real_monotonic_ns());
	cr_expect_eq(chunk->events[1].time_ns, 17);
}

Test(trace, nothing_is_recorded_or_counted_while_off)
{
	store_relaxed(&segment_control()->trace, UINT32_C(0));
	cr_expect_not(trace_is_on());
	add(1, 2);
	cr_expect_eq(load_relaxed(&segment_control()->trace_claims), 0);
	cr_expect_eq(lost(), 0);
}

static size_t text_of(const struct cprof_event *event, char out_text[CPROF_TRACE_TEXT_MAX])
{
	size_t length = 0;
	uint32_t more = cprof_event_more_of(load_relaxed(&event->head));
	for (uint32_t i = 1; i <= more; i++) {
		uint32_t head = load_relaxed(&event[i].head);
		cr_assert_eq(cprof_event_kind_of(head), CPROF_EVENT_TEXT);
		cr_assert_leq(cprof_event_what_of(head), CPROF_EVENT_TEXT_BYTES);
		memcpy(out_text + length, (const char *)&event[i] + CPROF_EVENT_TEXT_OFFSET,
		       cprof_event_what_of(head));
		length += cprof_event_what_of(head);
	}
	return length;
}

static const struct cprof_event *add_text(const struct trace_text *parts, size_t part_count)
{
	struct guard guard;
	const struct trace_event event = {.kind = CPROF_EVENT_LOG};
	cr_assert(guard_enter(&guard));
	trace_event_text(&guard, &event, parts, part_count);
	guard_leave(&guard);
	for (uint32_t i = 0; i < segment_control()->trace_chunk_count; i++) {
		const struct cprof_trace_chunk *chunk = chunk_at(i);
		if (load_relaxed(&chunk->state) & CPROF_CHUNK_OPEN) {
			uint32_t at = 0, last = 0;
			for (; at < load_relaxed(&chunk->used);
			     at += 1 + cprof_event_more_of(load_relaxed(&chunk->events[at].head)))
				last = at;
			return &chunk->events[last];
		}
	}
	return NULL;
}

Test(trace, text_of_every_length_comes_back)
{
	char bytes[CPROF_TRACE_TEXT_MAX + 100], text[CPROF_TRACE_TEXT_MAX];
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)('a' + i % 26);
	for (size_t length = 0; length <= sizeof bytes; length++) {
		const struct trace_text parts[] = {
			{bytes, length / 3}, {"", 0}, {bytes + length / 3, length - length / 3}};
		const struct cprof_event *event = add_text(parts, 3);
		size_t kept = length < CPROF_TRACE_TEXT_MAX ? length : CPROF_TRACE_TEXT_MAX;
		cr_assert_eq(text_of(event, text), kept);
		cr_assert_eq(memcmp(text, bytes, kept), 0);
	}
	const struct trace_text huge[] = {{bytes, CPROF_TRACE_TEXT_MAX}, {bytes, SIZE_MAX / 2}};
	cr_expect_eq(text_of(add_text(huge, 2), text), CPROF_TRACE_TEXT_MAX);
	cr_expect_eq(lost(), 0);
}

static uint64_t smallest, largest;

static void note_range(const struct cprof_trace_chunk *chunk, const struct cprof_event *event)
{
	(void)chunk;
	smallest = event->a < smallest ? event->a : smallest;
	largest = event->a > largest ? event->a : largest;
}

Test(trace, window_holds_the_last_events)
{
	const uint64_t total = 100000;
	uint64_t capacity = segment_control()->trace_chunk_count * CPROF_TRACE_CHUNK_EVENTS;
	for (uint64_t i = 1; i <= total; i++)
		add(i, 0);
	smallest = UINT64_MAX;
	uint64_t count = count_events(note_range);
	cr_expect_eq(largest, total);
	cr_expect_eq(count, total - smallest + 1, "no event between is missing");
	cr_expect_gt(count, capacity - CPROF_TRACE_CHUNK_EVENTS, "all but the chunk that is being filled");
	cr_expect_eq(lost(), 0);
}

Test(trace, each_chunk_names_the_one_before)
{
	for (uint64_t i = 0; i < 100 * CPROF_TRACE_CHUNK_EVENTS; i++)
		add(i, 0);
	uint64_t newest = load_relaxed(&segment_control()->trace_claims);
	for (uint32_t i = 0; i < segment_control()->trace_chunk_count; i++)
		cr_expect_eq(chunk_at(i)->previous, claim_of(chunk_at(i)) - 1);
	cr_expect_eq(newest, 100);
}

/* ---- what others hold ------------------------------------------------------------------------ */

static void *add_one_and_rest(void *barrier)
{
	add(1, 0);
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

Test(trace, chunk_of_a_resting_thread_is_passed_by)
{
	pthread_barrier_t barrier;
	pthread_t rester;
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&rester, NULL, add_one_and_rest, &barrier);
	pthread_barrier_wait(&barrier);
	cr_assert_eq(load_relaxed(&chunk_at(0)->state) & CPROF_CHUNK_OPEN, CPROF_CHUNK_OPEN);
	for (uint64_t i = 0; i < 100000; i++)
		add(i, 0);
	cr_expect_eq(claim_of(chunk_at(0)), 1);
	cr_expect_eq(load_relaxed(&chunk_at(0)->used), 1);
	pthread_barrier_wait(&barrier);
	pthread_join(rester, NULL);
}

Test(trace, more_threads_than_chunks_lose_and_count)
{
	enum { THREADS = 12 };
	pthread_barrier_t barrier;
	pthread_t threads[THREADS];
	go_round_in(8);
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, add_one_and_rest, &barrier);
	pthread_barrier_wait(&barrier);
	cr_expect_eq(count_events(NULL), 8);
	cr_expect_eq(lost(), THREADS - 8);
	cr_expect_eq(load_relaxed(&segment_control()->trace_gap_since_ns), 0, "nothing is streamed");
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void *add_and_detach(void *unused)
{
	for (uint64_t i = 0; i < 10; i++)
		add(i, 0);
	thread_detach();
	return unused;
}

Test(trace, thread_that_ends_closes_its_chunk)
{
	pthread_t thread;
	store_relaxed(&segment_control()->trace, CPROF_TRACE_STREAM);
	pthread_create(&thread, NULL, add_and_detach, NULL);
	pthread_join(thread, NULL);
	cr_expect_eq(load_relaxed(&chunk_at(0)->state),
		     UINT64_C(1) << CPROF_CHUNK_CLAIM_SHIFT | CPROF_CHUNK_UNREAD);
	cr_expect_eq(load_relaxed(&chunk_at(0)->used), 10);
}

static void *add_and_vanish(void *out_slot)
{
	add(1, 0);
	*(struct cprof_thread **)out_slot = thread_tls.slot;
	return NULL;
}

Test(trace, slot_of_a_thread_that_died_untold_closes_its_chunk)
{
	pthread_t thread;
	struct cprof_thread *slot = NULL;
	pthread_create(&thread, NULL, add_and_vanish, &slot);
	pthread_join(thread, NULL);
	cr_assert_eq(load_relaxed(&chunk_at(0)->state),
		     UINT64_C(1) << CPROF_CHUNK_CLAIM_SHIFT | CPROF_CHUNK_OPEN);
	store_release(&slot->state, (uint32_t)CPROF_THREAD_ENDED); /* as stray_begin() would find out */
	cr_assert_eq(thread_slot_take(), slot);
	cr_expect_eq(load_relaxed(&chunk_at(0)->state), UINT64_C(1) << CPROF_CHUNK_CLAIM_SHIFT);
}

/* ---- streaming ----------------------------------------------------------------------------- */

/* What the collector does with a chunk that it has copied. */
static void take_mark_away(uint32_t index)
{
	struct cprof_trace_chunk *chunk = segment_trace_chunk(index);
	and_relaxed(&chunk->state, ~CPROF_CHUNK_UNREAD);
}

Test(trace, stream_stops_in_a_gap_and_goes_on_after_it)
{
	go_round_in(8);
	store_relaxed(&segment_control()->trace, CPROF_TRACE_STREAM);
	const uint64_t capacity = 8 * CPROF_TRACE_CHUNK_EVENTS;
	uint64_t before = real_monotonic_ns();
	for (uint64_t i = 1; i <= capacity + 1000; i++)
		add(i, 0);
	smallest = UINT64_MAX;
	largest = 0;
	cr_expect_eq(count_events(note_range), capacity);
	cr_expect_eq(smallest, 1, "nothing that is unread is written over");
	cr_expect_eq(largest, capacity);
	cr_expect_eq(lost(), 1000);
	cr_expect_geq(load_relaxed(&segment_control()->trace_gap_since_ns), before);
	for (uint32_t i = 0; i < 8; i++)
		cr_expect_eq(load_relaxed(&chunk_at(i)->state) & 3, CPROF_CHUNK_UNREAD);
	/* Read, but the gap has not ended: still nothing. */
	for (uint32_t i = 0; i < 8; i++)
		take_mark_away(i);
	add(1, 0);
	cr_expect_eq(lost(), 1001);
	store_relaxed(&segment_control()->trace_gap_since_ns, UINT64_C(0));
	add(capacity + 2000, 0);
	largest = 0;
	count_events(note_range);
	cr_expect_eq(largest, capacity + 2000);
	cr_expect_eq(lost(), 1001);
}

Test(trace, marks_of_a_stream_that_ended_hold_nobody_up)
{
	go_round_in(8);
	store_relaxed(&segment_control()->trace, CPROF_TRACE_STREAM);
	for (uint64_t i = 0; i < 9 * CPROF_TRACE_CHUNK_EVENTS; i++)
		add(i, 0);
	cr_assert_neq(load_relaxed(&segment_control()->trace_gap_since_ns), 0);
	uint64_t lost_before = lost();
	store_relaxed(&segment_control()->trace, CPROF_TRACE_FLIGHT);
	for (uint64_t i = 0; i < 9 * CPROF_TRACE_CHUNK_EVENTS; i++)
		add(i, 0);
	cr_expect_eq(lost(), lost_before);
}

/* ---- handlers ------------------------------------------------------------------------------- */

static volatile sig_atomic_t handled;
static uint64_t sequence[2];

/* An event of the handler's own line, which may interrupt one of the thread's. */
static void add_in_handler(int number)
{
	(void)number;
	handled++;
	add(++sequence[1], 1);
}

static uint64_t seen[2];

static void note_sequence(const struct cprof_trace_chunk *chunk, const struct cprof_event *event)
{
	(void)chunk;
	cr_assert_lt(event->b, 2);
	seen[event->b]++;
	cr_assert_eq(event->stack, 0);
	cr_assert_neq(event->time_ns, 0);
}

static timer_t start_timer(void (*handler)(int), long interval_ns)
{
	timer_t timer;
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec often = {.it_interval.tv_nsec = interval_ns, .it_value.tv_nsec = interval_ns};
	sigaction(SIGALRM, &action, NULL);
	cr_assert_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	timer_settime(timer, 0, &often, NULL);
	return timer;
}

Test(trace, handlers_between_any_two_instructions_spoil_nothing)
{
	go_round_in(segment.geometry.trace_chunk_count);
	timer_t timer = start_timer(add_in_handler, 20000);
	/* Until just before the area is gone round once, so that all can be counted. */
	while (load_relaxed(&segment_control()->trace_claims) + 4 < segment_control()->trace_chunk_count)
		add(++sequence[0], 0);
	timer_delete(timer);
	count_events(note_sequence);
	cr_expect_eq(lost(), 0);
	cr_expect_eq(seen[0], sequence[0]);
	cr_expect_eq(seen[1], sequence[1]);
	cr_expect_eq((uint64_t)handled, sequence[1]);
	cr_expect_gt(handled, 0);
}

#ifndef __SANITIZE_THREAD__ /* which holds signals back until the thread calls something */
static sigjmp_buf way_out;
static volatile sig_atomic_t may_jump;

static void jump_away(int number)
{
	(void)number;
	if (may_jump)
		siglongjmp(way_out, 1);
}

static uint64_t whole;

static void note_whole(const struct cprof_trace_chunk *chunk, const struct cprof_event *event)
{
	(void)chunk;
	cr_assert_eq(event->b, ~event->a, "an event of two halves");
	whole++;
}

Test(trace, handlers_that_jump_away_leave_no_half_event_and_few_open_chunks)
{
	volatile uint64_t made = 0;
	char here;
	const struct unwind_bounds bounds = {.low = (uint64_t)(uintptr_t)&here - (1 << 20),
					     .high = (uint64_t)(uintptr_t)&here + 4096};
	thread_attach(NULL, &bounds); /* which levels are free again is told by the stack's bounds */
	timer_t timer = start_timer(jump_away, 50000);
	for (volatile int jumps = 0; jumps < 2000;) {
		if (sigsetjmp(way_out, 1))
			jumps++;
		may_jump = 1;
		for (int i = 0; i < 3 * (int)CPROF_TRACE_CHUNK_EVENTS; i++) {
			made++;
			add(made, ~made);
		}
		may_jump = 0;
	}
	timer_delete(timer);
	count_events(note_whole);
	uint32_t open = 0;
	for (uint32_t i = 0; i < segment_control()->trace_chunk_count; i++)
		open += load_relaxed(&chunk_at(i)->state) & CPROF_CHUNK_OPEN ? 1 : 0;
	cr_expect_leq(open, CPROF_SCRATCH_LEVELS);
	cr_expect_gt(whole, 0);
	cr_expect_eq(lost(), 0);
}

#endif

/* ---- threads and processes ------------------------------------------------------------------- */

enum { WRITERS = 8, WRITTEN = 3000 };

static void *write_own(void *number)
{
	for (uint64_t i = 0; i < WRITTEN; i++)
		add(i, (uint64_t)(uintptr_t)number);
	thread_detach();
	return NULL;
}

static uint32_t tid_of[WRITERS];
static uint64_t count_of[WRITERS];
static uint8_t was_seen[WRITERS][WRITTEN];

static void note_writer(const struct cprof_trace_chunk *chunk, const struct cprof_event *event)
{
	cr_assert_lt(event->b, WRITERS);
	cr_assert_lt(event->a, WRITTEN);
	cr_assert(tid_of[event->b] == 0 || tid_of[event->b] == chunk->tid, "a chunk is one thread's");
	tid_of[event->b] = chunk->tid;
	count_of[event->b]++;
	cr_assert_not(was_seen[event->b][event->a]);
	was_seen[event->b][event->a] = 1;
}

Test(trace, threads_share_the_area_and_mix_nothing)
{
	pthread_t threads[WRITERS];
	go_round_in(segment.geometry.trace_chunk_count);
	cr_assert_gt(segment.geometry.trace_chunk_count * CPROF_TRACE_CHUNK_EVENTS,
		     WRITERS * (WRITTEN + CPROF_TRACE_CHUNK_EVENTS));
	for (uintptr_t i = 0; i < WRITERS; i++)
		pthread_create(&threads[i], NULL, write_own, (void *)i);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(count_events(note_writer), WRITERS * WRITTEN);
	for (int i = 0; i < WRITERS; i++)
		cr_expect_eq(count_of[i], WRITTEN);
	cr_expect_eq(lost(), 0);
}

Test(trace, new_segment_of_a_forked_child_begins_empty)
{
	add(1, 0);
	pid_t child = fork();
	if (child == 0) {
		/* As process.c does it, but for the collector. */
		thread_forget();
		own_segment_open(UINT64_C(16) << 20);
		segment_control()->trace_chunk_count = 8;
		store_relaxed(&segment_control()->trace, CPROF_TRACE_FLIGHT);
		trace_follow_segment();
		add(2, 0);
		bool is_own = claim_of(chunk_at(0)) == 1 && load_relaxed(&chunk_at(0)->used) == 1 &&
			      chunk_at(0)->events[0].a == 2 && chunk_at(0)->previous == 0;
		_exit(is_own ? 0 : 1);
	}
	int status;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect_eq(status, 0);
	cr_expect_eq(load_relaxed(&chunk_at(0)->used), 1);
}
