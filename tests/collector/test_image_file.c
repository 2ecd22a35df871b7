/* SPDX-License-Identifier: MIT */
/*
 * Which file is opened for an object, and what becomes of it when the file does not
 * stay as it is.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fixture.h"
#include "image.h"
#include "image_probe.h"

TestSuite(image_file, .init = fixture_begin, .fini = image_probe_end);

Test(image_file, opens_only_the_file_that_was_loaded)
{
	image_probe_build_library();
	uint8_t id[CPROF_BUILD_ID_MAX], other[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	memcpy(other, id, sizeof(other));
	other[0] ^= 1;
	cr_expect_null(image_probe_open_at(fixture_path("full"), -1, other, bytes));
	cr_expect_null(image_probe_open_at(fixture_path("full"), -1, id, bytes - 1));
	cr_expect_null(image_probe_open_at(fixture_path("none"), -1, id, bytes));
	cr_expect_null(image_probe_open_at("full", -1, id, bytes), "relative to what?");
	fixture_run("mkfifo fifo; mkdir dir; echo text >text; : >empty");
	cr_expect_null(image_probe_open_at(fixture_path("fifo"), -1, id, bytes));
	cr_expect_null(image_probe_open_at(fixture_path("dir"), -1, id, bytes));
	cr_expect_null(image_probe_open_at(fixture_path("text"), -1, id, bytes));
	cr_expect_null(image_probe_open_at(fixture_path("empty"), -1, id, bytes));
	cr_expect_null(image_probe_open_at("/dev/null", -1, id, bytes));
	cr_expect_not_null(image_probe_open_at(fixture_path("full"), -1, id, bytes));
}

Test(image_file, identifies_files_without_a_build_id_by_inode)
{
	fixture_write("l.c", image_probe_library_c);
	fixture_run("gcc -O1 -shared -fPIC l.c -o anonymous -Wl,--build-id=none; cp anonymous copy");
	struct stat st;
	cr_assert_eq(stat(fixture_path("anonymous"), &st), 0);
	struct image_source source = {
		.path = fixture_path("copy"), .root_fd = -1, .device = st.st_dev, .inode = st.st_ino};
	cr_expect_null(image_open(&source));
	source.path = fixture_path("anonymous");
	struct image *image = image_open(&source);
	cr_assert_not_null(image);
	cr_expect_str_eq(image_probe_frames_of(image, "anonymous", "exported_one"),
			 "exported_one(exported_one)");
	source.path = fixture_path("copy");
	cr_expect_eq(image_open(&source), image, "known by then");
	source.inode = source.device = 0;
	cr_expect_null(image_open(&source));
}

static int count_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

Test(image_file, is_let_go_a_while_after_its_last_holder)
{
	image_probe_build_library();
	int before = count_descriptors();
	struct image *image = image_probe_open("full");
	cr_assert_not_null(image);
	image_hold(image);
	image_hold(image);
	image_close_idle(1000);
	image_release(image);
	image_close_idle(100000);
	cr_expect_str_eq(image_probe_frames_of(image, "full", "exported_one"),
			 image_probe_frames_of(image_probe_open("full"), "full", "exported_one"));
	cr_expect_gt(count_descriptors(), before);
	image_release(image);
	image_close_idle(200000);
	image_close_idle(209999);
	cr_expect_eq(image_probe_open("full"), image, "it may be wanted again");
	image_hold(image);
	image_close_idle(300000);
	image_release(image);
	image_close_idle(400000);
	image_close_idle(410000);
	cr_expect_eq(count_descriptors(), before);
	image_hold(NULL);
	image_release(NULL);
}

Test(image_file, is_let_go_at_once_where_there_are_many)
{
	uint8_t id[CPROF_BUILD_ID_MAX];
	int before = count_descriptors();
	fixture_write("l.c", image_probe_library_c);
	fixture_run("gcc -O1 -c -fPIC l.c; for i in $(seq 100 200); do gcc -shared l.o -o full$i "
		    "-Wl,--build-id=0x12345$i; done");
	for (int i = 100; i <= 200; i++) {
		char name[16];
		snprintf(name, sizeof name, "full%d", i);
		uint32_t bytes = fixture_build_id(name, id);
		cr_expect_not_null(image_probe_open_at(fixture_path(name), -1, id, bytes));
	}
	cr_expect_eq(count_descriptors(), before + 101);
	image_close_idle(1);
	cr_expect_eq(count_descriptors(), before + 64);
}

Test(image_file, is_opened_once_for_all_processes)
{
	image_probe_build_library();
	fixture_run("cp full elsewhere");
	cr_expect_eq(image_probe_open("full"), image_probe_open("elsewhere"));
	image_close_all();
	image_close_all();
	cr_expect_not_null(image_probe_open("full"));
}

Test(image_file, stays_readable_when_the_file_is_gone)
{
	uint64_t hidden = image_probe_build_library();
	struct image *image = image_probe_open("full");
	fixture_run("rm full; echo replaced >full");
	cr_expect_str_eq(image_probe_frames(image, hidden), "hidden_one(hidden_one)");
}

/* ---- a file that is gone before it was opened ------------------------------------------------- */

