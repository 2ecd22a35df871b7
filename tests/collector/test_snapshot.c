/* SPDX-License-Identifier: MIT */
/*
 * Files of a process that runs on: one moment, one number, nobody's file replaced.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake_image.h"
#include "fixture.h"
#include "log.h"
#include "snapshot.h"

#define ONE CPROF_WEIGHT_ONE
#define BIT(kind) (1u << (kind))
#define ALL (BIT(PROFILE_KIND_COUNT) - 1)

static struct fake_files files;
static struct snapshot snapshot;
static const struct writer_moment now = {.owner = RING_OWNER_RUNNING, .root_fd = -1};

static void begin(void)
{
	fixture_begin();
	fake_files_open(&files, false);
	store_relaxed(&files.control->block_rate_ns, 1);
	store_relaxed(&files.control->mutex_fraction, 1);
}

static void end(void)
{
	fake_files_close(&files);
	fixture_end();
}

TestSuite(snapshot, .init = begin, .fini = end);

static int take(unsigned kinds)
{
	const struct snapshot_request request = {.kinds = kinds};
	return snapshot_write(&files.writer, &now, &request, &snapshot);
}

static void expect_files(size_t count)
{
	size_t named = snapshot.threads_text.name[0] != '\0';
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++)
		named += snapshot.files[kind].name[0] != '\0';
	cr_expect_eq(named, count);
	cr_expect_eq(fake_files_count(&files), count);
}

Test(snapshot, gives_kinds_of_one_moment_one_number)
{
	const struct profile threads = {.time_ns = 1};
	const struct snapshot_request request = {.kinds = ALL, .threads = &threads};
	cr_expect_eq(snapshot_write(&files.writer, &now, &request, &snapshot), 0);
	cr_expect_eq(snapshot.number, 1);
	cr_expect_str_eq(snapshot.files[PROFILE_CPU].name, "fake.7.cpu.1.pb.gz");
	cr_expect_str_eq(snapshot.files[PROFILE_HEAP].name, "fake.7.heap.1.pb.gz");
	cr_expect_str_eq(snapshot.files[PROFILE_BLOCK].name, "fake.7.block.1.pb.gz");
	cr_expect_str_eq(snapshot.files[PROFILE_MUTEX].name, "fake.7.mutex.1.pb.gz");
	cr_expect_str_eq(snapshot.files[PROFILE_THREADCREATE].name, "fake.7.threadcreate.1.pb.gz");
	cr_expect_str_eq(snapshot.files[PROFILE_THREADS].name, "fake.7.threads.1.pb.gz");
	expect_files(6);
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++)
		cr_expect(fake_files_inode(&files, snapshot.files[kind].name));
	cr_expect_eq(load_relaxed(&files.control->snapshots_done), 1);
}

Test(snapshot, counts_on_whatever_kind_is_asked_for)
{
	cr_expect_eq(take(BIT(PROFILE_BLOCK)), 0);
	cr_expect_eq(take(BIT(PROFILE_HEAP)), 0);
	cr_expect_str_eq(snapshot.files[PROFILE_HEAP].name, "fake.7.heap.2.pb.gz");
	fake_files_restart(&files); /* another collector took over */
	cr_expect_eq(take(BIT(PROFILE_BLOCK) | BIT(PROFILE_HEAP)), 0);
	cr_expect_str_eq(snapshot.files[PROFILE_BLOCK].name, "fake.7.block.3.pb.gz");
	cr_expect_str_eq(snapshot.files[PROFILE_HEAP].name, "fake.7.heap.3.pb.gz");
	cr_expect_eq(fake_files_count(&files), 4);
}

Test(snapshot, tells_what_is_not_profiled_and_writes_the_rest)
{
	store_relaxed(&files.control->block_rate_ns, 0);
	store_relaxed(&files.control->mutex_fraction, 0);
	files.control->heap_state = CPROF_HEAP_UNAVAILABLE;
	cr_expect_eq(take(ALL), -ENOTSUP);
	cr_expect_eq(snapshot.files[PROFILE_CPU].error, 0);
	cr_expect_str_eq(snapshot.files[PROFILE_CPU].name, "fake.7.cpu.1.pb.gz");
	for (int kind = PROFILE_HEAP; kind < PROFILE_KIND_COUNT; kind++)
		cr_expect_eq(snapshot.files[kind].error, -ENOTSUP, "kind %d", kind);
	expect_files(1);
	/* Nothing at all uses up no number. */
	cr_expect_eq(take(BIT(PROFILE_BLOCK)), -ENOTSUP);
	cr_expect_eq(snapshot.number, 0);
	cr_expect_eq(load_relaxed(&files.control->snapshots_done), 1);
}

