/* SPDX-License-Identifier: MIT */
/*
 * What is copied of chunks that are whole, half written, taken meanwhile, or nonsense, and
 * from when on nothing is missing.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <sys/stat.h>

#include "fake_image.h"
#include "fake_tracer.h"
#include "trace_reader.h"

#define FULL CPROF_TRACE_CHUNK_EVENTS

static struct fake_image image;
static struct trace_reading reading;

static void begin(void)
{
	fake_image_open(&image, UINT64_C(4) << 20);
	fake_tracer_on(&image.segment, 8, CPROF_TRACE_FLIGHT);
}

static void end(void)
{
	trace_reading_free(&reading);
	fake_image_close(&image);
}

TestSuite(trace_reader, .init = begin, .fini = end);

static uint32_t events_read(void)
{
	uint32_t count = 0;
	for (size_t c = 0; c < reading.chunk_count; c++)
		for (uint32_t i = 0; i < load_relaxed(&reading.chunks[c].used); i++)
			count += cprof_event_kind_of(load_relaxed(&reading.chunks[c].events[i].head)) !=
				 CPROF_EVENT_NONE;
	return count;
}

Test(trace_reader, finds_every_event_of_every_thread)
{
	struct fake_tracer a = fake_tracer_begin(&image.segment, 100);
	struct fake_tracer b = fake_tracer_begin(&image.segment, 101);
	fake_tracer_events(&a, FULL + 3, 1000);
	fake_tracer_events(&b, 5, 1000);
	cr_assert(zero(trace_reader_take(&image.reader, &reading)));
	cr_expect(eq(sz, reading.chunk_count, 3));
	cr_expect(eq(u32, events_read(), FULL + 8));
	cr_expect(eq(u32, reading.chunks[0].tid, 100));
	cr_expect(eq(u64, reading.chunks[1].previous, 1));
	cr_expect(eq(u64, reading.chunks[1].events[2].a, FULL + 2));
}

Test(trace_reader, touches_no_page_that_was_never_written)
{
	struct fake_tracer a = fake_tracer_begin(&image.segment, 100);
	struct stat before, after;
	fake_tracer_events(&a, 1, 1000);
	cr_assert(zero(fstat(image.segment.fd, &before)));
	cr_assert(zero(trace_reader_take(&image.reader, &reading)));
	cr_assert(zero(fstat(image.segment.fd, &after)));
	cr_expect(eq(long, before.st_blocks, after.st_blocks));
}

Test(trace_reader, leaves_out_an_event_that_is_not_whole)
{
	struct fake_tracer a = fake_tracer_begin(&image.segment, 100);
	fake_tracer_events(&a, 3, 1000);
	store_relaxed(&fake_chunk(&image.segment, 0)->events[1].head, 0);
	cr_assert(zero(trace_reader_take(&image.reader, &reading)));
	cr_expect(eq(u32, events_read(), 2));
	cr_expect(eq(u64, reading.chunks[0].events[1].time_ns, 0), "nothing of it");
}

Test(trace_reader, believes_no_count)
{
	struct fake_tracer a = fake_tracer_begin(&image.segment, 100);
	fake_tracer_events(&a, FULL, 1000);
	store_relaxed(&fake_chunk(&image.segment, 0)->used, UINT32_MAX);
	fake_control(&image.segment)->trace_chunk_count = UINT32_MAX;
	cr_expect(eq(u32, trace_reader_chunk_count(&image.reader), image.reader.geometry.trace_chunk_count));
	cr_assert(zero(trace_reader_take(&image.reader, &reading)));
	cr_expect(eq(u32, load_relaxed(&reading.chunks[0].used), FULL));
	cr_expect(eq(u32, events_read(), FULL));
}

Test(trace_reader, knows_that_all_is_there_before_the_first_round_is_over)
{
	struct fake_tracer a = fake_tracer_begin(&image.segment, 100);
	fake_tracer_events(&a, 8 * FULL, 1000);
	cr_assert(zero(trace_reader_take(&image.reader, &reading)));
	cr_expect(eq(u64, trace_reading_complete_from(&reading, UINT64_MAX), 0));
}

Test(trace_reader, knows_from_when_on_nothing_was_written_over)
{
	struct fake_tracer a = fake_tracer_begin(&image.segment, 100);
	fake_tracer_events(&a, 10 * FULL, 1000);
	cr_assert(zero(trace_reader_take(&image.reader, &reading)));
	cr_expect(eq(sz, reading.chunk_count, 8));
	cr_expect(eq(u64, trace_reading_complete_from(&reading, UINT64_MAX), 1000 + 2 * FULL));
	cr_expect(eq(u64, trace_reading_last_event(&reading, UINT64_MAX), 1000 + 10 * FULL - 1));
	cr_expect(eq(u64, trace_reading_last_event(&reading, 5000), 1000 + 10 * FULL - 1));
	cr_expect(eq(u64, trace_reading_last_event(&reading, 2000), 2000));
}

Test(trace_reader, does_not_count_a_thread_that_rests_as_one_that_is_written_over)
{
	struct fake_tracer idle = fake_tracer_begin(&image.segment, 100);
	struct fake_tracer busy = fake_tracer_begin(&image.segment, 101);
	fake_tracer_events(&idle, 1, 500);
	fake_tracer_events(&busy, 20 * FULL, 1000);
	cr_assert(zero(trace_reader_take(&image.reader, &reading)));
	cr_expect(eq(u32, reading.chunks[0].tid, 100), "its last events are kept, however old");
	cr_expect(eq(u64, trace_reading_complete_from(&reading, UINT64_MAX), 1000 + 13 * FULL));
}

/* A slow thread's chunk is closed long after it was begun, and then written over. */
Test(trace_reader, is_not_misled_by_a_chunk_that_was_open_for_long)
{
	struct fake_tracer slow = fake_tracer_begin(&image.segment, 100);
	struct fake_tracer busy = fake_tracer_begin(&image.segment, 101);
	fake_tracer_events(&slow, FULL, 500);
	fake_tracer_events(&busy, 9 * FULL, 1000);
	fake_tracer_events(&slow, 1, 1000 + 9 * FULL);
	fake_tracer_events(&busy, 3 * FULL, 1001 + 9 * FULL);
	cr_assert(zero(trace_reader_take(&image.reader, &reading)));
	uint64_t from_ns = trace_reading_complete_from(&reading, UINT64_MAX);
	bool has_first = false;
	for (size_t i = 0; i < reading.chunk_count; i++)
		has_first = has_first || (reading.chunks[i].tid == 100 && reading.chunks[i].previous == 0);
	cr_expect(has_first || from_ns == 1000 + 9 * FULL, "%lu", from_ns);
}

