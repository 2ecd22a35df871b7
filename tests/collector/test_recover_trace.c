/* SPDX-License-Identifier: MIT */
/*
 * Traces of which everybody was killed: a spool alone says what was in it, with names, and
 * with the segment beside it all that was recorded; any other file is refused in one line.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_image.h"
#include "fake_trace.h"
#include "fake_tracer.h"
#include "fixture.h"
#include "log.h"
#include "recover.h"
#include "trace_stream.h"

#define FULL CPROF_TRACE_CHUNK_EVENTS
#define CHUNKS 8u
#define SPOOL ".fake.7.trace-spool"
#define SEGMENT ".fake.7.cprof"

static struct fake_files files;
static struct trace_stream stream;
static struct fake_tracer thread;
static struct recovered recovered;

static void begin(void)
{
	fixture_begin();
	fake_trace_begin(0, 1); /* knows the reader of traces */
	fake_files_open(&files, true);
	fake_tracer_on(&files.image.segment, CHUNKS, CPROF_TRACE_STREAM);
	thread = fake_tracer_begin(&files.image.segment, 100);
	log_open(fixture_pipe(), LOG_LEVEL_WARN);
}

static void end(void)
{
	trace_stream_close(&stream, &files.writer);
	fake_files_close(&files);
	fake_trace_end();
	fixture_end();
}

TestSuite(recover_trace, .init = begin, .fini = end);

/* Events of a stack that a module and a name can be found for; then a look, and everybody dies. */
static void record_and_die(void)
{
	struct fake_segment *segment = &files.image.segment;
	uint64_t start_ns = files.control->start_monotonic_ns;
	uint32_t stack = fake_leaf(segment, 0x1000);
	fake_module(segment, 0, "/nonexistent/program", 0x400000);
	fake_tracer_events(&thread, 4 * FULL, start_ns + 1000);
	for (uint32_t i = 0; i < 4; i++)
		for (uint32_t e = 0; e < FULL; e++)
			fake_chunk(segment, i)->events[e].stack = stack;
	trace_stream_tick(&stream, &files.writer);
	fake_tracer_events(&thread, FULL, start_ns + 1000 + 4 * FULL);
	for (uint32_t e = 0; e < FULL; e++)
		fake_chunk(segment, 4)->events[e].stack = fake_leaf(segment, 0x2000);
	cr_assert(eq(u32, stream.spool.page_count, 1 + 3), "tables and three chunks");
}

/* CPU samples in Perfetto's form, each with its stack's name. */
static int count_samples(void)
{
	int count = 0;
	const char *at = fake_trace_perfetto_text(recovered.trace.names[TRACE_PERFETTO]);
	for (; (at = strstr(at, " sample [program+0x1000]")); at++)
		count++;
	return count;
}

static int recover(const char *name)
{
	memset(&recovered, 0, sizeof recovered);
	return recover_file(fixture_path(name), fixture_dir, &recovered);
}

Test(recover_trace, reads_a_spool_that_is_all_there_is)
{
	record_and_die();
	cr_assert(zero(recover(SPOOL)));
	cr_expect(eq(str, recovered.name, "fake"));
	cr_expect(eq(u32, recovered.pid, 7));
	cr_expect(eq(str, recovered.trace.names[TRACE_GO], "fake.7.trace"));
	cr_expect(eq(str, recovered.trace.names[TRACE_PERFETTO], "fake.7.perfetto-trace"));
	cr_expect(eq(int, count_samples(), 3 * FULL));
	cr_expect(fake_files_inode(&files, SPOOL) != 0, "it was only read");
	cr_expect(fixture_said()[0] == 0);
}

Test(recover_trace, reads_what_was_open_when_it_was_copied_last)
{
	record_and_die();
	trace_stream_tick(&stream, &files.writer);
	trace_stream_save_open(&stream, &files.writer);
	cr_assert(zero(recover(SPOOL)));
	cr_expect(eq(int, count_samples(), 4 * FULL));
	cr_expect_not_null(strstr(fake_trace_perfetto_text(recovered.trace.names[TRACE_PERFETTO]),
				  " sample [program+0x2000]"),
			   "the fifth, which is open, has another stack");
}

