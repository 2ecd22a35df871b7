/* SPDX-License-Identifier: MIT */
/*
 * What is streamed is whole, each event once, also when collectors die in between; what
 * could not be kept up with is a gap with its bounds and its number of events.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fake_image.h"
#include "fake_tracer.h"
#include "fixture.h"
#include "log.h"
#include "trace_assembly.h"
#include "trace_stream.h"

#define FULL CPROF_TRACE_CHUNK_EVENTS
#define CHUNKS 8u
#define SPOOL ".fake.7.trace-spool"

static struct fake_files files;
static struct trace_stream stream;
static struct fake_tracer thread;

static void begin(void)
{
	fixture_begin();
	fake_files_open(&files, true);
	fake_tracer_on(&files.image.segment, CHUNKS, CPROF_TRACE_STREAM);
	thread = fake_tracer_begin(&files.image.segment, 100);
	log_open(-1, LOG_LEVEL_ERROR);
}

static void end(void)
{
	trace_stream_close(&stream, &files.writer);
	fake_files_close(&files);
	fixture_end();
}

TestSuite(trace_stream, .init = begin, .fini = end);

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void tick(void)
{
	trace_stream_tick(&stream, &files.writer);
}

/* How many events are in the spool; their times are one after the other from 1000 on, each there once. */
static uint64_t spooled(void)
{
	static bool is_seen[64 * FULL];
	struct trace_spool_map map;
	struct trace_gap gap;
	uint64_t events = 0;
	memset(is_seen, 0, sizeof is_seen);
	cr_assert(zero(trace_spool_map(&stream.spool, 0, 0, &map)));
	for (size_t i = 0; i < map.page_count; i++) {
		if (trace_spool_get_gap(&map.pages[i], &gap))
			continue;
		for (uint32_t e = 0; e < load_relaxed(&map.pages[i].used); e++, events++) {
			uint64_t at = map.pages[i].events[e].time_ns - 1000;
			cr_assert(at < sizeof is_seen && !is_seen[at]);
			is_seen[at] = true;
		}
	}
	for (uint64_t i = 0; i < events; i++)
		cr_assert(is_seen[i]);
	trace_spool_unmap(&map);
	return events;
}

/* A collector dies, and the next one finds what it left. */
static void die(void)
{
	trace_spool_close(&stream.spool);
	stream = (struct trace_stream){0};
}

static bool has_marks(void)
{
	for (uint32_t i = 0; i < CHUNKS; i++)
		if (load_relaxed(&fake_chunk(&files.image.segment, i)->state) & CPROF_CHUNK_UNREAD)
			return true;
	return false;
}

static struct writer_moment moment(void)
{
	return (struct writer_moment){
		.owner = RING_OWNER_RUNNING, .root_fd = -1, .end_monotonic_ns = now_ns()};
}

Test(trace_stream, copies_each_closed_chunk_once)
{
	uint64_t at_ns = 1000;
	for (int round = 0; round < 5; round++) {
		cr_assert(eq(u32, fake_tracer_events(&thread, 5 * FULL, at_ns), 5 * FULL));
		at_ns += 5 * FULL;
		tick();
	}
	cr_expect(eq(u64, spooled(), 24 * FULL), "the last one is open");
	cr_expect(not(has_marks()));
	cr_expect(eq(u64, stream.gap_count, 0));
}

static void save_open(void)
{
	trace_stream_save_open(&stream, &files.writer);
}

Test(trace_stream, writes_an_open_chunk_in_one_place)
{
	tick();
	fake_tracer_events(&thread, FULL / 2, 1000);
	save_open();
	cr_expect(eq(u64, spooled(), FULL / 2));
	uint32_t pages = stream.spool.page_count;
	save_open();
	fake_tracer_events(&thread, 10, 1000 + FULL / 2);
	save_open();
	cr_expect(eq(u64, spooled(), FULL / 2 + 10));
	fake_tracer_events(&thread, 2 * FULL, 1010 + FULL / 2);
	tick();
	cr_expect(eq(u64, spooled(), 2 * FULL), "two are closed");
	save_open();
	cr_expect(eq(u64, spooled(), 2 * FULL + FULL / 2 + 10));
	cr_expect(eq(u32, stream.spool.page_count, pages + 2));
	cr_expect(not(has_marks()));
}

