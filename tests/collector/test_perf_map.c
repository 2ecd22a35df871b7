/* SPDX-License-Identifier: MIT */
/*
 * Files as JIT compilers write them, and as they should not be.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "perf_map.h"

TestSuite(perf_map, .init = fixture_begin, .fini = fixture_end);

static void expect_name(const struct perf_map *map, uint64_t address, const char *name)
{
	const char *found = perf_map_find(map, address);
	cr_expect(name ? found && !strcmp(found, name) : !found, "%#lx: %s", address,
		  found ? found : "(none)");
}

Test(perf_map, reads_start_size_and_name)
{
	static const char text[] = "7f0010 20 LazyCompile:~add /app/x.js:1\n"
				   "0x7f0030 0x10 with prefix\n"
				   "7F0040\t10\tupper\n";
	struct perf_map *map = perf_map_parse(text, sizeof(text) - 1);
	expect_name(map, 0x7f000f, NULL);
	expect_name(map, 0x7f0010, "LazyCompile:~add /app/x.js:1");
	expect_name(map, 0x7f002f, "LazyCompile:~add /app/x.js:1");
	expect_name(map, 0x7f0030, "with prefix");
	expect_name(map, 0x7f004f, "upper");
	expect_name(map, 0x7f0050, NULL);
	perf_map_free(map);
}

Test(perf_map, believes_the_later_of_two_lines)
{
	static const char text[] = "1000 100 first\n1040 20 second\n1000 10 third\n";
	struct perf_map *map = perf_map_parse(text, sizeof(text) - 1);
	expect_name(map, 0x1008, "third");
	expect_name(map, 0x1010, "first");
	expect_name(map, 0x1050, "second");
	expect_name(map, 0x1060, "first");
	perf_map_free(map);
}

Test(perf_map, skips_lines_that_make_no_sense)
{
	static const char text[] = "\n \nx\n10\n10 20\n10 20 \n-1 5 negative\nzz 5 no number\n"
				   "ffffffffffffffff 2 beyond\n12345678901234567 1 too long\n100 0 empty\n"
				   "200 10 good\n300 10 cut off";
	struct perf_map *map = perf_map_parse(text, sizeof(text) - 1);
	expect_name(map, 0x10, NULL);
	expect_name(map, 0x100, NULL);
	expect_name(map, 0x205, "good");
	expect_name(map, 0x300, NULL);
	expect_name(map, UINT64_MAX, NULL);
	perf_map_free(map);
	map = perf_map_parse("", 0);
	expect_name(map, 0, NULL);
	perf_map_free(map);
	perf_map_free(NULL);
}

Test(perf_map, survives_noise)
{
	static const char alphabet[] = "0123456789abcdefxX \t\n\0-";
	unsigned seed = 11;
	for (int round = 0; round < 3000; round++) {
		char text[300];
		size_t size = (size_t)rand_r(&seed) % sizeof(text);
		for (size_t i = 0; i < size; i++)
			text[i] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		struct perf_map *map = perf_map_parse(text, size);
		cr_assert_not_null(map);
		for (uint64_t address = 0; address < 64; address++)
			perf_map_find(map, address);
		perf_map_free(map);
	}
}

Test(perf_map, is_read_in_the_root_of_the_process)
{
	fixture_run("mkdir tmp");
	fixture_write("tmp/perf-42.map", "1000 10 jitted\n");
	int root = open(fixture_dir, O_PATH | O_DIRECTORY);
	struct perf_map *map = perf_map_load(root, 42, getuid());
	cr_assert_not_null(map);
	expect_name(map, 0x1005, "jitted");
	perf_map_free(map);
	cr_expect_null(perf_map_load(root, 43, getuid()));
	/* Somebody else could have put these there. */
	fixture_run("ln -s perf-42.map tmp/perf-44.map; mkfifo tmp/perf-45.map; mkdir tmp/perf-46.map");
	cr_expect_null(perf_map_load(root, 44, getuid()));
	cr_expect_null(perf_map_load(root, 45, getuid()));
	cr_expect_null(perf_map_load(root, 46, getuid()));
	if (geteuid() == 0) {
		cr_assert_eq(chown(fixture_path("tmp/perf-42.map"), 65534, 65534), 0);
		cr_expect_null(perf_map_load(root, 42, getuid()));
		map = perf_map_load(root, 42, 65534);
		cr_expect_not_null(map);
		perf_map_free(map);
	}
}