/* Loads the library here, and removes its file: as a row of the module table says it. */
static struct image_source load_and_remove(void)
{
	static uint8_t id[CPROF_BUILD_ID_MAX];
	char range[64] = "";
	struct link_map *map = dlopen(fixture_path("full"), RTLD_NOW);
	cr_assert_not_null(map, "%s", dlerror());
	struct image_source source = {.path = fixture_path("full"),
				      .root_fd = -1,
				      .pid = (uint32_t)getpid(),
				      .build_id = id,
				      .build_id_bytes = fixture_build_id("full", id),
				      .bias = map->l_addr,
				      .start = map->l_addr};
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096];
	while (fgets(line, sizeof line, maps))
		if (strstr(line, fixture_path("full")) && strstr(line, " r-xp "))
			snprintf(range, sizeof range, "%.60s", line);
	fclose(maps);
	cr_assert_eq(sscanf(range, "%lx-%lx", &source.text_start, &source.text_end), 2);
	fixture_run("mv full kept");
	return source;
}

/* As most collectors are: without the right to follow the links of map_files. */
static void become_ordinary(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};
	cr_assert_eq(syscall(SYS_capset, &header, none), 0);
}

Test(image_file, finds_a_file_that_is_gone_by_its_mapping)
{
	char link[96];
	uint64_t hidden = image_probe_build_library();
	struct image_source source = load_and_remove();
	snprintf(link, sizeof link, "/proc/self/map_files/%lx-%lx", source.text_start, source.text_end);
	int fd = open(link, O_RDONLY);
	if (fd < 0)
		cr_skip_test("no right to follow the links of map_files");
	close(fd);
	struct image *image = image_open(&source);
	cr_assert_not_null(image);
	cr_expect_str_eq(image_probe_frames(image, hidden), "hidden_one(hidden_one)");
}

Test(image_file, takes_exported_names_from_the_memory_of_a_process)
{
	uint64_t hidden = image_probe_build_library();
	struct image_source source = load_and_remove();
	become_ordinary();
	struct image *image = image_open(&source);
	cr_assert_not_null(image);
	cr_expect_str_eq(image_probe_frames_of(image, "kept", "exported_one"), "exported_one(exported_one)");
	cr_expect_str_eq(image_probe_frames_of(image, "kept", "exported_two"), "exported_two(exported_two)");
	cr_expect_str_eq(image_probe_frames(image, hidden), "");
	cr_expect_not(image_has_lines(image));
}

Test(image_file, takes_nothing_from_memory_that_is_another_object)
{
	image_probe_build_library();
	struct image_source source = load_and_remove();
	uint8_t other[CPROF_BUILD_ID_MAX];
	memcpy(other, source.build_id, sizeof other);
	other[0] ^= 1;
	become_ordinary();
	const uint64_t start = source.start;
	source.start = 4096;
	cr_expect_null(image_open(&source), "nothing is mapped there");
	source.start = (uint64_t)(uintptr_t)other & ~UINT64_C(4095);
	cr_expect_null(image_open(&source), "no object");
	source.start = start;
	source.bias += 4096;
	cr_expect_null(image_open(&source), "not where it is said to be");
	source.bias -= 4096;
	source.build_id = other;
	cr_expect_null(image_open(&source));
}

