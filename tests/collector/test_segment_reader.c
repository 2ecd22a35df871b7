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

/* Asked of the segment as it is. */
static bool finds_nothing_with(void (*change)(struct fake_segment *fake))
{
	struct fake_segment fake;
	fake_segment_create(&fake, CPROF_SEGMENT_BYTES_MIN);
	(void)fake_thread_start(&fake);
	change(&fake);
	bool is_nothing = segment_reader_finds_nothing(fake.fd);
	fake_segment_destroy(&fake);
	return is_nothing;
}

static void leave_alone(struct fake_segment *fake)
{
	(void)fake;
}

static void leave_a_record(struct fake_segment *fake)
{
	store_relaxed(&fake_thread(fake, 0)->head, UINT64_C(1));
}

static void leave_a_total(struct fake_segment *fake)
{
	cr_assert(fake_total_add(fake, cprof_total_key(1, CPROF_KIND_CPU, 0), CPROF_WEIGHT_ONE, 1));
}

static void leave_half_a_total(struct fake_segment *fake)
{
	leave_a_total(fake);
	store_relaxed(&fake_control(fake)->total_levels_used, UINT32_C(0));
}

static void leave_a_block(struct fake_segment *fake)
{
	fake_live_add(fake, 0x1000, 1, CPROF_WEIGHT_ONE, 64);
}

static void leave_a_trace(struct fake_segment *fake)
{
	store_relaxed(&fake_control(fake)->trace_asked, (uint32_t)CPROF_TRACE_FLIGHT);
}

static void leave_a_wish(struct fake_segment *fake)
{
	store_relaxed(&fake_control(fake)->snapshot_requested, UINT32_C(1));
}

static void leave_a_last_wish(struct fake_segment *fake)
{
	store_relaxed(&fake_control(fake)->final_requested, UINT32_C(1));
}

static void leave_a_window(struct fake_segment *fake)
{
	store_relaxed(&fake_control(fake)->flight_requested, UINT32_C(1));
}

static void leave_many_threads(struct fake_segment *fake)
{
	store_relaxed(&fake_control(fake)->threads_used, UINT32_MAX);
}

static void leave_another_version(struct fake_segment *fake)
{
	fake_control(fake)->version++;
}

Test(segment_reader, finds_nothing_where_nothing_was_recorded_or_asked_for)
{
	static void (*const changes[])(struct fake_segment *) = {
		leave_a_record,     leave_a_total,        leave_half_a_total, leave_a_block,
		leave_a_trace,      leave_a_wish,         leave_a_last_wish,  leave_a_window,
		leave_many_threads, leave_another_version};
	cr_expect(finds_nothing_with(leave_alone));
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
		cr_expect_not(finds_nothing_with(changes[i]), "change %zu", i);
	int unsealed = memfd_with(CPROF_SEGMENT_BYTES_MIN, 0);
	cr_expect_not(segment_reader_finds_nothing(unsealed));
	cr_expect_not(segment_reader_finds_nothing(-1));
	close(unsealed);
	char *path = temp_path();
	struct fake_segment file;
	fake_segment_create_file(&file, path, CPROF_SEGMENT_BYTES_MIN);
	cr_expect_not(segment_reader_finds_nothing(file.fd), "its file has to be removed");
	fake_segment_destroy(&file);
	remove_temp(path);
}
