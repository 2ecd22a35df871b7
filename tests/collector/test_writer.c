/* SPDX-License-Identifier: MIT */
/*
 * Which files a process image gets, under which names, and which of them change.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_segment.h"
#include "image.h"
#include "log.h"
#include "writer.h"

#define ONE CPROF_WEIGHT_ONE

static char path[64];
static struct writer_dir dir;
static struct fake_segment fake;
static struct segment_reader reader;
static struct module_rows rows;
static struct writer writer;
static uint32_t slot;
static const struct writer_moment now = {.owner = RING_OWNER_RUNNING, .root_fd = -1};

static void prepare(bool is_first)
{
	strcpy(path, "/tmp/cprof-test-XXXXXX");
	cr_assert(mkdtemp(path));
	cr_assert_eq(writer_dir_open(&dir, path), 0);
	fake_segment_create(&fake, CPROF_SEGMENT_BYTES_MIN);
	fake_control(&fake)->pid = 7;
	slot = fake_thread_start(&fake);
	cr_assert_eq(segment_reader_open(dup(fake.fd), &reader), 0);
	writer_init(&writer, &reader, &rows, &dir, is_first);
}

static void clean(void)
{
	DIR *list = opendir(path);
	struct dirent *entry;
	while (list && (entry = readdir(list)))
		unlinkat(dirfd(list), entry->d_name, 0);
	closedir(list);
	cr_expect_eq(rmdir(path), 0);
	module_rows_free(&rows);
	segment_reader_close(&reader);
	fake_segment_destroy(&fake);
	image_close_all();
}

/* Inode of a file in the directory, 0 if there is none. */
static ino_t inode_of(const char *file)
{
	struct stat st;
	return fstatat(dir.fd, file, &st, 0) ? 0 : st.st_ino;
}

static size_t file_count(void)
{
	size_t count = 0;
	DIR *list = opendir(path);
	struct dirent *entry;
	while (list && (entry = readdir(list)))
		count += entry->d_name[0] != '.';
	closedir(list);
	return count;
}

