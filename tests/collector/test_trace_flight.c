/* SPDX-License-Identifier: MIT */
/*
 * When a window is saved, under which names, and what becomes of a request.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_image.h"
#include "fake_tracer.h"
#include "fixture.h"
#include "log.h"
#include "trace_flight.h"

static struct fake_files files;
static struct fake_tracer thread;
static struct trace_files saved;

static void begin(void)
{
	fixture_begin();
	fake_files_open(&files, true);
	fake_tracer_on(&files.image.segment, 8, CPROF_TRACE_FLIGHT);
	thread = fake_tracer_begin(&files.image.segment, 100);
	log_open(-1, LOG_LEVEL_ERROR);
}

static void end(void)
{
	fake_files_close(&files);
	fixture_end();
}

TestSuite(trace_flight, .init = begin, .fini = end);

static struct writer_moment now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (struct writer_moment){.owner = RING_OWNER_RUNNING,
				      .root_fd = -1,
				      .end_monotonic_ns = (uint64_t)time.tv_sec * 1000000000u +
							  (uint64_t)time.tv_nsec};
}

Test(trace_flight, numbers_its_files_along_with_those_of_profiles)
{
	const struct writer_moment moment = now();
	store_relaxed(&files.control->snapshots_done, 4);
	cr_assert(zero(trace_flight_save(&files.writer, &moment, 0, &saved)));
	cr_expect(eq(str, saved.names[TRACE_GO], "fake.7.5.trace"));
	cr_expect(eq(str, saved.names[TRACE_PERFETTO], "fake.7.5.perfetto-trace"));
	cr_expect(fake_files_inode(&files, "fake.7.5.trace") != 0);
	cr_expect(eq(u32, load_relaxed(&files.control->snapshots_done), 5));
}

Test(trace_flight, gives_both_files_one_name)
{
	const struct writer_moment moment = now();
	fake_files_make(&files, "fake.7.1.trace");
	cr_assert(zero(trace_flight_save(&files.writer, &moment, 0, &saved)));
	cr_expect(eq(str, saved.names[TRACE_GO], "fake.7-2.1.trace"));
	cr_expect(eq(str, saved.names[TRACE_PERFETTO], "fake.7-2.1.perfetto-trace"));
}

Test(trace_flight, has_no_number_at_the_end)
{
	const struct writer_moment moment = now();
	cr_assert(zero(trace_flight_save_last(&files.writer, &moment, &saved)));
	cr_expect(eq(str, saved.names[TRACE_GO], "fake.7.trace"));
	cr_expect(eq(u32, load_relaxed(&files.control->snapshots_done), 0));
}

Test(trace_flight, is_not_there_when_nothing_is_traced)
{
	const struct writer_moment moment = now();
	store_relaxed(&files.control->trace, 0);
	cr_expect(not(trace_flight_is_on(&files.writer)));
	cr_expect(eq(int, trace_flight_save(&files.writer, &moment, 0, &saved), -ENOTSUP));
	cr_expect(eq(sz, fake_files_count(&files), 0));
}

Test(trace_flight, answers_requests_once_whatever_comes_of_them)
{
	const struct writer_moment moment = now();
	store_relaxed(&files.control->flight_requested, 3);
	store_relaxed(&files.control->flight_reasons, CPROF_FLIGHT_BY_SLOW);
	cr_assert(trace_flight_is_requested(&files.writer));
	trace_flight_answer(&files.writer, &moment, 0);
	cr_expect(not(trace_flight_is_requested(&files.writer)));
	cr_expect(eq(u32, load_relaxed(&files.control->flights_done), 3));
	cr_expect(eq(u32, load_relaxed(&files.control->flight_reasons), 0));
	cr_expect(eq(sz, fake_files_count(&files), 2), "three that came together are one");
	store_relaxed(&files.control->trace, 0);
	store_relaxed(&files.control->flight_requested, 4);
	trace_flight_answer(&files.writer, &moment, 0);
	cr_expect(not(trace_flight_is_requested(&files.writer)));
	cr_expect(eq(sz, fake_files_count(&files), 2));
}

Test(trace_flight, ends_with_the_last_event_of_a_process_that_nobody_saw_end)
{
	const struct writer_moment dead = {.owner = RING_OWNER_DEAD, .root_fd = -1};
	void *bytes;
	size_t size;
	fake_tracer_events(&thread, 5, now().end_monotonic_ns);
	cr_assert(zero(trace_flight_encode(&files.writer, &dead, 0, TRACE_GO, &bytes, &size)));
	cr_expect(size > 16 && memcmp(bytes, "go 1.19 trace\0\0", 16) == 0);
	free(bytes);
}
