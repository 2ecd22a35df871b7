/* SPDX-License-Identifier: MIT */
/*
 * Copying the module table while it grows, and finding the files behind it.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "fake_segment.h"
#include "image.h"
#include "module_rows.h"

static struct fake_segment fake;
static struct segment_reader reader;
static struct module_rows rows;

static void open_segment(void)
{
	fake_segment_create(&fake, CPROF_SEGMENT_BYTES_MIN);
	cr_assert_eq(segment_reader_open(dup(fake.fd), &reader), 0);
}

static void close_segment(void)
{
	module_rows_free(&rows);
	segment_reader_close(&reader);
	fake_segment_destroy(&fake);
	image_close_all();
}

static struct cprof_module *row_at(uint32_t row)
{
	return (struct cprof_module *)(void *)(fake.base + fake.geometry.modules_offset) + row;
}

static const char *own_path(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	cr_assert_gt(n, 0);
	path[n] = '\0';
	return path;
}

Test(module_rows, are_copied_once_and_in_order)
{
	open_segment();
	fake_module(&fake, 0, "/nonexistent/a", 0x1000);
	fake_module(&fake, 2, "/nonexistent/c", 0x3000);
	cr_expect_eq(module_rows_update(&rows, &reader, -1), 2);
	cr_expect_eq(module_rows_update(&rows, &reader, -1), 0);
	/* Published late, in the middle. */
	fake_module(&fake, 1, "/nonexistent/b", 0x2000);
	cr_expect_eq(module_rows_update(&rows, &reader, -1), 1);
	cr_expect_eq(module_rows_update(&rows, &reader, -1), 0);
	cr_assert_eq(rows.count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		cr_expect_eq(rows.modules[i].id, i);
		cr_expect_eq(rows.modules[i].bias, 0x1000 * (i + 1));
		cr_expect_null(rows.modules[i].image);
	}
	cr_expect_str_eq(rows.modules[1].path, "/nonexistent/b");
	close_segment();
}

Test(module_rows, follow_an_object_that_was_loaded_elsewhere)
{
	open_segment();
	fake_module(&fake, 0, "/nonexistent/a", 0x1000);
	module_rows_update(&rows, &reader, -1);
	row_at(0)->bias = 0x5000;
	module_rows_refresh(&rows, &reader);
	cr_expect_eq(rows.modules[0].bias, 0x5000);
	row_at(0)->path_bytes = 0; /* no longer sound: what was known stays */
	row_at(0)->bias = 0x6000;
	module_rows_refresh(&rows, &reader);
	cr_expect_eq(rows.modules[0].bias, 0x5000);
	close_segment();
}

Test(module_rows, pass_over_nonsense)
{
	open_segment();
	for (uint32_t i = 0; i < 5; i++)
		fake_module(&fake, i, "/nonexistent/a", 0x1000);
	row_at(0)->path_offset = UINT32_MAX;
	row_at(1)->path_bytes = UINT32_MAX;
	row_at(2)->build_id_bytes = CPROF_BUILD_ID_MAX + 1;
	row_at(3)->text_start = UINT64_MAX;
	store_relaxed(&fake_control(&fake)->modules_used, UINT32_MAX);
	cr_expect_eq(module_rows_update(&rows, &reader, -1), 1);
	cr_expect_eq(rows.modules[0].id, 4);
	close_segment();
}

Test(module_rows, open_their_files)
{
	open_segment();
	fake_module(&fake, 0, own_path(), 0x1000);
	module_rows_update(&rows, &reader, -1);
	cr_expect_not_null(rows.modules[0].image);
	close_segment();
}

/* A process may chroot between its registration and our look at its root. */
Test(module_rows, find_a_file_that_is_not_below_the_process_s_new_root)
{
	open_segment();
	int root = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	fake_module(&fake, 0, own_path(), 0x1000);
	module_rows_update(&rows, &reader, root);
	cr_expect_not_null(rows.modules[0].image);
	close(root);
	close_segment();
}
