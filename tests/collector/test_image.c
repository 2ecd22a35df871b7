/* SPDX-License-Identifier: MIT */
/*
 * Programs are compiled here, and what the image says about their code is compared,
 * address by address, with what llvm-symbolizer says, or addr2line where that is
 * not installed.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"
#include "demangle.h"
#include "fixture.h"
#include "image.h"
#include "image_probe.h"

TestSuite(image, .init = fixture_begin, .fini = image_probe_end);

/* ---- asking ---------------------------------------------------------------------------------- */

/* Whether the oracle's name for a frame is ours: it gives plain names without scopes. */
static bool is_same_name(const struct image_line *line, const char *oracle)
{
	size_t length = strlen(line->name), n = strlen(oracle);
	char text[DEMANGLE_MAX];
	if (!strcmp(line->system_name, oracle) || !strcmp(line->name, oracle))
		return true;
	/* A symbol that LTO made up; llvm-symbolizer believes it. */
	if (!strncmp(oracle, "s.cc.", 5))
		return true;
	/* Another alias: the D1 and D2 of a destructor. */
	if (demangle(oracle, text) && !strcmp(line->name, text))
		return true;
	return length > n + 2 && !strcmp(line->name + length - n, oracle) &&
	       !strncmp(line->name + length - n - 2, "::", 2);
}

/*
 * A command that answers as addr2line does; NULL if nothing here gets the compiler's
 * output right: Debian 12's addr2line does so for C, eu-addr2line misses inlined ones.
 */
static const char *oracle_for(const char *compiler)
{
	if (fixture_has("llvm-symbolizer"))
		return "llvm-symbolizer --output-style=GNU --no-demangle";
	if (fixture_has("llvm-symbolizer-14"))
		return "llvm-symbolizer-14 --output-style=GNU --no-demangle";
	return strncmp(compiler, "gcc", 3) ? NULL : "addr2line";
}

struct comparison {
	const char *name;
	struct image *image;
	uint64_t address;
	struct image_line lines[IMAGE_LINES_MAX];
	size_t count;
	size_t at; /* frames of this address that were compared */
	unsigned compared;
	unsigned inlined; /* addresses in inlined functions */
};

static void finish_address(struct comparison *c)
{
	if (c->at)
		cr_expect_eq(c->at, c->count, "%s %#lx: %zu frames, not %zu", c->name, c->address, c->count,
			     c->at);
}

static void compare_frame(struct comparison *c, const char *function, char *place)
{
	/* What the C library brings without debug data. */
	if (!strncmp(place, "??", 2) || !strcmp(function, "??") || !strchr(place, '/'))
		return;
	cr_assert_lt(c->at, c->count, "%s %#lx: %s is missing", c->name, c->address, function);
	const struct image_line *ours = &c->lines[c->at++];
	char *number = strrchr(place, ':');
	cr_assert_not_null(number);
	*number++ = '\0';
	c->compared++;
	cr_expect(is_same_name(ours, function), "%s %#lx: %s, not %s", c->name, c->address, ours->name,
		  function);
	cr_expect_eq(ours->line, (uint32_t)atoi(number), "%s %#lx %s", c->name, c->address, function);
	cr_expect(ours->file && !strcmp(ours->file, place), "%s %#lx: %s, not %s", c->name, c->address,
		  ours->file, place);
}

/* Compares each address of each function.  Returns how many were in inlined functions. */
static unsigned expect_like_addr2line(const char *name, const char *compiler)
{
	const char *oracle = oracle_for(compiler);
	if (!oracle)
		cr_skip_test("no llvm-symbolizer");
	struct comparison c = {.name = name, .image = image_probe_open(name)};
	char *output =
		fixture_run("nm -S %s | awk 'NF == 4 && $3 ~ /[tTW]/ && $4 != \"_start\" {print $1, $2}' | "
			    "while read s n; do for i in $(seq $((0x$s)) $((0x$s + 0x$n - 1))); do "
			    "printf '0x%%x\n' $i; done; done >addresses; %s -a -i -f -e %s <addresses",
			    name, oracle, name);
	for (char *line = strtok(output, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strncmp(line, "0x", 2)) {
			finish_address(&c);
			c.address = strtoul(line, NULL, 16);
			c.count = image_symbolise(c.image, c.address, c.lines, IMAGE_LINES_MAX);
			c.at = 0;
			c.inlined += c.count > 1;
		} else {
			char *place = strtok(NULL, "\n");
			cr_assert_not_null(place);
			compare_frame(&c, line, place);
		}
	}
	finish_address(&c);
	cr_assert_gt(c.compared, 50);
	return c.inlined;
}