/* The next collector knows no page of what was open: it is there twice until a trace is made of it. */
Test(trace_stream, tells_an_event_once_whoever_copied_it_open)
{
	struct trace_assembly assembly;
	const struct writer_moment now = moment();
	uint64_t events = 0;
	tick();
	fake_tracer_events(&thread, FULL / 2, 1000);
	save_open();
	die();
	tick();
	fake_tracer_events(&thread, FULL, 1000 + FULL / 2);
	tick();
	save_open();
	cr_assert(zero(trace_assembly_make(&stream.spool, 0, 0, &files.writer, &now, 0, &assembly)));
	for (size_t i = 0; i < assembly.input.chunk_count; i++)
		events += load_relaxed(&assembly.input.chunks[i].used);
	cr_expect(eq(u64, events, FULL + FULL / 2));
	trace_assembly_free(&assembly);
}

Test(trace_stream, makes_its_spool_for_nobody_else)
{
	struct stat st;
	tick();
	cr_assert(zero(stat(fixture_path(SPOOL), &st)));
	cr_expect(eq(u32, st.st_mode & 07777, 0600));
}

Test(trace_stream, goes_on_where_another_collector_was)
{
	fake_tracer_events(&thread, 4 * FULL, 1000);
	tick();
	die();
	fake_tracer_events(&thread, 4 * FULL, 1000 + 4 * FULL);
	tick();
	cr_expect(eq(u64, spooled(), 7 * FULL));
}

/* The worst moment: the batch is written, and the marks are still there. */
Test(trace_stream, copies_nothing_twice_that_a_dead_collector_had_written)
{
	fake_tracer_events(&thread, 4 * FULL, 1000);
	tick();
	for (uint32_t i = 0; i < 3; i++)
		or_relaxed(&fake_chunk(&files.image.segment, i)->state, CPROF_CHUNK_UNREAD);
	die();
	tick();
	cr_expect(eq(u64, spooled(), 3 * FULL));
	cr_expect(not(has_marks()));
}

Test(trace_stream, cuts_off_a_page_that_is_not_whole)
{
	fake_tracer_events(&thread, 4 * FULL, 1000);
	tick();
	die();
	cr_assert(zero(truncate(fixture_path(SPOOL), TRACE_SPOOL_HEAD_BYTES + 2 * 4096 + 100)));
	or_relaxed(&fake_chunk(&files.image.segment, 2)->state, CPROF_CHUNK_UNREAD);
	tick();
	cr_expect(eq(u64, spooled(), 3 * FULL));
}

Test(trace_stream, leaves_another_run_s_spool_alone)
{
	fixture_write(SPOOL, "somebody else's");
	tick();
	cr_expect(eq(str, stream.spool.name, ".fake.7-2.trace-spool"));
	cr_expect(eq(str, fixture_run("cat " SPOOL), "somebody else's"));
}