static void make_file(const char *file)
{
	int fd = openat(dir.fd, file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
}

Test(writer, gives_the_first_process_both_profiles_even_when_they_are_empty)
{
	prepare(true);
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	cr_expect(inode_of("fake.7.cpu.pb.gz"));
	cr_expect(inode_of("fake.7.heap.pb.gz"));
	clean();
}

Test(writer, writes_no_profile_of_what_was_off)
{
	prepare(true);
	store_relaxed(&fake_control(&fake)->cpu_hz, 0);
	fake_control(&fake)->heap_state = CPROF_HEAP_UNAVAILABLE;
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	cr_expect_eq(file_count(), 0);
	cr_expect_eq(writer_write_snapshot(&writer, &now), -ENOTSUP);
	/* But what was sampled before it was switched off is not thrown away. */
	fake_record(&fake, slot, 0, CPROF_KIND_CPU, ONE, 10000000);
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	cr_expect(inode_of("fake.7.cpu.pb.gz"));
	cr_expect_eq(file_count(), 1);
	clean();
}

Test(writer, gives_later_processes_only_profiles_with_samples)
{
	prepare(false);
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	cr_expect_eq(file_count(), 0);
	fake_record(&fake, slot, fake_leaf(&fake, 1), CPROF_KIND_ALLOC, ONE, 100);
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	cr_expect(inode_of("fake.7.heap.pb.gz"));
	cr_expect_eq(file_count(), 1);
	clean();
}

Test(writer, rewrites_only_what_has_changed)
{
	prepare(true);
	uint32_t stack = fake_leaf(&fake, 1);
	fake_record(&fake, slot, stack, CPROF_KIND_ALLOC, ONE, 100);
	fake_live_add(&fake, 0x7000, stack, ONE, 100);
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	ino_t cpu = inode_of("fake.7.cpu.pb.gz");
	ino_t heap = inode_of("fake.7.heap.pb.gz");
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	cr_expect_eq(inode_of("fake.7.heap.pb.gz"), heap);
	fake_live_remove(&fake, 0x7000);
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	cr_expect_neq(inode_of("fake.7.heap.pb.gz"), heap);
	cr_expect_eq(inode_of("fake.7.cpu.pb.gz"), cpu);
	cr_expect_eq(file_count(), 2);
	clean();
}

Test(writer, keeps_one_instance_for_all_files_and_overwrites_nobody)
{
	prepare(true);
	make_file("fake.7.cpu.pb.gz");
	make_file("fake.7-2.cpu.pb.gz");
	ino_t foreign = inode_of("fake.7.cpu.pb.gz");
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	cr_expect_eq(inode_of("fake.7.cpu.pb.gz"), foreign);
	cr_expect(inode_of("fake.7-3.cpu.pb.gz"));
	cr_expect(inode_of("fake.7-3.heap.pb.gz"));
	cr_expect_eq(writer_write_snapshot(&writer, &now), 0);
	cr_expect(inode_of("fake.7-3.heap.1.pb.gz"));
	cr_expect_eq(file_count(), 5);
	clean();
}

Test(writer, goes_on_where_a_dead_collector_stopped)
{
	struct writer next;
	prepare(true);
	make_file("fake.7.cpu.pb.gz");
	cr_expect_eq(writer_write_snapshot(&writer, &now), 0);
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	size_t before = file_count();
	ino_t heap = inode_of(writer.files[PROFILE_HEAP]);
	writer_init(&next, &reader, &rows, &dir, true);
	cr_expect_str_eq(next.files[PROFILE_CPU], writer.files[PROFILE_CPU]);
	cr_expect_str_eq(next.files[PROFILE_HEAP], writer.files[PROFILE_HEAP]);
	fake_record(&fake, slot, fake_leaf(&fake, 1), CPROF_KIND_ALLOC, ONE, 100);
	cr_expect_eq(writer_write_final(&next, &now), 0);
	cr_expect_neq(inode_of(next.files[PROFILE_HEAP]), heap);
	cr_expect_eq(file_count(), before);
	cr_expect_eq(writer_write_snapshot(&next, &now), 0);
	cr_expect_eq(load_relaxed(&fake_control(&fake)->snapshots_done), 2);
	cr_expect_eq(file_count(), before + 1);
	clean();
}

Test(writer, makes_one_harmless_component_of_any_name)
{
	static const char *const names[][2] = {
		{"../../etc/x", ".._.._etc_x"}, {"", "unknown"}, {"..", "unknown"}, {"a\nb", "a_b"}};
	prepare(true);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		memset(fake_control(&fake)->name, 0, CPROF_NAME_BYTES);
		memcpy(fake_control(&fake)->name, names[i][0], strlen(names[i][0]));
		writer_init(&writer, &reader, &rows, &dir, true);
		cr_expect_str_eq(writer.name, names[i][1]);
	}
	memset(fake_control(&fake)->name, 'x', CPROF_NAME_BYTES);
	writer_init(&writer, &reader, &rows, &dir, true);
	cr_expect_eq(strlen(writer.name), CPROF_NAME_BYTES - 1);
	clean();
}

Test(writer, says_once_that_files_cannot_be_written)
{
	int ends[2];
	char text[1024];
	prepare(true);
	cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	log_open(ends[1], LOG_LEVEL_WARN);
	int real = dir.fd;
	dir.fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* takes no new files */
	cr_expect_lt(writer_write_final(&writer, &now), 0);
	cr_expect_lt(writer_write_snapshot(&writer, &now), 0);
	ssize_t n = read(ends[0], text, sizeof text - 1);
	cr_assert_gt(n, 0);
	text[n] = '\0';
	cr_expect_eq(strchr(text, '\n'), text + n - 1, "%s", text);
	cr_expect(strstr(text, path), "%s", text);
	close(dir.fd);
	/* And goes on when they can. */
	dir.fd = real;
	cr_expect_eq(writer_write_final(&writer, &now), 0);
	cr_expect_eq(file_count(), 2);
	clean();
}