/* ---- names ----------------------------------------------------------------------------------- */

Test(image, shows_inlined_functions_innermost_first)
{
	fixture_write("a.c", image_probe_inlines_c);
	fixture_run("gcc -O2 -g a.c -o a");
	struct image *image = image_probe_open("a");
	uint64_t size, start = fixture_symbol("a", "outermost", &size);
	bool seen = false;
	for (uint64_t address = start; address < start + size; address++)
		seen = seen || !strcmp(image_probe_frames(image, address),
				       "innermost(innermost) middle(middle) outermost(outermost)");
	cr_expect(seen);
	cr_expect(image_has_lines(image));
	cr_expect_gt(expect_like_addr2line("a", "gcc"), 10);
	/* The line of an outer frame is where it calls the inner one. */
	struct image_line lines[3];
	for (uint64_t address = start; address < start + size; address++) {
		if (image_symbolise(image, address, lines, 3) != 3)
			continue;
		cr_expect(lines[0].line >= 3 && lines[0].line <= 5);
		cr_expect_eq(lines[1].line, 9);
		cr_expect_eq(lines[2].line, 13);
		cr_expect_eq(lines[0].start_line, 1);
		cr_expect_eq(lines[2].start_line, 11);
	}
}

Test(image, agrees_with_addr2line_on_every_kind_of_debug_data)
{
	static const char *const compilers[] = {
		"g++ -O2 -g",
		"g++ -O0 -g",
		"g++ -O2 -gdwarf-4",
		"g++ -O2 -g -gz",
		"g++ -O2 -g -fPIC -pie",
		"g++ -O2 -g -no-pie",
		"g++ -O2 -g -flto",
		"g++ -O2 -g -gsplit-dwarf",
		"g++ -O2 -g -ffunction-sections -Wl,--gc-sections -fdebug-types-section",
		"clang++ -w -O2 -g",
		"clang++ -w -O2 -gdwarf-4",
	};
	fixture_write("s.cc", image_probe_scopes_cc);
	for (size_t i = 0; i < ARRAY_LENGTH(compilers); i++) {
		if (!strncmp(compilers[i], "clang", 5) && !fixture_has("clang++"))
			continue;
		char name[16];
		snprintf(name, sizeof(name), "s%zu", i);
		fixture_run("%s s.cc -o %s", compilers[i], name);
		cr_expect_gt(expect_like_addr2line(name, compilers[i]), 0, "%s", compilers[i]);
	}
}

Test(image, names_cplusplus_functions_as_people_write_them)
{
	fixture_write("s.cc", image_probe_scopes_cc);
	for (int stripped = 0; stripped < 2; stripped++) {
		const char *name = stripped ? "plain" : "debug";
		fixture_run("g++ -O2 %s s.cc -o %s", stripped ? "" : "-g", name);
		struct image *image = image_probe_open(name);
		cr_expect_eq(image_has_lines(image), !stripped);
		cr_expect_str_eq(image_probe_frames_of(image, name, "_ZN5outer4workEi"),
				 "outer::work(_ZN5outer4workEi)");
		cr_expect_str_eq(image_probe_frames_of(image, name, "_ZN5outer5twiceIiEET_S1_"),
				 "outer::twice<int>(_ZN5outer5twiceIiEET_S1_)");
		const char *slow = image_probe_frames_of(image, name, "_ZN5outer12_GLOBAL__N_13Box4slowEi");
		cr_expect(
			strstr(slow,
			       "outer::(anonymous namespace)::Box::slow(_ZN5outer12_GLOBAL__N_13Box4slowEi)"),
			"%s", slow);
		cr_expect_str_eq(image_probe_frames_of(image, name, "_ZL9only_herei"),
				 "only_here(_ZL9only_herei)");
		cr_expect_str_eq(image_probe_frames_of(image, name, "plain"), "plain(plain)");
		cr_expect_str_eq(image_probe_frames_of(image, name, "main"), "main(main)");
		const char *push =
			strstr(image_probe_frames_of(image, name,
						     "_ZN5outer5StackINSt7__cxx1112basic_stringIcSt11char_"
						     "traitsIcESaIcEEEE4pushERKS6_"),
			       "outer::Stack<std::__cxx11::basic_string<char, std::char_traits<char>, "
			       "std::allocator<char> > >::push(");
		cr_expect_not_null(push);
	}
}