Test(trace_stream, marks_what_it_could_not_keep_up_with_as_a_gap)
{
	uint64_t before_ns = now_ns();
	tick();
	cr_expect(eq(u32, fake_tracer_events(&thread, 10 * FULL, 1000), CHUNKS * FULL));
	cr_assert(load_relaxed(&files.control->trace_gap_since_ns) != 0);
	uint64_t since_ns = load_relaxed(&files.control->trace_gap_since_ns);
	tick();
	cr_expect(eq(u64, load_relaxed(&files.control->trace_gap_since_ns), 0));
	cr_expect(not(has_marks()));
	cr_expect(eq(u64, spooled(), CHUNKS * FULL));
	cr_expect(eq(u64, stream.gap_count, 1));
	struct trace_spool_map map;
	struct trace_gap gap;
	cr_assert(zero(trace_spool_map(&stream.spool, CHUNKS, 0, &map)));
	cr_assert(trace_spool_get_gap(&map.pages[0], &gap));
	cr_expect(eq(u64, gap.from_ns, since_ns));
	cr_expect(gap.from_ns >= before_ns && gap.until_ns >= gap.from_ns && gap.until_ns <= now_ns());
	cr_expect(eq(u64, gap.events, 2 * FULL));
	trace_spool_unmap(&map);
	/* And on it goes; the next gap counts its own events. */
	fake_tracer_events(&thread, 9 * FULL, 1000 + CHUNKS * FULL);
	die();
	tick();
	cr_expect(eq(u64, stream.gap_count, 2));
	cr_expect(eq(u64, stream.lost, 3 * FULL));
}

Test(trace_stream, counts_what_was_lost_before_anybody_looked)
{
	fake_tracer_events(&thread, 10 * FULL, 1000);
	tick();
	cr_expect(eq(u64, stream.gap_count, 1));
	cr_expect(eq(u64, stream.lost, 2 * FULL));
	die();
	tick();
	cr_expect(eq(u64, stream.lost, 2 * FULL));
}

Test(trace_stream, is_cut_where_nothing_more_can_be_written)
{
	struct rlimit limit = {TRACE_SPOOL_HEAD_BYTES + 4096 * 4, RLIM_INFINITY};
	signal(SIGXFSZ, SIG_IGN);
	tick();
	cr_assert(zero(setrlimit(RLIMIT_FSIZE, &limit)));
	fake_tracer_events(&thread, 7 * FULL, 1000);
	tick();
	cr_expect(stream.spool.note.cut_ns != 0);
	cr_expect(eq(u32, load_relaxed(&files.control->trace), 0), "the program pays no more");
	struct stat st;
	cr_assert(zero(stat(fixture_path(SPOOL), &st)));
	cr_expect(eq(long, st.st_size % 4096, 0), "whole pages only");
	uint64_t cut_ns = stream.spool.note.cut_ns;
	die();
	tick();
	cr_expect(eq(u64, stream.spool.note.cut_ns, cut_ns), "the next collector knows");
	tick();
	cr_expect(eq(u32, load_relaxed(&files.control->trace), 0));
}

Test(trace_stream, ends_what_a_dead_collector_streamed_for_a_request)
{
	store_relaxed(&files.control->trace_asked, CPROF_TRACE_FLIGHT);
	store_relaxed(&files.control->trace, CPROF_TRACE_FLIGHT | CPROF_TRACE_STREAM);
	fake_tracer_events(&thread, 10 * FULL, 1000);
	tick();
	cr_expect(eq(u32, load_relaxed(&files.control->trace), CPROF_TRACE_FLIGHT));
	cr_expect(eq(u64, load_relaxed(&files.control->trace_gap_since_ns), 0));
	cr_expect(not(has_marks()));
	cr_expect(fake_tracer_event(&thread, CPROF_EVENT_CPU, 5000, 0, 0));
}

Test(trace_stream, says_to_the_lock_functions_that_they_are_traced)
{
	struct trace_watch *watch;
	void *bytes;
	size_t size;
	store_relaxed(&files.control->trace_asked, 0);
	store_relaxed(&files.control->trace, 0);
	cr_assert(zero(trace_stream_watch(&stream, &files.writer, &watch)));
	cr_expect(eq(u32, load_relaxed(&files.control->trace), CPROF_TRACE_STREAM));
	cr_expect(eq(u32, load_relaxed(&files.control->contention), 1));
	const struct writer_moment now = moment();
	cr_assert(zero(trace_stream_end_watch(&stream, &files.writer, &now, 0, TRACE_GO, &bytes, &size)));
	free(bytes);
	trace_watch_leave(watch);
	cr_expect(eq(u32, load_relaxed(&files.control->trace), 0));
	cr_expect(eq(u32, load_relaxed(&files.control->contention), 0));
	cr_expect(eq(sz, fake_files_count(&files), 0), "no file is left");
}

