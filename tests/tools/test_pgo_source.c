/* SPDX-License-Identifier: MIT */
/*
 * What of a function's text counts, and where it ends.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "pgo_source.h"

static uint64_t hash_of(const char *text)
{
	struct pgo_source source;
	pgo_source_take(&source, text, strlen(text));
	uint64_t hash = pgo_source_hash(&source, 1, (uint32_t)source.line_count);
	pgo_source_free(&source);
	return hash;
}

static uint32_t end_of(const char *text)
{
	struct pgo_source source;
	pgo_source_take(&source, text, strlen(text));
	uint32_t end = pgo_source_function_end(&source, 1);
	pgo_source_free(&source);
	return end;
}

#define FUNCTION "int f(int a)\n{\n\treturn a + 1;\n}\n"

Test(pgo_source, does_not_mind_space_and_comments)
{
	uint64_t hash = hash_of(FUNCTION);
	cr_expect_eq(hash, hash_of("int f(int a)\n  {\n return   a + 1; \n}\n"));
	cr_expect_eq(hash, hash_of("int f(int a) // one more\n{\n\treturn a /* this */ + 1;\n}\n"));
	cr_expect_eq(hash, hash_of("int f(int a)\r\n{\r\n\treturn a + 1;\r\n}\r\n"));
}

Test(pgo_source, minds_what_moves_or_changes_a_line)
{
	uint64_t hash = hash_of(FUNCTION);
	cr_expect_neq(hash, hash_of("int f(int a)\n{\n\n\treturn a + 1;\n}\n"));
	cr_expect_neq(hash, hash_of("int f(int a)\n{\n\t/* one\n\tmore */ return a + 1;\n}\n"));
	cr_expect_neq(hash, hash_of("int f(int a)\n{\n\treturn a + 2;\n}\n"));
	cr_expect_neq(hash, hash_of("int f(int a)\n{\n\treturna + 1;\n}\n"));
}

Test(pgo_source, keeps_to_the_letter_of_literals)
{
	cr_expect_neq(hash_of("f(\"a  b\");"), hash_of("f(\"a b\");"));
	cr_expect_neq(hash_of("f(\"// a\");"), hash_of("f(\"// b\");"));
	cr_expect_eq(hash_of("f(\"\\\"\"); // a"), hash_of("f(\"\\\"\"); // b"));
}

Test(pgo_source, hashes_the_lines_it_is_asked_for)
{
	struct pgo_source source;
	const char *text = "before\n" FUNCTION "after";
	pgo_source_take(&source, text, strlen(text));
	cr_assert_eq(source.line_count, 6);
	cr_expect_eq(pgo_source_hash(&source, 2, 4), hash_of(FUNCTION));
	cr_expect_eq(pgo_source_hash(&source, 6, 100), hash_of("after"));
	cr_expect_eq(pgo_source_hash(&source, 7, 1), hash_of(""));
	cr_expect_eq(pgo_source_hash(&source, 100, 1), hash_of(""));
	cr_expect_eq(pgo_source_hash(&source, 0, 1), hash_of(""));
	pgo_source_free(&source);
}

Test(pgo_source, finds_the_end_of_functions)
{
	cr_expect_eq(end_of(FUNCTION "int g;\n"), 4);
	cr_expect_eq(end_of("f()\n{\n\tif (a) {\n\t} else {\n\t}\n}\nint g() {}\n"), 6);
	cr_expect_eq(end_of("f() { return \"}\"[0]; } // }\n}\n"), 1);
	cr_expect_eq(end_of("f()\n{\n\tc = '{'; /* {\n { */\n}\n"), 5);
	cr_expect_eq(end_of("s::s()\n\t: a{1}, b{2}\n{\n}\n"), 4);
	cr_expect_eq(end_of("s() = default;\nint f()\n{\n}\n"), 1);
	cr_expect_eq(end_of("f(a)\nint a;\n{\n}\n"), 4);
	cr_expect_eq(end_of("f()\n{\n#if A\n\tif (a) {\n#else\n\tif (b) {\n#endif\n\t}\n}\nint g() {\n}\n"),
		     9);
	cr_expect_eq(end_of("DEFINE(x);\nf()\n{\n}\n"), 1);
}

Test(pgo_source, ends_where_nothing_closes)
{
	cr_expect_eq(end_of("}\n"), 1);
	cr_expect_eq(end_of("f()\n{\n"), 1);
	cr_expect_eq(end_of("f()\n{\n/* no end"), 1);
	cr_expect_eq(end_of(""), 1);
}