Test(snapshot, has_what_was_recorded_before_it_was_switched_off)
{
	store_relaxed(&files.control->block_rate_ns, 0);
	fake_files_record(&files, 1, CPROF_KIND_BLOCK, ONE, 1000);
	cr_expect_eq(take(BIT(PROFILE_BLOCK)), 0);
	expect_files(1);
}

Test(snapshot, keeps_its_files_together_and_replaces_none)
{
	fake_files_make(&files, "fake.7.heap.1.pb.gz");
	fake_files_make(&files, "fake.7-2.block.1.pb.gz");
	ino_t foreign = fake_files_inode(&files, "fake.7.heap.1.pb.gz");
	cr_expect_eq(take(BIT(PROFILE_CPU) | BIT(PROFILE_HEAP) | BIT(PROFILE_BLOCK)), 0);
	cr_expect_str_eq(snapshot.files[PROFILE_CPU].name, "fake.7-3.cpu.1.pb.gz");
	cr_expect_str_eq(snapshot.files[PROFILE_HEAP].name, "fake.7-3.heap.1.pb.gz");
	cr_expect_str_eq(snapshot.files[PROFILE_BLOCK].name, "fake.7-3.block.1.pb.gz");
	cr_expect_eq(fake_files_inode(&files, "fake.7.heap.1.pb.gz"), foreign);
	/* The final files bear the same name. */
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	fake_files_record(&files, 1, CPROF_KIND_MUTEX, ONE, 1000);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect(fake_files_inode(&files, "fake.7-3.mutex.pb.gz"));
}

Test(snapshot, puts_threads_into_a_profile_and_a_text)
{
	static const char text[] = "thread 8 \"worker\" [mutex]:\n";
	const struct profile_label labels[] = {{.key = "thread", .text = "worker"},
					       {.key = "state", .text = "mutex"}};
	const struct profile_sample sample = {.labels = labels, .label_count = 2, .values = {1}};
	const char *const comments[] = {"# all is well"};
	const struct profile threads = {.samples = &sample,
					.sample_count = 1,
					.time_ns = 5,
					.comments = comments,
					.comment_count = 1};
	const struct snapshot_request request = {.kinds = BIT(PROFILE_THREADS),
						 .threads = &threads,
						 .threads_text = text,
						 .threads_text_bytes = sizeof text - 1};
	setenv("CPROF_RUN", "nightly", 1);
	fake_files_make(&files, "fake.7.threads.1.txt");
	cr_expect_eq(snapshot_write(&files.writer, &now, &request, &snapshot), 0);
	cr_expect_str_eq(snapshot.files[PROFILE_THREADS].name, "fake.7-2.threads.1.pb.gz");
	cr_expect_str_eq(snapshot.threads_text.name, "fake.7-2.threads.1.txt");
	cr_expect_str_eq(fixture_run("cat fake.7-2.threads.1.txt"), text);
	cr_expect_eq(fake_files_count(&files), 3);
	if (!fixture_has("go"))
		return;
	const char *raw = fixture_run("go tool pprof -raw fake.7-2.threads.1.pb.gz");
	cr_expect(strstr(raw, "PeriodType: threads count\nPeriod: 1\n"), "%s", raw);
	cr_expect(strstr(raw, "threads/count\n          1: "), "%s", raw);
	cr_expect(strstr(raw, "state:[mutex] thread:[worker]"), "%s", raw);
	const char *said = fixture_run("go tool pprof -comments fake.7-2.threads.1.pb.gz");
	cr_expect_str_eq(said, "# all is well\n# cprof: run nightly\n");
}

Test(snapshot, of_the_heap_says_in_one_line_that_there_is_none)
{
	int ends[2];
	char text[1024];
	cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	log_open(ends[1], LOG_LEVEL_WARN);
	cr_expect_eq(snapshot_write_heap(&files.writer, &now), 0);
	files.control->heap_state = CPROF_HEAP_OFF;
	cr_expect_eq(snapshot_write_heap(&files.writer, &now), -ENOTSUP);
	ssize_t n = read(ends[0], text, sizeof text - 1);
	cr_assert_gt(n, 0);
	text[n] = '\0';
	cr_expect_str_eq(text, "cprof: no heap snapshot of fake (7): its heap is not profiled\n");
	cr_expect_eq(fake_files_count(&files), 1);
}

Test(snapshot, fails_where_nothing_can_be_written)
{
	int real = files.dir.fd;
	files.dir.fd = -1;
	cr_expect_eq(take(ALL), -EBADF);
	files.dir.fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* takes no new files */
	cr_expect_lt(take(BIT(PROFILE_CPU)), 0);
	cr_expect_lt(snapshot.files[PROFILE_CPU].error, 0);
	cr_expect_eq(load_relaxed(&files.control->snapshots_done), 0);
	close(files.dir.fd);
	files.dir.fd = real;
	cr_expect_eq(take(BIT(PROFILE_CPU)), 0);
	cr_expect_eq(snapshot.number, 1);
}