/* The process's segment was a file, which nobody had time to remove. */
static void keep_segment(void)
{
	int fd = openat(files.dir.fd, SEGMENT, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	size_t size = files.image.segment.geometry.segment_bytes;
	cr_assert(eq(long, write(fd, files.image.segment.base, size), (long)size));
	close(fd);
}

Test(recover_trace, adds_what_a_kept_segment_holds)
{
	record_and_die();
	keep_segment();
	cr_assert(zero(recover(SPOOL)));
	cr_expect(eq(int, count_samples(), 4 * FULL));
	cr_assert(zero(recover(SEGMENT)), "either may be named");
	cr_expect(eq(int, count_samples(), 4 * FULL));
	cr_expect(recovered.files[PROFILE_HEAP][0] != 0, "with profiles");
}

/* Also what threads had in open chunks is in it: the fifth is. */
Test(recover_trace, reads_a_part_of_a_long_trace)
{
	const struct writer_moment now = {.owner = RING_OWNER_RUNNING,
					  .root_fd = -1,
					  .end_monotonic_ns = files.control->start_monotonic_ns + 1000000};
	record_and_die();
	cr_assert(zero(
		trace_parts_close_spool(&stream.parts, &files.writer, &stream.spool, &stream.tables, &now)));
	keep_segment();
	cr_assert(zero(recover(".fake.7.1.trace-spool")));
	cr_expect(eq(str, recovered.trace.names[TRACE_GO], "fake.7.1.trace"));
	cr_expect(eq(int, count_samples(), 4 * FULL));
}

/* The worst moment: the chunks are in the file, and still marked. */
Test(recover_trace, shows_nothing_twice)
{
	record_and_die();
	for (uint32_t i = 0; i < 3; i++)
		or_relaxed(&fake_chunk(&files.image.segment, i)->state, CPROF_CHUNK_UNREAD);
	keep_segment();
	cr_assert(zero(recover(SPOOL)));
	cr_expect(eq(int, count_samples(), 4 * FULL));
}

Test(recover_trace, leaves_another_process_s_segment_alone)
{
	record_and_die();
	fake_control(&files.image.segment)->start_monotonic_ns++;
	keep_segment();
	cr_assert(zero(recover(SPOOL)));
	cr_expect(eq(int, count_samples(), 3 * FULL));
}

Test(recover_trace, says_when_nothing_was_kept)
{
	/* 8 chunks are all there are. */
	trace_stream_tick(&stream, &files.writer);
	fake_tracer_events(&thread, 10 * FULL, files.control->start_monotonic_ns + 1000);
	trace_stream_tick(&stream, &files.writer);
	cr_assert(zero(recover(SPOOL)));
	const char *text = fake_trace_perfetto_text(recovered.trace.names[TRACE_PERFETTO]);
	cr_expect(strstr(text, " gaps begin ") && strstr(text, "events=252"), "%s", text);
}

static void expect_refused(const char *what)
{
	cr_expect(eq(int, recover(SPOOL), -EINVAL));
	const char *text = fixture_said();
	const char *stop = strchr(text, '\n');
	cr_expect(strstr(text, what) && stop && stop[1] == '\0', "%s", text);
}

Test(recover_trace, reads_a_file_that_was_cut_as_far_as_it_goes)
{
	record_and_die();
	trace_spool_close(&stream.spool);
	for (off_t size = TRACE_SPOOL_HEAD_BYTES + 4 * 4096 - 1000; size > 8; size -= 1000) {
		cr_assert(zero(truncate(fixture_path(SPOOL), size)));
		if (size < (off_t)TRACE_SPOOL_HEAD_BYTES)
			expect_refused("not a whole spool");
		else
			cr_expect(zero(recover(SPOOL)), "%ld", (long)size);
	}
}

static void patch(off_t offset, const void *bytes, size_t size)
{
	int fd = open(fixture_path(SPOOL), O_WRONLY | O_CLOEXEC);
	cr_assert(eq(long, pwrite(fd, bytes, size, offset), (long)size));
	close(fd);
}

Test(recover_trace, refuses_what_makes_no_sense)
{
	const uint64_t wrong[] = {UINT64_MAX, 4096};
	record_and_die();
	patch(TRACE_SPOOL_HEAD_BYTES + offsetof(struct cprof_trace_chunk, generation), wrong, 8);
	expect_refused("not a whole spool");
	const uint64_t right = 64;
	patch(TRACE_SPOOL_HEAD_BYTES + offsetof(struct cprof_trace_chunk, generation), &right, 8);
	/* A piece of the tables beyond the segment; one in the control block. */
	for (int i = 0; i < 2; i++) {
		patch(TRACE_SPOOL_HEAD_BYTES + offsetof(struct cprof_trace_chunk, events), &wrong[i], 8);
		expect_refused("not a whole spool");
	}
	patch(8, wrong, 4);
	expect_refused("another version");
}