Test(trace_stream, ends_the_span_of_who_went_away)
{
	struct trace_watch *watch, *second;
	store_relaxed(&files.control->trace_asked, 0);
	store_relaxed(&files.control->trace, 0);
	cr_assert(zero(trace_stream_watch(&stream, &files.writer, &watch)));
	cr_expect(eq(int, trace_stream_watch(&stream, &files.writer, &second), -EBUSY));
	trace_watch_leave(watch);
	tick();
	cr_expect(eq(u32, load_relaxed(&files.control->trace), 0));
	cr_assert(zero(trace_stream_watch(&stream, &files.writer, &watch)));
	trace_stream_close(&stream, &files.writer);
	trace_watch_leave(watch);
}

Test(trace_stream, serves_a_span_of_a_whole_run_from_the_same_spool)
{
	struct trace_watch *watch;
	void *bytes;
	size_t size;
	fake_tracer_events(&thread, 4 * FULL, 1000);
	tick();
	cr_assert(zero(trace_stream_watch(&stream, &files.writer, &watch)));
	cr_expect(eq(u32, watch->first_page, 3));
	fake_tracer_events(&thread, 4 * FULL, 1000 + 4 * FULL);
	const struct writer_moment now = moment();
	cr_assert(zero(trace_stream_end_watch(&stream, &files.writer, &now, 0, TRACE_GO, &bytes, &size)));
	free(bytes);
	trace_watch_leave(watch);
	cr_expect(eq(u32, load_relaxed(&files.control->trace), CPROF_TRACE_STREAM), "the run goes on");
	tick();
	cr_expect(eq(u64, spooled(), 7 * FULL));
}

Test(trace_stream, writes_both_files_and_removes_the_spool)
{
	const struct writer_moment now = moment();
	fake_tracer_events(&thread, 3 * FULL, now_ns());
	tick();
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	ino_t first = fake_files_inode(&files, "fake.7.trace");
	cr_expect(first != 0);
	cr_expect(fake_files_inode(&files, "fake.7.perfetto-trace") != 0);
	cr_expect(fake_files_inode(&files, SPOOL) != 0, "the process may go on");
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	cr_expect(eq(ulong, fake_files_inode(&files, "fake.7.trace"), first), "nothing was new");
	fake_tracer_events(&thread, 1, now_ns());
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	cr_expect(ne(ulong, fake_files_inode(&files, "fake.7.trace"), first), "it was rewritten");
	trace_stream_close(&stream, &files.writer);
	cr_expect(eq(ulong, fake_files_inode(&files, SPOOL), 0));
	cr_expect(eq(sz, fake_files_count(&files), 2));
}

Test(trace_stream, rewrites_what_a_dead_collector_had_written)
{
	const struct writer_moment now = moment();
	fake_tracer_events(&thread, 3 * FULL, now_ns());
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	ino_t first = fake_files_inode(&files, "fake.7.trace");
	die();
	fake_files_restart(&files);
	fake_tracer_events(&thread, 1, now_ns());
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	cr_expect(ne(ulong, fake_files_inode(&files, "fake.7.trace"), first));
	cr_expect(eq(sz, fake_files_count(&files), 2), "no third one");
}

static void fill_a_part(void)
{
	uint64_t at_ns = now_ns();
	tick();
	while (!trace_stream_has_part(&stream)) {
		cr_assert(eq(u32, fake_tracer_events(&thread, 7 * FULL, at_ns), 7 * FULL));
		tick();
	}
}

