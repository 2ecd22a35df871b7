/* SPDX-License-Identifier: MIT */
/* Time stamps, and which files are kept. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interval_files.h"

Test(interval_files, stamps_sort_as_time_does)
{
	char stamp[INTERVAL_STAMP_BYTES];
	interval_files_stamp(INT64_C(1795337007) * 1000000000, stamp);
	cr_expect(eq(str, stamp, "20261122T084327Z"));
	interval_files_stamp(0, stamp);
	cr_expect(eq(str, stamp, "19700101T000000Z"));
}

static char directory[] = "/tmp/test_interval_files.XXXXXX";
static int dir_fd;

static void make_directory(void)
{
	cr_assert(mkdtemp(directory) != NULL);
	dir_fd = open(directory, O_RDONLY | O_DIRECTORY);
}

static void remove_directory(void)
{
	DIR *open_directory = opendir(directory);
	for (const struct dirent *entry; (entry = readdir(open_directory));)
		unlinkat(dir_fd, entry->d_name, 0);
	closedir(open_directory);
	cr_expect(eq(int, rmdir(directory), 0));
	close(dir_fd);
}

static void make(const char *name)
{
	int fd = openat(dir_fd, name, O_CREAT | O_WRONLY, 0600);
	cr_assert(ge(int, fd, 0));
	close(fd);
}

static bool exists(const char *name)
{
	return faccessat(dir_fd, name, F_OK, 0) == 0;
}

Test(interval_files, keeps_the_newest_of_each_kind, .init = make_directory, .fini = remove_directory)
{
	make("app.7.cpu.20260101T000000Z.pb.gz");
	make("app.7.cpu.20260101T000100Z.pb.gz");
	make("app.7.cpu.20260101T000200Z.pb.gz");
	make("app.7.heap.20260101T000000Z.pb.gz");
	make("app.7.heap.20260101T000200Z.pb.gz");
	interval_files_prune_named(dir_fd, "app.7", "20260101T000000Z", 2);
	cr_expect(not(exists("app.7.cpu.20260101T000000Z.pb.gz")));
	cr_expect(exists("app.7.cpu.20260101T000100Z.pb.gz"));
	cr_expect(exists("app.7.cpu.20260101T000200Z.pb.gz"));
	cr_expect(exists("app.7.heap.20260101T000000Z.pb.gz"));
	cr_expect(exists("app.7.heap.20260101T000200Z.pb.gz"));
}

Test(interval_files, leaves_what_is_not_its_own, .init = make_directory, .fini = remove_directory)
{
	static const char *const others[] = {
		"app.7.cpu.20251231T235959Z.pb.gz", /* of an earlier process with this number */
		"app.7-2.cpu.20260101T000000Z.pb.gz",
		"app.77.cpu.20260101T000000Z.pb.gz",
		"app.7.cpu.pb.gz",
		"app.7.heap.1.pb.gz",
		"app.7.cpu.20260101T000000.pb.gz",
		"app.7.cpu.20260101T000000Z.pb.gz~",
		"app.7.other.20260101T000000Z.pb.gz",
		"myapp.7.cpu.20260101T000000Z.pb.gz",
		"app.7.cpu.2026O101T000000Z.pb.gz",
	};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		make(others[i]);
	make("app.7.cpu.20260101T000000Z.pb.gz");
	make("app.7.cpu.20260101T000100Z.pb.gz");
	interval_files_prune_named(dir_fd, "app.7", "20260101T000000Z", 1);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		cr_expect(exists(others[i]), "%s", others[i]);
	cr_expect(not(exists("app.7.cpu.20260101T000000Z.pb.gz")));
	interval_files_prune_named(dir_fd, "app.7", "20260101T000000Z", 0);
	cr_expect(exists("app.7.cpu.20260101T000100Z.pb.gz"), "0 keeps all");
}
