/* SPDX-License-Identifier: MIT */
/*
 * Names, modes, taken names, symbolic links, full disks.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "output.h"

TestSuite(output, .init = fixture_begin, .fini = fixture_end);

static int open_fixture_dir(void)
{
	int fd = output_open_dir(fixture_dir);
	cr_assert_geq(fd, 0);
	return fd;
}

static char *listing(void)
{
	return fixture_run("ls -A1");
}

Test(output, makes_the_directory_with_its_parents)
{
	struct stat st;
	const char *path = fixture_path("a/b//c");
	int fd = output_open_dir(path);
	cr_assert_geq(fd, 0);
	cr_expect_eq(fstat(fd, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0700);
	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	/* Again, with and without a slash, and relative. */
	cr_expect_geq(output_open_dir(path), 0);
	cr_expect_geq(output_open_dir(fixture_path("a/b/")), 0);
	cr_expect_geq(output_open_dir("/"), 0);
	cr_expect_geq(output_open_dir("."), 0);
	fixture_write("file", "");
	cr_expect_eq(output_open_dir(fixture_path("file")), -ENOTDIR);
	cr_expect_eq(output_open_dir(fixture_path("file/below")), -ENOTDIR);
	cr_expect_eq(output_open_dir(""), -ENOENT);
}

Test(output, names_files_by_program_process_and_kind)
{
	int fd = open_fixture_dir();
	char file[OUTPUT_NAME_MAX];
	struct output_name name = {.name = "app", .pid = 12, .kind = "cpu", .instance = 1};
	cr_assert_eq(output_write(fd, &name, "one", 3, file), 0);
	cr_expect_str_eq(file, "app.12.cpu.pb.gz");
	cr_expect_eq(name.instance, 1);
	name.number = 3;
	cr_assert_eq(output_write(fd, &name, "", 0, file), 0);
	cr_expect_str_eq(file, "app.12.cpu.3.pb.gz");
	cr_expect_str_eq(listing(), "app.12.cpu.3.pb.gz\napp.12.cpu.pb.gz\n");
	cr_expect_str_eq(fixture_run("cat app.12.cpu.pb.gz"), "one");
}