/* 24 MB of chunks: a child makes a trace of them, and the stream goes on. */
Test(trace_stream, hands_a_large_spool_over_as_a_numbered_part)
{
	fill_a_part();
	const struct writer_moment now = moment();
	trace_stream_write_part(&stream, &files.writer, &now, 0);
	cr_expect(eq(u32, stream.spool.page_count, 0));
	cr_expect(stream.spool.note.from_ns >= now.end_monotonic_ns && stream.spool.note.from_ns <= now_ns());
	cr_expect(eq(u32, load_relaxed(&files.control->snapshots_done), 1));
	fake_tracer_events(&thread, 3 * FULL, now_ns());
	tick();
	cr_expect(eq(u32, stream.spool.page_count, 3));
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	cr_expect(fake_files_inode(&files, "fake.7.1.trace") != 0);
	cr_expect(fake_files_inode(&files, "fake.7.1.perfetto-trace") != 0);
	cr_expect(fake_files_inode(&files, "fake.7.trace") != 0);
}

/* What is read after the moment was taken is in the part's spool alone. */
Test(trace_stream, ends_a_part_behind_all_that_it_has)
{
	fill_a_part();
	const struct writer_moment now = moment();
	uint64_t later_ns = now_ns();
	fake_tracer_events(&thread, 2 * FULL, later_ns);
	while (now_ns() < later_ns + 2 * FULL)
		continue;
	trace_stream_write_part(&stream, &files.writer, &now, 0);
	cr_expect(ge(u64, stream.spool.note.from_ns, later_ns + 2 * FULL));
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
}

/* A gap that ends with a part's last reading is the part's alone. */
Test(trace_stream, tells_what_is_lost_in_one_part)
{
	fill_a_part();
	const struct writer_moment now = moment();
	fake_tracer_events(&thread, (CHUNKS + 2) * FULL, now_ns());
	uint64_t since_ns = load_relaxed(&files.control->trace_gap_since_ns);
	cr_assert(ge(u64, since_ns, now.end_monotonic_ns));
	trace_stream_write_part(&stream, &files.writer, &now, 0);
	cr_assert(eq(u64, load_relaxed(&files.control->trace_gap_since_ns), 0));
	cr_expect(gt(u64, stream.spool.note.from_ns, since_ns));
	cr_expect(eq(u64, stream.lost, trace_assembly_lost(&files.writer)),
		  "the next part does not count it again");
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
}

/* Parts are as large as they are meant to be, however long one takes. */
Test(trace_stream, closes_a_part_while_another_is_made)
{
	tick();
	int done[2];
	cr_assert(zero(pipe2(done, O_CLOEXEC)));
	pid_t maker = fork();
	if (maker == 0) {
		char byte;
		close(done[1]);
		_exit(read(done[0], &byte, 1) == 0 ? 0 : 1);
	}
	stream.parts.maker = maker;
	for (uint32_t part = 1; part <= 2; part++) {
		fill_a_part();
		cr_expect(lt(u32, stream.spool.page_count, TRACE_PART_PAGES + 2 * CHUNKS));
		const struct writer_moment now = moment();
		trace_stream_write_part(&stream, &files.writer, &now, 0);
		cr_expect(eq(u32, stream.spool.page_count, 0));
		cr_expect(eq(u32, stream.parts.waiting, part));
		cr_expect(eq(int, stream.parts.maker, maker));
	}
	close(done[1]);
	close(done[0]);
	const struct writer_moment now = moment();
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	cr_expect(eq(u32, stream.parts.waiting, 0));
	cr_expect(fake_files_inode(&files, "fake.7.1.trace") != 0);
	cr_expect(fake_files_inode(&files, "fake.7.2.trace") != 0);
}

/* A trace is not cut for those. */
Test(trace_stream, waits_for_no_part_that_nobody_will_make)
{
	tick();
	pid_t maker = fork();
	if (maker == 0)
		_exit(1);
	stream.parts = (struct trace_parts){.maker = maker, .may_wait = true, .waiting = 100};
	cr_expect(not(trace_parts_are_made(&stream.parts, 0)));
	fake_tracer_events(&thread, 3 * FULL, 1000);
	tick();
	cr_expect(eq(u64, stream.spool.note.cut_ns, 0));
	cr_expect(eq(u64, spooled(), 2 * FULL));
}