Test(trace_reader, takes_no_time_in_the_future_for_a_begin)
{
	struct fake_tracer a = fake_tracer_begin(&image.segment, 100);
	fake_tracer_events(&a, 1, UINT64_MAX / 2);
	fake_chunk(&image.segment, 0)->previous = 77;
	cr_assert(zero(trace_reader_take(&image.reader, &reading)));
	cr_expect(eq(u64, trace_reading_complete_from(&reading, 1000), 0));
}

Test(trace_reader, shows_threads_with_the_waits_that_they_are_in)
{
	struct fake_tracer a = fake_tracer_begin(&image.segment, 100);
	struct fake_tracer b = fake_tracer_begin(&image.segment, 101);
	struct cprof_waiting *waiting = &fake_thread(&image.segment, a.slot)->waiting;
	struct trace_thread *threads;
	size_t count;
	store_relaxed(&waiting->object, 0x1234);
	store_relaxed(&waiting->since_ns, 99);
	store_relaxed(&waiting->what, CPROF_WAIT_COND);
	store_relaxed(&fake_thread(&image.segment, a.slot)->created_by, 55);
	fake_tracer_end(&b);
	cr_assert(zero(trace_reader_threads(&image.reader, 0, &threads, &count)));
	cr_assert(eq(sz, count, 3), "with the image's own");
	cr_expect(eq(u32, threads[1].tid, 100));
	cr_expect(threads[1].is_live);
	cr_expect(eq(u32, threads[1].what, CPROF_WAIT_COND));
	cr_expect(eq(u64, threads[1].object, 0x1234));
	cr_expect(eq(u64, threads[1].since_ns, 99));
	cr_expect(eq(u32, threads[1].created_by, 55));
	cr_expect(eq(u32, threads[2].tid, 101));
	cr_expect(not(threads[2].is_live));
	cr_expect(eq(u32, threads[2].what, CPROF_WAIT_NONE));
	free(threads);
}

Test(trace_reader, reads_nothing_of_a_wait_that_is_being_written)
{
	struct fake_tracer a = fake_tracer_begin(&image.segment, 100);
	struct cprof_waiting *waiting = &fake_thread(&image.segment, a.slot)->waiting;
	struct trace_thread *threads;
	size_t count;
	store_relaxed(&waiting->what, CPROF_WAIT_COND);
	store_relaxed(&waiting->sequence, 1);
	cr_assert(zero(trace_reader_threads(&image.reader, 0, &threads, &count)));
	cr_expect(eq(u32, threads[1].what, CPROF_WAIT_NONE));
	free(threads);
}
