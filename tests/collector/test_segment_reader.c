/* SPDX-License-Identifier: MIT */
/*
 * What is accepted as a segment, where its data is, and what happens when its file is
 * cut under our feet.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_segment.h"
#include "segment_reader.h"

static int open_result(int fd)
{
	struct segment_reader reader;
	int error = segment_reader_open(fd, &reader);
	if (!error)
		segment_reader_close(&reader);
	else
		close(fd);
	return error;
}

static int memfd_with(uint64_t bytes, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct cprof_control control = {.magic = CPROF_MAGIC, .version = CPROF_SHM_VERSION};
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	cr_assert_geq(pwrite(fd, &control, bytes < sizeof control ? bytes : sizeof control, 0), 0);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static char *temp_path(void)
{
	static char path[64];
	strcpy(path, "/tmp/cprof-test-XXXXXX");
	cr_assert(mkdtemp(path));
	strcat(path, "/segment");
	return path;
}

static void remove_temp(char *path)
{
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

static const int all_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Test(segment_reader, accepts_a_sealed_memfd_of_a_valid_size_only)
{
	cr_expect_eq(open_result(memfd_with(CPROF_SEGMENT_BYTES_MIN, all_seals)), 0);
	cr_expect_eq(open_result(memfd_with(CPROF_SEGMENT_BYTES_MIN, 0)), -EINVAL);
	cr_expect_eq(open_result(memfd_with(CPROF_SEGMENT_BYTES_MIN, F_SEAL_GROW | F_SEAL_SHRINK)), -EINVAL);
	cr_expect_eq(open_result(memfd_with(CPROF_SEGMENT_BYTES_MIN, F_SEAL_GROW)), -EINVAL);
	cr_expect_eq(open_result(memfd_with(0, all_seals)), -EINVAL);
	cr_expect_eq(open_result(memfd_with(4096, all_seals)), -EINVAL);
	cr_expect_eq(open_result(memfd_with(CPROF_SEGMENT_BYTES_MIN - CPROF_SEGMENT_GRAIN, all_seals)),
		     -EINVAL);
	cr_expect_eq(open_result(memfd_with(CPROF_SEGMENT_BYTES_MIN + 4096, all_seals)), -EINVAL);
	cr_expect_eq(open_result(memfd_with(CPROF_SEGMENT_BYTES_MAX + CPROF_SEGMENT_GRAIN, all_seals)),
		     -EINVAL);
}

Test(segment_reader, tells_strangers_from_other_versions)
{
	int fd = memfd_with(CPROF_SEGMENT_BYTES_MIN, all_seals);
	uint32_t other = CPROF_SHM_VERSION + 1;
	cr_assert_eq(pwrite(fd, &other, sizeof other, offsetof(struct cprof_control, version)), sizeof other);
	cr_expect_eq(open_result(fd), -EPROTONOSUPPORT);
	fd = memfd_with(CPROF_SEGMENT_BYTES_MIN, all_seals);
	cr_assert_eq(pwrite(fd, &other, sizeof other, 0), sizeof other);
	cr_expect_eq(open_result(fd), -EPROTO);
}

Test(segment_reader, accepts_regular_files_and_nothing_else)
{
	struct fake_segment fake;
	char *path = temp_path();
	fake_segment_create_file(&fake, path, CPROF_SEGMENT_BYTES_MIN);
	cr_expect_eq(open_result(open(path, O_RDWR | O_CLOEXEC)), 0);
	cr_expect_eq(open_result(open("/dev/zero", O_RDWR | O_CLOEXEC)), -EINVAL);
	cr_expect_eq(open_result(open("/", O_RDONLY | O_CLOEXEC)), -EINVAL);
	fake_segment_destroy(&fake);
	remove_temp(path);
}

static blkcnt_t blocks_of(int fd)
{
	struct stat st;
	cr_assert_eq(fstat(fd, &st), 0);
	return st.st_blocks;
}

Test(segment_reader, finds_the_data_between_the_holes_without_filling_them)
{
	struct fake_segment fake;
	struct segment_reader reader;
	fake_segment_create(&fake, 4 * CPROF_SEGMENT_BYTES_MIN);
	uint64_t table = fake.geometry.totals_offset;
	fake.base[table + 3 * 4096 + 7] = 1;
	fake.base[table + 4 * 4096] = 1;
	fake.base[table + 9 * 4096] = 1;
	cr_assert_eq(segment_reader_open(dup(fake.fd), &reader), 0);
	blkcnt_t blocks = blocks_of(fake.fd);
	uint64_t start;
	uint64_t end;
	uint64_t table_end = table + 20 * 4096;
	cr_assert(segment_reader_next_data(&reader, table, table_end, &start, &end));
	cr_expect_eq(start, table + 3 * 4096);
	cr_expect_eq(end, table + 5 * 4096);
	cr_assert(segment_reader_next_data(&reader, end, table_end, &start, &end));
	cr_expect_eq(start, table + 9 * 4096);
	cr_expect_eq(end, table + 10 * 4096);
	cr_expect_not(segment_reader_next_data(&reader, end, table_end, &start, &end));
	cr_expect_not(segment_reader_next_data(&reader, table, table, &start, &end));
	/* A run is cut where the caller's interest ends. */
	cr_assert(segment_reader_next_data(&reader, table, table + 3 * 4096 + 100, &start, &end));
	cr_expect_eq(end, table + 3 * 4096 + 100);
	unsigned char *copy = calloc(20, 4096);
	cr_assert_eq(segment_reader_copy(&reader, table, 20 * 4096, copy), 0);
	cr_expect_eq(memcmp(copy, fake.base + table, 3 * 4096), 0);
	cr_expect_eq(copy[3 * 4096 + 7], 1);
	cr_expect_eq(copy[9 * 4096], 1);
	free(copy);
	cr_expect_leq(blocks_of(fake.fd), blocks + 3 * 8); /* what memcmp() above touched */
	segment_reader_close(&reader);
	fake_segment_destroy(&fake);
}

