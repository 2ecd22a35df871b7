/* SPDX-License-Identifier: MIT */
/* Settings, time stamps, and which files are kept. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interval.h"

static struct interval_config config;
static char error[INTERVAL_ERROR_BYTES];

static int read_config(const char *interval, const char *keep)
{
	error[0] = '\0';
	return interval_config_read(interval, keep, &config, error);
}

Test(interval, off_unless_asked_for)
{
	cr_expect(eq(int, read_config(NULL, NULL), 0));
	cr_expect(eq(i64, config.period_ms, 0));
	cr_expect(eq(int, read_config("0", "3"), 0));
	cr_expect(eq(i64, config.period_ms, 0));
	cr_expect(interval_open(&config) == NULL);
}

Test(interval, durations_are_read)
{
	cr_assert(eq(int, read_config("10m", NULL), 0), "%s", error);
	cr_expect(eq(i64, config.period_ms, 600000));
	cr_expect(eq(u32, config.keep, INTERVAL_KEEP_DEFAULT));
	cr_assert(eq(int, read_config("1500ms", "0"), 0));
	cr_expect(eq(i64, config.period_ms, 1500));
	cr_expect(eq(u32, config.keep, 0));
}

Test(interval, nonsense_gives_one_line)
{
	static const char *const bad[] = {"x", "10", "999ms", "-1s", "99999999h", "1d"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_expect(eq(int, read_config(bad[i], NULL), -EINVAL), "%s", bad[i]);
		cr_expect(eq(i64, config.period_ms, 0));
		cr_expect(strstr(error, "CPROF_INTERVAL=") == error && !strchr(error, '\n'), "%s", error);
	}
	cr_expect(eq(int, read_config("1m", "few"), -EINVAL));
	cr_expect(strstr(error, "CPROF_KEEP=few") == error);
	cr_expect(eq(i64, config.period_ms, 60000), "the interval is good all the same");
	cr_expect(eq(u32, config.keep, INTERVAL_KEEP_DEFAULT));
}

Test(interval, stamps_sort_as_time_does)
{
	char stamp[INTERVAL_STAMP_BYTES];
	interval_stamp(INT64_C(1795337007) * 1000000000, stamp);
	cr_expect(eq(str, stamp, "20261122T084327Z"));
	interval_stamp(0, stamp);
	cr_expect(eq(str, stamp, "19700101T000000Z"));
}

static char directory[] = "/tmp/test_interval.XXXXXX";
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

Test(interval, keeps_the_newest_of_each_kind, .init = make_directory, .fini = remove_directory)
{
	make("app.7.cpu.20260101T000000Z.pb.gz");
	make("app.7.cpu.20260101T000100Z.pb.gz");
	make("app.7.cpu.20260101T000200Z.pb.gz");
	make("app.7.heap.20260101T000000Z.pb.gz");
	make("app.7.heap.20260101T000200Z.pb.gz");
	interval_prune(dir_fd, "app.7", "20260101T000000Z", 2);
	cr_expect(not(exists("app.7.cpu.20260101T000000Z.pb.gz")));
	cr_expect(exists("app.7.cpu.20260101T000100Z.pb.gz"));
	cr_expect(exists("app.7.cpu.20260101T000200Z.pb.gz"));
	cr_expect(exists("app.7.heap.20260101T000000Z.pb.gz"));
	cr_expect(exists("app.7.heap.20260101T000200Z.pb.gz"));
}

Test(interval, leaves_what_is_not_its_own, .init = make_directory, .fini = remove_directory)
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
	interval_prune(dir_fd, "app.7", "20260101T000000Z", 1);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		cr_expect(exists(others[i]), "%s", others[i]);
	cr_expect(not(exists("app.7.cpu.20260101T000000Z.pb.gz")));
	interval_prune(dir_fd, "app.7", "20260101T000000Z", 0);
	cr_expect(exists("app.7.cpu.20260101T000100Z.pb.gz"), "0 keeps all");
}
