/* SPDX-License-Identifier: MIT */
/*
 * Which files a process image gets, under which names, and which of them change.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fake_image.h"
#include "fixture.h"
#include "log.h"

#define ONE CPROF_WEIGHT_ONE

static struct fake_files files;
static const struct writer_moment now = {.owner = RING_OWNER_RUNNING, .root_fd = -1};

static void end(void)
{
	fake_files_close(&files);
	fixture_end();
}

TestSuite(writer, .init = fixture_begin, .fini = end);

static ino_t inode_of(const char *name)
{
	return fake_files_inode(&files, name);
}

static size_t file_count(void)
{
	return fake_files_count(&files);
}

Test(writer, gives_the_first_process_both_profiles_even_when_they_are_empty)
{
	fake_files_open(&files, true);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect(inode_of("fake.7.cpu.pb.gz"));
	cr_expect(inode_of("fake.7.heap.pb.gz"));
}

Test(writer, writes_no_profile_of_what_was_off)
{
	fake_files_open(&files, true);
	store_relaxed(&files.control->cpu_hz, 0);
	files.control->heap_state = CPROF_HEAP_UNAVAILABLE;
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect_eq(file_count(), 0);
	/* But what was sampled before it was switched off is not thrown away. */
	fake_files_record(&files, 1, CPROF_KIND_CPU, ONE, 10000000);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect(inode_of("fake.7.cpu.pb.gz"));
	cr_expect_eq(file_count(), 1);
}

Test(writer, gives_later_processes_only_profiles_with_samples)
{
	fake_files_open(&files, false);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect_eq(file_count(), 0);
	fake_files_record(&files, 1, CPROF_KIND_ALLOC, ONE, 100);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect(inode_of("fake.7.heap.pb.gz"));
	cr_expect_eq(file_count(), 1);
}

Test(writer, rewrites_only_what_has_changed)
{
	fake_files_open(&files, true);
	uint32_t stack = fake_leaf(&files.image.segment, 1);
	fake_record(&files.image.segment, files.image.slot, stack, CPROF_KIND_ALLOC, ONE, 100);
	fake_live_add(&files.image.segment, 0x7000, stack, ONE, 100);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	ino_t cpu = inode_of("fake.7.cpu.pb.gz");
	ino_t heap = inode_of("fake.7.heap.pb.gz");
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect_eq(inode_of("fake.7.heap.pb.gz"), heap);
	fake_live_remove(&files.image.segment, 0x7000);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect_neq(inode_of("fake.7.heap.pb.gz"), heap);
	cr_expect_eq(inode_of("fake.7.cpu.pb.gz"), cpu);
	cr_expect_eq(file_count(), 2);
}

Test(writer, keeps_one_instance_for_all_files_and_overwrites_nobody)
{
	fake_files_open(&files, true);
	fake_files_make(&files, "fake.7.cpu.pb.gz");
	fake_files_make(&files, "fake.7-2.cpu.pb.gz");
	ino_t foreign = inode_of("fake.7.cpu.pb.gz");
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect_eq(inode_of("fake.7.cpu.pb.gz"), foreign);
	cr_expect(inode_of("fake.7-3.cpu.pb.gz"));
	cr_expect(inode_of("fake.7-3.heap.pb.gz"));
	cr_expect_eq(file_count(), 4);
}

Test(writer, goes_on_where_a_dead_collector_stopped)
{
	fake_files_open(&files, true);
	fake_files_make(&files, "fake.7.cpu.pb.gz");
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	size_t before = file_count();
	ino_t heap = inode_of("fake.7-2.heap.pb.gz");
	cr_assert(heap);
	struct writer dead = files.writer;
	fake_files_restart(&files);
	cr_expect_str_eq(files.writer.files[PROFILE_CPU], dead.files[PROFILE_CPU]);
	cr_expect_str_eq(files.writer.files[PROFILE_HEAP], dead.files[PROFILE_HEAP]);
	fake_files_record(&files, 1, CPROF_KIND_ALLOC, ONE, 100);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect_neq(inode_of("fake.7-2.heap.pb.gz"), heap);
	cr_expect_eq(file_count(), before);
}

Test(writer, gives_the_first_process_contention_profiles_when_they_are_on)
{
	fake_files_open(&files, true);
	store_relaxed(&files.control->block_rate_ns, 1);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect(inode_of("fake.7.block.pb.gz"));
	cr_expect(inode_of("fake.7.threadcreate.pb.gz"));
	cr_expect_eq(file_count(), 4);
	store_relaxed(&files.control->mutex_fraction, 1);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect(inode_of("fake.7.mutex.pb.gz"));
	cr_expect_eq(file_count(), 5);
}

Test(writer, remembers_a_profile_that_was_switched_off)
{
	fake_files_open(&files, true);
	store_relaxed(&files.control->rates_changed, CPROF_RATE_MUTEX);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect(inode_of("fake.7.mutex.pb.gz"));
	cr_expect(!inode_of("fake.7.block.pb.gz"));
}

Test(writer, writes_started_threads_only_along_with_contention)
{
	fake_files_open(&files, false);
	fake_files_record(&files, 1, CPROF_KIND_THREADCREATE, ONE, 0);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect_eq(file_count(), 0);
	fake_files_record(&files, 1, CPROF_KIND_BLOCK, ONE, 5);
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect(inode_of("fake.7.block.pb.gz"));
	cr_expect(inode_of("fake.7.threadcreate.pb.gz"));
	cr_expect_eq(file_count(), 2);
}

Test(writer, makes_one_harmless_component_of_any_name)
{
	static const char *const names[][2] = {
		{"../../etc/x", ".._.._etc_x"}, {"", "unknown"}, {"..", "unknown"}, {"a\nb", "a_b"}};
	fake_files_open(&files, true);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		memset(files.control->name, 0, CPROF_NAME_BYTES);
		memcpy(files.control->name, names[i][0], strlen(names[i][0]));
		fake_files_restart(&files);
		cr_expect_str_eq(files.writer.name, names[i][1]);
	}
	memset(files.control->name, 'x', CPROF_NAME_BYTES);
	fake_files_restart(&files);
	cr_expect_eq(strlen(files.writer.name), CPROF_NAME_BYTES - 1);
}

Test(writer, says_once_that_files_cannot_be_written)
{
	int ends[2];
	char text[1024];
	fake_files_open(&files, true);
	cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	log_open(ends[1], LOG_LEVEL_WARN);
	int real = files.dir.fd;
	files.dir.fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* takes no new files */
	cr_expect_lt(writer_write_final(&files.writer, &now), 0);
	cr_expect_lt(writer_write_final(&files.writer, &now), 0);
	ssize_t n = read(ends[0], text, sizeof text - 1);
	cr_assert_gt(n, 0);
	text[n] = '\0';
	cr_expect_eq(strchr(text, '\n'), text + n - 1, "%s", text);
	cr_expect(strstr(text, fixture_dir), "%s", text);
	close(files.dir.fd);
	/* And goes on when they can. */
	files.dir.fd = real;
	cr_expect_eq(writer_write_final(&files.writer, &now), 0);
	cr_expect_eq(file_count(), 2);
}