Test(segment_reader, survives_a_file_that_is_cut_while_it_is_read)
{
	struct fake_segment fake;
	struct segment_reader reader;
	char *path = temp_path();
	fake_segment_create_file(&fake, path, CPROF_SEGMENT_BYTES_MIN);
	cr_assert_eq(segment_reader_open(dup(fake.fd), &reader), 0);
	struct cprof_thread *thread = segment_reader_thread(&reader, 3);
	store_relaxed(&thread->head, 77);
	cr_expect_not(segment_reader_is_damaged(&reader));
	cr_assert_eq(ftruncate(fake.fd, 8192), 0);
	cr_expect_eq(load_relaxed(&thread->head), 0);
	store_relaxed(&thread->head, 5);
	cr_expect_eq(load_relaxed(&thread->head), 5);
	cr_expect(segment_reader_is_damaged(&reader));
	cr_expect_eq(segment_reader_control(&reader)->magic, CPROF_MAGIC);
	unsigned char copy[64] = {0};
	cr_expect_eq(segment_reader_copy(&reader, reader.geometry.frames_offset, sizeof copy, copy), 0);
	segment_reader_close(&reader);
	fake_segment_destroy(&fake);
	remove_temp(path);
}

Test(segment_reader, still_dies_of_a_foreign_sigbus, .signal = SIGBUS)
{
	struct fake_segment fake;
	struct segment_reader reader;
	fake_segment_create(&fake, CPROF_SEGMENT_BYTES_MIN);
	cr_assert_eq(segment_reader_open(fake.fd, &reader), 0); /* installs the handler */
	int fd = memfd_create("foreign", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(fd, 4096), 0);
	volatile char *foreign = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(foreign, MAP_FAILED);
	(void)foreign[4096];
}

Test(segment_reader, guards_many_segments_at_once)
{
	enum { COUNT = 40 };
	struct segment_reader readers[COUNT];
	char *path = temp_path();
	for (int i = 0; i < COUNT; i++) {
		struct fake_segment fake;
		fake_segment_create_file(&fake, path, CPROF_SEGMENT_BYTES_MIN);
		unlink(path);
		cr_assert_eq(segment_reader_open(dup(fake.fd), &readers[i]), 0);
		fake_segment_destroy(&fake);
	}
	for (int i = 0; i < COUNT; i += 2)
		cr_assert_eq(ftruncate(readers[i].fd, 8192), 0);
	for (int i = 0; i < COUNT; i++) {
		cr_expect_eq(load_relaxed(&segment_reader_thread(&readers[i], 1)->head), 0);
		cr_expect_eq(segment_reader_is_damaged(&readers[i]), i % 2 == 0);
		segment_reader_close(&readers[i]);
	}
	remove_temp(path);
}