/* The program may do with its memory what it likes while it is read: any byte of it may be wrong. */
Test(image_file, survives_damaged_memory, .timeout = 120)
{
	image_probe_build_library();
	struct image_source source = load_and_remove();
	become_ordinary();
	const size_t size = 20480;
	unsigned char *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned seed = 7;
	unsigned opened = 0;
	cr_assert_neq((void *)copy, MAP_FAILED);
	const int64_t moved_by = (int64_t)((uintptr_t)copy - source.start);
	struct iovec to = {.iov_base = copy, .iov_len = size};
	for (int round = 0; round < 300; round++) {
		struct iovec from = {.iov_base = (void *)(uintptr_t)source.start, .iov_len = size};
		cr_assert_eq(process_vm_readv(getpid(), &to, 1, &from, 1, 0), (ssize_t)size);
		struct image_source damaged = source;
		damaged.start = (uint64_t)((int64_t)damaged.start + moved_by);
		damaged.bias = (uint64_t)((int64_t)damaged.bias + moved_by);
		int count = round ? 1 + rand_r(&seed) % 30 : 0;
		/* Mostly of what is read first: the headers. */
		for (int i = 0; i < count; i++)
			copy[(size_t)rand_r(&seed) % (i % 2 ? 1024 : size)] = (unsigned char)rand_r(&seed);
		struct image *image = image_open(&damaged);
		opened += image != NULL;
		for (uint64_t address = 0x1000; image && address < 0x1200; address += 16)
			image_probe_frames(image, address);
		image_close_all();
	}
	cr_expect_gt(opened, 0);
}

Test(image_file, does_not_die_with_a_file_that_is_cut_in_place)
{
	uint64_t hidden = image_probe_build_library();
	struct image *image = image_probe_open("full");
	/* Maps the file. */
	cr_expect_str_eq(image_probe_frames(image, hidden), "hidden_one(hidden_one)");
	cr_assert_eq(truncate(fixture_path("full"), 0), 0);
	for (uint64_t address = 0x1000; address < 0x1400; address++)
		image_probe_frames(image, address);
}

Test(image_file, follows_links_inside_the_root_of_the_process)
{
	image_probe_build_library();
	fixture_run("mkdir -p root/real root/usr; cp full root/real/lib.so; ln -s /real root/usr/lib; "
		    "ln -s ../../../../real/lib.so root/real/up.so");
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	int root = open(fixture_path("root"), O_PATH | O_DIRECTORY);
	struct image *image = image_probe_open_at("/usr/lib/lib.so", root, id, bytes);
	cr_expect_not_null(image);
	image_close_all();
	cr_expect_not_null(image_probe_open_at("/real/up.so", root, id, bytes));
	/* What the process's root does not have is looked for in our own: the build id decides. */
	image_close_all();
	cr_expect_not_null(image_probe_open_at(fixture_path("full"), root, id, bytes));
	close(root);
}

Test(image_file, asks_no_server_unless_allowed)
{
	image_probe_build_library();
	cr_assert_eq(setenv("DEBUGINFOD_URLS", "http://127.0.0.1:1/", 1), 0);
	struct image *image = image_probe_open("stripped");
	image_probe_frames(image, 0);
	cr_expect_null(getenv("DEBUGINFOD_URLS"));
}

/*
 * Any byte of a file may be wrong.  Headers and debug sections are damaged with a
 * fixed seed; what comes out does not matter, that something comes out does.
 */
Test(image_file, survives_damaged_files, .timeout = 120)
{
	fixture_write("s.cc", image_probe_scopes_cc);
	fixture_run("g++ -O2 -g s.cc -o good");
	struct stat st;
	cr_assert_eq(stat(fixture_path("good"), &st), 0);
	unsigned char *bytes = malloc((size_t)st.st_size);
	FILE *file = fopen(fixture_path("good"), "r");
	cr_assert_eq(fread(bytes, 1, (size_t)st.st_size, file), (size_t)st.st_size);
	fclose(file);
	unsigned seed = 5;
	unsigned opened = 0;
	for (int round = 0; round < 150; round++) {
		unsigned char *damaged = malloc((size_t)st.st_size);
		memcpy(damaged, bytes, (size_t)st.st_size);
		int count = 1 + rand_r(&seed) % 30;
		for (int i = 0; i < count; i++)
			damaged[64 + (size_t)rand_r(&seed) % ((size_t)st.st_size - 64)] =
				(unsigned char)rand_r(&seed);
		file = fopen(fixture_path("bad"), "w");
		fwrite(damaged, 1, (size_t)st.st_size, file);
		fclose(file);
		free(damaged);
		uint8_t id[CPROF_BUILD_ID_MAX];
		struct image *image = image_probe_open_at(fixture_path("bad"), -1, id,
							  fixture_build_id("bad", id));
		opened += image != NULL;
		for (uint64_t address = 0x1000; image && address < 0x2000; address += 5)
			image_probe_frames(image, address);
		image_close_all();
	}
	free(bytes);
	cr_expect_gt(opened, 50);
}
