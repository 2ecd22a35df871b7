/* SPDX-License-Identifier: MIT */
/*
 * Profiles read back, and functions that moved or changed in a source tree.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pgo_check.h"
#include "pgo_read_llvm.h"
#include "pgo_text.h"

static struct pgo_tree tree;
static struct pgo_origins origins;
static char directory[64], path[128];

static void begin(void)
{
	strcpy(directory, "/tmp/cprof-unit.XXXXXX");
	cr_assert(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/a.c", directory);
}

static void end(void)
{
	unlink(path);
	rmdir(directory);
	pgo_tree_fini(&tree);
	pgo_origins_fini(&origins);
}

TestSuite(pgo_check, .init = begin, .fini = end);

static int read_text(const char *text, unsigned long *out_line)
{
	FILE *from = fmemopen((char *)(uintptr_t)text, strlen(text), "r");
	int error = pgo_read_llvm(&tree, from, out_line);
	fclose(from);
	return error;
}

static void write_source(const char *text)
{
	FILE *to = fopen(path, "w");
	cr_assert(to);
	fputs(text, to);
	fclose(to);
}

#define F "int f(int a)\n{\n\treturn g(a);\n}\n"
#define G "int g(int a)\n{\n\treturn a + 1;\n}\n"
#define PROFILE            \
	"f:38:10\n"        \
	" 2: 10 x:7 y:3\n" \
	" 3.2: 20\n"       \
	" 2: g:8\n"        \
	"  2: 5\n"         \
	"  2.1: h:3\n"     \
	"   1: 3\n"        \
	"g:4:4\n"          \
	" 2: 4\n"

/* The profile of f and g as they are in F G, below a directory that is no more. */
static void prepare(void)
{
	unsigned long line;
	size_t missing, newer;
	cr_assert_eq(read_text(PROFILE, &line), 0);
	write_source(F G);
	pgo_origins_add(&origins, "f", path, 1);
	pgo_origins_add(&origins, "g", path, 5);
	pgo_origins_seal(&origins);
	pgo_origins_hash(&origins, INT64_MAX, &missing, &newer);
	cr_expect_eq(missing, 0);
	cr_expect_eq(newer, 0);
	for (size_t i = 0; i < origins.count; i++)
		origins.items[i].path = "/build/src/a.c";
}

static struct pgo_check check(const char *source)
{
	struct pgo_check found;
	write_source(source);
	pgo_check_tree(&tree, &origins, directory, &found);
	return found;
}

static void expect(struct pgo_check found, size_t same, size_t moved, size_t changed, size_t unknown)
{
	cr_expect_eq(found.same, same, "%zu are the same", found.same);
	cr_expect_eq(found.moved, moved, "%zu moved", found.moved);
	cr_expect_eq(found.changed, changed, "%zu changed", found.changed);
	cr_expect_eq(found.unknown, unknown, "%zu unknown", found.unknown);
}

Test(pgo_check, reads_what_it_writes)
{
	unsigned long line;
	cr_assert_eq(read_text(PROFILE, &line), 0);
	cr_expect_str_eq(pgo_text(&tree), PROFILE);
}

Test(pgo_check, passes_over_comments_and_attributes)
{
	unsigned long line;
	cr_assert_eq(read_text("# a comment\n\nf:1:1\n 1: 1\n !CFGChecksum: 5\n", &line), 0);
	cr_expect_str_eq(pgo_text(&tree), "f:1:1\n 1: 1\n");
}

Test(pgo_check, names_the_line_that_is_something_else)
{
	static const char *const wrong[] = {
		"f:1:1\nnonsense\n", "f:1:1\n  1: 1\n",       "f:1:1\n x: 1\n", "f:1:1\n 1: g\n",
		"f:1:1\n 1 1\n",     "f:1:1\n 1: 2 target\n", "f:1:1\nf::\n",   "f:1:1\n 1: 1\n   2: 1\n",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		unsigned long line = 0;
		cr_expect_eq(read_text(wrong[i], &line), -EBADMSG, "%s", wrong[i]);
		cr_expect_eq(line, i == 7 ? 3 : 2, "%s: line %lu", wrong[i], line);
		pgo_tree_fini(&tree);
	}
}

Test(pgo_check, keeps_what_is_the_same)
{
	prepare();
	expect(check(F G), 2, 0, 0, 1);
	cr_expect_str_eq(pgo_text(&tree), PROFILE);
}

Test(pgo_check, keeps_what_moved)
{
	prepare();
	expect(check("\n\n\n" F "\n" G), 0, 2, 0, 1);
	cr_expect_str_eq(pgo_text(&tree), PROFILE);
}

Test(pgo_check, leaves_out_what_changed_wherever_it_is)
{
	prepare();
	expect(check(F "int g(int a)\n{\n\n\treturn a + 1;\n}\n"), 1, 0, 1, 1);
	cr_expect_str_eq(pgo_text(&tree), "f:30:10\n 2: 10 x:7 y:3\n 3.2: 20\n");
}

Test(pgo_check, leaves_out_what_is_gone)
{
	prepare();
	expect(check(G), 0, 1, 1, 1);
	cr_expect_str_eq(pgo_text(&tree), "g:4:4\n 2: 4\n");
}

Test(pgo_check, keeps_what_it_cannot_judge)
{
	prepare();
	origins.items[0].path = "/build/src/elsewhere.c";
	expect(check(G), 0, 1, 0, 2);
	cr_expect_str_eq(pgo_text(&tree), PROFILE);
}

Test(pgo_check, keeps_origins_in_a_file)
{
	char text[1024] = "";
	struct pgo_origins again = {0};
	prepare();
	origins.items[1].path = "/with space/a.c";
	FILE *to = fmemopen(text, sizeof text, "w");
	cr_assert_eq(pgo_origins_write(&origins, to), 0);
	fclose(to);
	FILE *from = fmemopen(text, strlen(text), "r");
	cr_assert_eq(pgo_origins_read(&again, from), 0);
	fclose(from);
	cr_assert_eq(again.count, 2);
	for (size_t i = 0; i < 2; i++) {
		cr_expect_str_eq(again.items[i].name, origins.items[i].name);
		cr_expect_str_eq(again.items[i].path, origins.items[i].path);
		cr_expect_eq(again.items[i].hash, origins.items[i].hash);
		cr_expect_eq(again.items[i].first_hash, origins.items[i].first_hash);
		cr_expect_eq(again.items[i].last, origins.items[i].first + 3);
	}
	pgo_origins_fini(&again);
}

Test(pgo_check, refuses_other_files_of_origins)
{
	static const char *const wrong[] = {"",
					    "f:1:1\n",
					    "cprof pgo sources 1\nx\n",
					    "cprof pgo sources 1\n1 2 0 1 f a\n",
					    "cprof pgo sources 1\n1 2 4294967295 4294967295 f a\n",
					    "cprof pgo sources 1\n1 2 1 1 f\n"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct pgo_origins again = {0};
		FILE *from = wrong[i][0] ? fmemopen((char *)(uintptr_t)wrong[i], strlen(wrong[i]), "r")
					 : fopen("/dev/null", "r");
		cr_expect_eq(pgo_origins_read(&again, from), -EBADMSG, "%s", wrong[i]);
		fclose(from);
		pgo_origins_fini(&again);
	}
}