Test(image, cleans_the_names_of_copies_and_parts)
{
	fixture_write(
		"c.cc",
		"#define KEEP __attribute__((noinline))\n"
		"struct Guard { int *at; KEEP ~Guard() { *at += 1; asm volatile(\"\"); } };\n"
		"KEEP void may_throw(int x) { if (x > 1000) throw x; asm volatile(\"\"); }\n"
		"static KEEP int scale(int x, int k) { asm volatile(\"\"); return x * k; }\n"
		"extern \"C\" KEEP int check(int x) { Guard g{&x}; may_throw(x); return scale(x, 3); }\n"
		"int main(int argc, char **) { return check(argc) + scale(argc + 1, 3); }\n");
	fixture_run("g++ -O2 -g c.cc -o debug && g++ -O2 c.cc -o plain");
	static const char *const names[] = {"debug", "plain"};
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		struct image *image = image_probe_open(names[i]);
		cr_expect_str_eq(image_probe_frames_of(image, names[i], "_ZL5scaleii.constprop.0"),
				 "scale(_ZL5scaleii.constprop.0)");
		cr_expect_str_eq(image_probe_frames_of(image, names[i], "check.cold"), "check(check.cold)");
		cr_expect_str_eq(image_probe_frames_of(image, names[i], "check"), "check(check)");
		image_close_all(); /* both have the same build id */
	}
}

Test(image, names_rust_functions_without_hashes)
{
	if (!fixture_has("rustc"))
		cr_skip_test("no rustc");
	fixture_write(
		"r.rs",
		"mod inner { pub struct Pile<T> { pub items: Vec<T> }\n"
		"impl<T: Clone> Pile<T> { #[inline(never)] pub fn grow(&mut self, t: T) { "
		"self.items.push(t); } } }\n"
		"#[inline(never)] fn compute(n: u64) -> u64 { let mut p = inner::Pile { items: vec![] };\n"
		"for i in 0..n { p.grow(i); } p.items.iter().map(|x| x * 3).sum() }\n"
		"fn main() { println!(\"{}\", compute(std::env::args().count() as u64 * 10)); }\n");
	static const char *const manglings[] = {"legacy", "v0"};
	for (size_t i = 0; i < ARRAY_LENGTH(manglings); i++) {
		char *compiled = fixture_run(
			"rustc -g -O -C symbol-mangling-version=%s r.rs -o %s 2>&1 || echo failed",
			manglings[i], manglings[i]);
		if (strstr(compiled, "failed"))
			cr_skip_test("rustc %s", compiled);
		struct image *image = image_probe_open(manglings[i]);
		char *symbol = strtok(fixture_run("nm %s | awk '/compute/ {print $3; exit}'", manglings[i]),
				      "\n");
		const char *frames = image_probe_frames_of(image, manglings[i], symbol);
		cr_expect(strstr(frames, "r::compute("), "%s", frames);
		cr_expect_null(strstr(frames, "::h0"));
		symbol = strtok(fixture_run("nm %s | awk '/4grow/ {print $3; exit}'", manglings[i]), "\n");
		frames = image_probe_frames_of(image, manglings[i], symbol);
		cr_expect(strstr(frames, "r::inner::Pile<"), "%s", frames);
		cr_expect(strstr(frames, "::grow("), "%s", frames);
	}
}

Test(image, keeps_the_real_function_when_lines_are_cut)
{
	fixture_write("a.c", image_probe_inlines_c);
	fixture_run("gcc -O2 -g a.c -o a");
	struct image *image = image_probe_open("a");
	uint64_t size, start = fixture_symbol("a", "outermost", &size);
	for (uint64_t address = start; address < start + size; address++) {
		struct image_line all[IMAGE_LINES_MAX], lines[2];
		size_t count = image_symbolise(image, address, all, IMAGE_LINES_MAX);
		cr_assert_eq(image_symbolise(image, address, lines, 2), count < 2 ? count : 2);
		cr_expect_eq(lines[0].name, count == 1 ? all[0].name : all[0].name);
		if (count > 1)
			cr_expect_eq(lines[1].name, all[count - 1].name);
		cr_assert_eq(image_symbolise(image, address, lines, 1), 1);
		cr_expect_eq(lines[0].name, all[count - 1].name);
	}
}