Test(output, keeps_the_name_in_one_component)
{
	int fd = open_fixture_dir();
	char file[OUTPUT_NAME_MAX];
	struct output_name name = {.name = "../a\nb", .pid = 1, .kind = "cpu", .instance = 1};
	cr_assert_eq(output_write(fd, &name, "", 0, file), 0);
	cr_expect_str_eq(file, ".._a_b.1.cpu.pb.gz");
	char long_name[400];
	memset(long_name, 'x', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	name.name = long_name;
	cr_expect_eq(output_write(fd, &name, "", 0, file), -ENAMETOOLONG);
	cr_expect_str_eq(file, ".._a_b.1.cpu.pb.gz", "untouched on failure");
}

Test(output, ignores_the_umask)
{
	int fd = open_fixture_dir();
	char file[OUTPUT_NAME_MAX];
	struct output_name name = {.name = "app", .pid = 1, .kind = "cpu", .instance = 1};
	for (mode_t mask = 0; mask <= 0777; mask += 0777) {
		umask(mask);
		cr_assert_eq(output_write(fd, &name, "", 0, file), 0);
		struct stat st;
		cr_assert_eq(fstatat(fd, file, &st, 0), 0);
		cr_expect_eq(st.st_mode & 07777, 0600);
		cr_assert_eq(output_replace(fd, file, "x", 1), 0);
		cr_assert_eq(fstatat(fd, file, &st, 0), 0);
		cr_expect_eq(st.st_mode & 07777, 0600);
	}
	umask(022);
}

Test(output, never_takes_a_name_that_exists)
{
	int fd = open_fixture_dir();
	char file[OUTPUT_NAME_MAX];
	fixture_write("app.5.cpu.pb.gz", "old");
	fixture_write("precious", "precious");
	/* Links are names as well, wherever they lead. */
	cr_assert_eq(symlinkat("precious", fd, "app.5-2.cpu.pb.gz"), 0);
	cr_assert_eq(symlinkat("nowhere", fd, "app.5-3.cpu.pb.gz"), 0);
	struct output_name name = {.name = "app", .pid = 5, .kind = "cpu", .instance = 1};
	cr_assert_eq(output_write(fd, &name, "new", 3, file), 0);
	cr_expect_str_eq(file, "app.5-4.cpu.pb.gz");
	cr_expect_eq(name.instance, 4);
	/* The process keeps its instance for the files that follow. */
	name.kind = "heap";
	cr_assert_eq(output_write(fd, &name, "new", 3, file), 0);
	cr_expect_str_eq(file, "app.5-4.heap.pb.gz");
	cr_expect_str_eq(fixture_run("cat app.5.cpu.pb.gz precious"), "oldprecious");
	cr_expect_str_eq(fixture_run("test -e nowhere || echo none"), "none\n");
}

Test(output, replaces_a_file_as_a_whole)
{
	int fd = open_fixture_dir();
	char file[OUTPUT_NAME_MAX];
	struct output_name name = {.name = "app", .pid = 5, .kind = "heap", .instance = 1};
	cr_assert_eq(output_write(fd, &name, "first", 5, file), 0);
	int reader = openat(fd, file, O_RDONLY);
	cr_assert_eq(output_replace(fd, file, "second", 6), 0);
	char text[16] = "";
	cr_expect_eq(read(reader, text, sizeof(text)), 5);
	cr_expect_str_eq(fixture_run("cat app.5.heap.pb.gz"), "second");
	cr_expect_str_eq(listing(), "app.5.heap.pb.gz\n");
}

Test(output, leaves_nothing_when_a_write_fails)
{
	int fd = open_fixture_dir();
	char file[OUTPUT_NAME_MAX], *big = calloc(1, 1 << 20);
	struct output_name name = {.name = "app", .pid = 5, .kind = "heap", .instance = 1};
	cr_assert_eq(output_write(fd, &name, "first", 5, file), 0);
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit limit = {1 << 16, 1 << 16};
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	name.number = 1;
	cr_expect_eq(output_write(fd, &name, big, 1 << 20, file), -EFBIG);
	cr_expect_eq(output_replace(fd, "app.5.heap.pb.gz", big, 1 << 20), -EFBIG);
	cr_expect_str_eq(listing(), "app.5.heap.pb.gz\n");
	cr_expect_str_eq(fixture_run("cat app.5.heap.pb.gz"), "first");
	free(big);
}

/* Needs to mount, so it runs where it may. */
Test(output, leaves_nothing_on_a_full_disk)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", fixture_dir, "tmpfs", 0, "size=64k") < 0)
		cr_skip_test("no right to mount");
	int fd = open_fixture_dir();
	char file[OUTPUT_NAME_MAX], *big = calloc(1, 1 << 20);
	struct output_name name = {.name = "app", .pid = 5, .kind = "heap", .instance = 1};
	cr_expect_eq(output_write(fd, &name, big, 1 << 20, file), -ENOSPC);
	cr_expect_eq(output_replace(fd, "app", big, 1 << 20), -ENOSPC);
	cr_expect_str_eq(listing(), "");
	cr_expect_eq(output_write(fd, &name, big, 1000, file), 0);
	free(big);
	close(fd);
	umount(fixture_dir);
}

Test(output, reports_a_directory_that_cannot_be_written)
{
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	char file[OUTPUT_NAME_MAX];
	struct output_name name = {.name = "app", .pid = 5, .kind = "heap", .instance = 1};
	int fd = output_open_dir("/");
	cr_assert_geq(fd, 0);
	cr_expect_eq(output_write(fd, &name, "", 0, file), -EACCES);
	cr_expect_eq(output_replace(fd, "app", "", 0), -EACCES);
	cr_expect_eq(output_open_dir("/cprof-test-directory"), -ENOENT);
	cr_expect_eq(seteuid(0), 0);
}