/* The end comes while there is much that no part was made of yet. */
Test(trace_stream, makes_no_part_of_what_is_written_already)
{
	fill_a_part();
	const struct writer_moment now = moment();
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	cr_expect(not(trace_stream_has_part(&stream)));
	trace_stream_close(&stream, &files.writer);
	cr_expect(eq(ulong, fake_files_inode(&files, SPOOL), 0));
	cr_expect(eq(sz, fake_files_count(&files), 2));
}

/* A spool becomes a part, and everybody dies before its files are made. */
static void leave_part(void)
{
	fake_tracer_events(&thread, 4 * FULL, now_ns());
	tick();
	const struct writer_moment now = moment();
	cr_assert(zero(
		trace_parts_close_spool(&stream.parts, &files.writer, &stream.spool, &stream.tables, &now)));
	cr_assert(fake_files_inode(&files, ".fake.7.1.trace-spool") != 0);
	die();
}

Test(trace_stream, makes_the_part_that_a_dead_collector_left)
{
	leave_part();
	tick();
	cr_expect(stream.spool.note.from_ns != files.control->start_monotonic_ns,
		  "it goes on behind the part");
	cr_assert(trace_stream_has_part(&stream));
	const struct writer_moment now = moment();
	trace_stream_write_part(&stream, &files.writer, &now, 0);
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	cr_expect(fake_files_inode(&files, "fake.7.1.trace") != 0);
	cr_expect(fake_files_inode(&files, "fake.7.1.perfetto-trace") != 0);
	cr_expect(eq(ulong, fake_files_inode(&files, ".fake.7.1.trace-spool"), 0));
	cr_expect(not(trace_stream_has_part(&stream)));
}

/* Who makes it may outlive the collector that started it. */
Test(trace_stream, leaves_a_part_alone_that_somebody_makes)
{
	leave_part();
	int fd = open(fixture_path(".fake.7.1.trace-spool"), O_RDWR | O_CLOEXEC);
	cr_assert(zero(flock(fd, LOCK_EX)));
	tick();
	const struct writer_moment now = moment();
	trace_stream_write_part(&stream, &files.writer, &now, 0);
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	cr_expect(eq(ulong, fake_files_inode(&files, "fake.7.1.trace"), 0));
	close(fd);
}

/* The disk is full: what the spool took of it is given back first. */
Test(trace_stream, gives_up_the_spool_of_a_trace_that_was_cut)
{
	const struct rlimit limit = {TRACE_SPOOL_HEAD_BYTES + 4096 * 4, RLIM_INFINITY};
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	const struct writer_moment now = moment();
	struct stat st;
	signal(SIGXFSZ, SIG_IGN);
	tick();
	cr_assert(zero(setrlimit(RLIMIT_FSIZE, &limit)));
	fake_tracer_events(&thread, 7 * FULL, now_ns());
	tick();
	cr_assert(zero(setrlimit(RLIMIT_FSIZE, &none)));
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	ino_t first = fake_files_inode(&files, "fake.7.trace");
	cr_expect(first != 0);
	cr_assert(zero(stat(fixture_path(SPOOL), &st)));
	cr_expect(eq(long, st.st_size, TRACE_SPOOL_HEAD_BYTES));
	fake_tracer_events(&thread, 1, now_ns());
	cr_assert(zero(trace_stream_write(&stream, &files.writer, &now, 0)));
	cr_expect(eq(ulong, fake_files_inode(&files, "fake.7.trace"), first), "it is not written again");
}

Test(trace_stream, keeps_the_spool_of_a_trace_that_could_not_be_written)
{
	fake_tracer_events(&thread, 3 * FULL, now_ns());
	tick();
	trace_stream_close(&stream, &files.writer);
	cr_expect(fake_files_inode(&files, SPOOL) != 0);
}
