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
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cprof_compiler.h"
#include "demangle.h"
#include "fixture.h"
#include "image.h"

static void end(void)
{
	image_close_all();
	fixture_end();
}

TestSuite(image, .init = fixture_begin, .fini = end);

/* ---- asking ---------------------------------------------------------------------------------- */

static struct image *open_at(const char *path, int root_fd, const uint8_t *build_id, uint32_t build_id_bytes)
{
	struct stat st = {0};
	stat(path, &st);
	struct image_source source = {
		.path = path,
		.root_fd = root_fd,
		.device = st.st_dev,
		.inode = st.st_ino,
		.build_id = build_id,
		.build_id_bytes = build_id_bytes,
	};
	return image_open(&source);
}

/* DIR/name, identified as the module table would. */
static struct image *open_fixture(const char *name)
{
	static uint8_t build_id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id(name, build_id);
	struct image *image = open_at(fixture_path(name), -1, build_id, bytes);
	cr_assert_not_null(image, "%s", name);
	return image;
}

/* Frames of an address, "name(system_name) " each. */
static const char *frames_at(struct image *image, uint64_t address)
{
	static char text[8192];
	struct image_line lines[IMAGE_LINES_MAX];
	size_t count = image_symbolise(image, address, lines, IMAGE_LINES_MAX), used = 0;
	text[0] = '\0';
	for (size_t i = 0; i < count && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s(%s)", i ? " " : "",
					 lines[i].name, lines[i].system_name);
	return text;
}

static const char *frames_of(struct image *image, const char *file, const char *symbol)
{
	return frames_at(image, fixture_symbol(file, symbol, NULL));
}

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
	struct comparison c = {.name = name, .image = open_fixture(name)};
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

/* ---- programs -------------------------------------------------------------------------------- */

static const char inlines_c[] = "static inline __attribute__((always_inline)) int innermost(int x)\n"
				"{\n"
				"	for (volatile int i = 0; i < x; i = i + 1)\n"
				"		__asm__ volatile(\"nop\");\n"
				"	return x * 3;\n"
				"}\n"
				"static inline __attribute__((always_inline)) int middle(int x)\n"
				"{\n"
				"	return innermost(x) + innermost(x + 1);\n"
				"}\n"
				"__attribute__((noinline)) int outermost(int x)\n"
				"{\n"
				"	return middle(x) + innermost(7);\n"
				"}\n"
				"int main(int argc, char **argv) { (void)argv; return outermost(argc); }\n";

static const char scopes_cc[] =
	"#include <string>\n"
	"#include <vector>\n"
	"#define KEEP __attribute__((noinline, noclone))\n"
	"namespace outer {\n"
	"template <class T> KEEP T twice(T x) { asm volatile(\"\"); return x + x; }\n"
	"namespace {\n"
	"struct Box {\n"
	"	int v;\n"
	"	inline __attribute__((always_inline)) int get() const { for (volatile int i = 0; i < v; i = "
	"i + 1); return v; }\n"
	"	KEEP int slow(int k);\n"
	"};\n"
	"int Box::slow(int k) { asm volatile(\"\"); return get() + k; }\n"
	"}\n"
	"KEEP int work(int x) { Box b{x}; return b.get() + twice(x) + b.slow(x); }\n"
	"template <class T> struct Stack { std::vector<T> items; KEEP void push(const T &t) { "
	"items.push_back(t); } KEEP ~Stack() {} };\n"
	"}\n"
	"static KEEP int only_here(int x) { asm volatile(\"\"); return outer::work(x) + 1; }\n"
	"extern \"C\" KEEP int plain(int x) { return only_here(x) + 1; }\n"
	"int main(int argc, char **)\n"
	"{\n"
	"	auto lambda = [&](int k) KEEP { return plain(k + argc); };\n"
	"	outer::Stack<std::string> s;\n"
	"	s.push(\"x\");\n"
	"	return lambda(3) + (int)s.items.size();\n"
	"}\n";

Test(image, shows_inlined_functions_innermost_first)
{
	fixture_write("a.c", inlines_c);
	fixture_run("gcc -O2 -g a.c -o a");
	struct image *image = open_fixture("a");
	uint64_t size, start = fixture_symbol("a", "outermost", &size);
	bool seen = false;
	for (uint64_t address = start; address < start + size; address++)
		seen = seen || !strcmp(frames_at(image, address),
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
	fixture_write("s.cc", scopes_cc);
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
	fixture_write("s.cc", scopes_cc);
	for (int stripped = 0; stripped < 2; stripped++) {
		const char *name = stripped ? "plain" : "debug";
		fixture_run("g++ -O2 %s s.cc -o %s", stripped ? "" : "-g", name);
		struct image *image = open_fixture(name);
		cr_expect_eq(image_has_lines(image), !stripped);
		cr_expect_str_eq(frames_of(image, name, "_ZN5outer4workEi"), "outer::work(_ZN5outer4workEi)");
		cr_expect_str_eq(frames_of(image, name, "_ZN5outer5twiceIiEET_S1_"),
				 "outer::twice<int>(_ZN5outer5twiceIiEET_S1_)");
		const char *slow = frames_of(image, name, "_ZN5outer12_GLOBAL__N_13Box4slowEi");
		cr_expect(
			strstr(slow,
			       "outer::(anonymous namespace)::Box::slow(_ZN5outer12_GLOBAL__N_13Box4slowEi)"),
			"%s", slow);
		cr_expect_str_eq(frames_of(image, name, "_ZL9only_herei"), "only_here(_ZL9only_herei)");
		cr_expect_str_eq(frames_of(image, name, "plain"), "plain(plain)");
		cr_expect_str_eq(frames_of(image, name, "main"), "main(main)");
		const char *push =
			strstr(frames_of(image, name,
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
		struct image *image = open_fixture(names[i]);
		cr_expect_str_eq(frames_of(image, names[i], "_ZL5scaleii.constprop.0"),
				 "scale(_ZL5scaleii.constprop.0)");
		cr_expect_str_eq(frames_of(image, names[i], "check.cold"), "check(check.cold)");
		cr_expect_str_eq(frames_of(image, names[i], "check"), "check(check)");
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
		struct image *image = open_fixture(manglings[i]);
		char *symbol = strtok(fixture_run("nm %s | awk '/compute/ {print $3; exit}'", manglings[i]),
				      "\n");
		const char *frames = frames_of(image, manglings[i], symbol);
		cr_expect(strstr(frames, "r::compute("), "%s", frames);
		cr_expect_null(strstr(frames, "::h0"));
		symbol = strtok(fixture_run("nm %s | awk '/4grow/ {print $3; exit}'", manglings[i]), "\n");
		frames = frames_of(image, manglings[i], symbol);
		cr_expect(strstr(frames, "r::inner::Pile<"), "%s", frames);
		cr_expect(strstr(frames, "::grow("), "%s", frames);
	}
}

/* ---- where symbols come from --------------------------------------------------------------------- */

static const char library_c[] =
	"int keep;\n"
	"static __attribute__((noinline)) int hidden_one(int x) { keep = x; return x + keep; }\n"
	"__attribute__((noinline)) int exported_one(int x) { return hidden_one(x) * 2; }\n"
	"__attribute__((noinline)) int exported_two(int x) { return hidden_one(x) * 3; }\n";

/* Builds "full" with debug data and "stripped", and returns where hidden_one is. */
static uint64_t build_library(void)
{
	fixture_write("l.c", library_c);
	fixture_run("gcc -O1 -g -shared -fPIC l.c -o full -Wl,--build-id=sha1 && strip full -o stripped");
	return fixture_symbol("full", "hidden_one", NULL);
}

Test(image, knows_of_a_stripped_library_only_what_it_exports)
{
	uint64_t hidden = build_library();
	struct image *image = open_fixture("stripped");
	cr_expect_not(image_has_lines(image));
	cr_expect_str_eq(frames_of(image, "full", "exported_one"), "exported_one(exported_one)");
	cr_expect_str_eq(frames_of(image, "full", "exported_two"), "exported_two(exported_two)");
	cr_expect_str_eq(frames_at(image, hidden), "", "not counted for its neighbour");
	cr_expect_str_eq(frames_at(image, 0), "");
	cr_expect_str_eq(frames_at(image, UINT64_MAX), "");
}

static void install_debug_file(const char *root)
{
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	cr_assert_eq(bytes, 20);
	fixture_run("id=$(readelf -n full | sed -n 's/.*Build ID: //p'); "
		    "dir=%s/usr/lib/debug/.build-id/${id%%${id#??}}; "
		    "mkdir -p $dir; objcopy --only-keep-debug full $dir/${id#??}.debug",
		    root);
}

Test(image, finds_the_debug_file_by_build_id_in_the_root_of_the_process)
{
	uint64_t hidden = build_library();
	install_debug_file("root");
	fixture_run("mkdir -p root/lib; cp stripped root/lib/");
	int root = open(fixture_path("root"), O_PATH | O_DIRECTORY);
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	struct image *image = open_at("/lib/stripped", root, id, bytes);
	close(root);
	cr_assert_not_null(image);
	cr_expect(image_has_lines(image));
	cr_expect_str_eq(frames_at(image, hidden), "hidden_one(hidden_one)");
}

Test(image, does_not_believe_a_debug_file_of_another_build)
{
	uint64_t hidden = build_library();
	install_debug_file("root");
	fixture_write("other.c", "int hidden_two(int x) { return x; }\n");
	fixture_run(
		"gcc -g -shared -fPIC other.c -o other -Wl,--build-id=sha1; f=$(find root -name '*.debug'); "
		"objcopy --only-keep-debug other $f; mkdir -p root/lib; cp stripped root/lib/");
	int root = open(fixture_path("root"), O_PATH | O_DIRECTORY);
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	struct image *image = open_at("/lib/stripped", root, id, bytes);
	cr_assert_not_null(image);
	cr_expect_str_eq(frames_at(image, hidden), "");
}

Test(image, finds_the_debug_file_by_debuglink)
{
	uint64_t hidden = build_library();
	fixture_run("mkdir .debug; objcopy --only-keep-debug full .debug/full.debug; "
		    "objcopy --add-gnu-debuglink=.debug/full.debug stripped linked");
	struct image *image = open_fixture("linked");
	cr_expect(image_has_lines(image));
	cr_expect_str_eq(frames_at(image, hidden), "hidden_one(hidden_one)");
}

Test(image, reads_what_dwz_moved_into_a_shared_file)
{
	if (!fixture_has("dwz"))
		cr_skip_test("no dwz");
	fixture_write("s.cc", scopes_cc);
	fixture_run("g++ -O2 -g s.cc -o one && g++ -O2 -g -DOTHER s.cc -o two && "
		    "dwz -m shared.debug one two && readelf -SW one | grep -q debugaltlink");
	const char *work = "outer::work(_ZN5outer4workEi)";
	cr_expect_str_eq(frames_of(open_fixture("one"), "one", "_ZN5outer4workEi"), work);
	/* With a debug file of its own besides, which must not be taken for the shared one. */
	image_close_all();
	fixture_run("cp one full");
	install_debug_file("root");
	fixture_run("mkdir -p root%s; cp one root%s/; cp shared.debug root%s/", fixture_dir, fixture_dir,
		    fixture_dir);
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("one", id);
	int root = open(fixture_path("root"), O_PATH | O_DIRECTORY);
	struct image *image = open_at(fixture_path("one"), root, id, bytes);
	close(root);
	cr_assert_not_null(image);
	cr_expect_str_eq(frames_of(image, "one", "_ZN5outer4workEi"), work);
	cr_expect(image_has_lines(image));
}

Test(image, reads_the_symbols_in_gnu_debugdata)
{
	if (!fixture_has("xz"))
		cr_skip_test("no xz");
	uint64_t hidden = build_library();
	/* As `info gdb` describes it. */
	fixture_run(
		"nm full --format=posix --defined-only | awk '$2 ~ /^[Tt]$/ {print $1}' >keep; "
		"objcopy --only-keep-debug full debug; "
		"objcopy -S --remove-section .comment --keep-symbols=keep debug mini 2>/dev/null; xz mini; "
		"objcopy --add-section .gnu_debugdata=mini.xz stripped minified");
	struct image *image = open_fixture("minified");
	cr_expect_not(image_has_lines(image));
	cr_expect_str_eq(frames_at(image, hidden), "hidden_one(hidden_one)");
	cr_expect_str_eq(frames_of(image, "full", "exported_one"), "exported_one(exported_one)");
}

Test(image, names_entries_of_the_plt)
{
	static const char *const links[] = {"-Wl,-z,lazy -fcf-protection=none",
					    "-Wl,-z,lazy -fcf-protection=full -Wl,-z,ibtplt", "-Wl,-z,now"};
	fixture_write(
		"p.c",
		/* A function whose address is taken as well has its entry in .plt.got. */
		"#include <stdio.h>\n#include <stdlib.h>\nvoid *volatile p; void (*volatile f)(void *);\n"
		"int main(void) { f = free; puts(\"x\"); p = malloc(3); free(p); return 0; }\n");
	for (size_t i = 0; i < ARRAY_LENGTH(links); i++) {
		char name[8];
		snprintf(name, sizeof(name), "p%zu", i);
		fixture_run("gcc -O1 p.c %s -o %s && strip %s", links[i], name, name);
		struct image *image = open_fixture(name);
		/* objdump knows the same from the relocations. */
		char *rows = fixture_run("objdump -d -j .plt -j .plt.sec -j .plt.got %s 2>/dev/null | "
					 "sed -nE 's/^([0-9a-f]+) <((puts|free|malloc)@plt)>:/\\1 \\2/p'",
					 name);
		unsigned seen = 0;
		for (char *row = strtok(rows, "\n"); row; row = strtok(NULL, "\n")) {
			char symbol[32], expected[80];
			unsigned long address;
			cr_assert_eq(sscanf(row, "%lx %31s", &address, symbol), 2);
			snprintf(expected, sizeof(expected), "%s(%s)", symbol, symbol);
			if (!strcmp(frames_at(image, address), expected) &&
			    !strcmp(frames_at(image, address + 5), expected))
				seen++;
			else
				cr_expect_fail("%s %s: %s", links[i], row, frames_at(image, address));
		}
		cr_expect_geq(seen, 2, "%s", links[i]);
	}
}

Test(image, extends_symbols_without_a_size_to_the_next_one)
{
	fixture_write("z.s",
		      "	.text\n	.globl first\nfirst:\n	nop\n	nop\n.Lprivate:\n	nop\n"
		      "	.globl second\n	.type second, @function\nsecond:\n	nop\n	nop\n	.size "
		      "second, 1\n"
		      "	.globl third\nthird:\n	nop\n	ret\n"
		      "	.section .other, \"ax\"\n	nop\n	nop\n	.globl fourth\nfourth:\n	ret\n"
		      "	.data\n	.globl datum\ndatum:\n	.quad 0\n");
	fixture_run("gcc -shared -nostdlib z.s -o z");
	struct image *image = open_fixture("z");
	uint64_t first = fixture_symbol("z", "first", NULL);
	cr_expect_str_eq(frames_at(image, first), "first(first)");
	cr_expect_str_eq(frames_at(image, first + 2), "first(first)");
	cr_expect_str_eq(frames_at(image, first + 3), "second(second)");
	cr_expect_str_eq(frames_at(image, first + 4), "", "a size is believed");
	cr_expect_str_eq(frames_at(image, first + 5), "third(third)");
	cr_expect_str_eq(frames_at(image, first + 6), "third(third)");
	uint64_t fourth = fixture_symbol("z", "fourth", NULL);
	cr_expect_str_eq(frames_at(image, fourth - 1), "", "symbols end with their section");
	cr_expect_str_eq(frames_at(image, fourth), "fourth(fourth)");
	cr_expect_str_eq(frames_of(image, "z", "datum"), "");
}

Test(image, prefers_the_name_that_people_know)
{
	fixture_write("n.c", "int __impl_of_it(int x) { return x; }\n"
			     "int it(int) __attribute__((weak, alias(\"__impl_of_it\")));\n"
			     "static int local_it(int) __attribute__((alias(\"__impl_of_it\"), used));\n");
	fixture_run("gcc -O1 -shared -fPIC n.c -o n");
	cr_expect_str_eq(frames_of(open_fixture("n"), "n", "it"), "it(it)");
}

Test(image, names_reserved_functions_as_programs_call_them)
{
	fixture_write("r.c", "int ___lock_it(int x) { return x; }\n"
			     "__asm__(\".symver ___lock_it, lock_it@@V_1\");\n"
			     "int __make_it_2_1(int x) { return x * 3; }\n"
			     "__asm__(\".symver __make_it_2_1, make_it@@V_1\");\n"
			     "int __inner(int x) { return x + 1; }\n"
			     "int other(int) __attribute__((alias(\"__inner\")));\n");
	fixture_write("r.map",
		      "V_1 { global: lock_it; ___lock_it; make_it; __make_it_2_1; __inner; other; };\n");
	fixture_run("gcc -O1 -g -shared -fPIC r.c -Wl,--version-script=r.map -o r");
	struct image *image = open_fixture("r");
	cr_expect_str_eq(frames_of(image, "r", "___lock_it"), "lock_it(lock_it)");
	cr_expect_str_eq(frames_of(image, "r", "__make_it_2_1"), "make_it(make_it)");
	cr_expect_str_eq(frames_of(image, "r", "__inner"), "__inner(__inner)",
			 "not what it is called outside");
}

/* ---- which file --------------------------------------------------------------------------------- */

Test(image, opens_only_the_file_that_was_loaded)
{
	build_library();
	uint8_t id[CPROF_BUILD_ID_MAX], other[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	memcpy(other, id, sizeof(other));
	other[0] ^= 1;
	cr_expect_null(open_at(fixture_path("full"), -1, other, bytes));
	cr_expect_null(open_at(fixture_path("full"), -1, id, bytes - 1));
	cr_expect_null(open_at(fixture_path("none"), -1, id, bytes));
	cr_expect_null(open_at("full", -1, id, bytes), "relative to what?");
	fixture_run("mkfifo fifo; mkdir dir; echo text >text; : >empty");
	cr_expect_null(open_at(fixture_path("fifo"), -1, id, bytes));
	cr_expect_null(open_at(fixture_path("dir"), -1, id, bytes));
	cr_expect_null(open_at(fixture_path("text"), -1, id, bytes));
	cr_expect_null(open_at(fixture_path("empty"), -1, id, bytes));
	cr_expect_null(open_at("/dev/null", -1, id, bytes));
	cr_expect_not_null(open_at(fixture_path("full"), -1, id, bytes));
}

Test(image, identifies_files_without_a_build_id_by_inode)
{
	fixture_write("l.c", library_c);
	fixture_run("gcc -O1 -shared -fPIC l.c -o anonymous -Wl,--build-id=none; cp anonymous copy");
	struct stat st;
	cr_assert_eq(stat(fixture_path("anonymous"), &st), 0);
	struct image_source source = {
		.path = fixture_path("copy"), .root_fd = -1, .device = st.st_dev, .inode = st.st_ino};
	cr_expect_null(image_open(&source));
	source.path = fixture_path("anonymous");
	struct image *image = image_open(&source);
	cr_assert_not_null(image);
	cr_expect_str_eq(frames_of(image, "anonymous", "exported_one"), "exported_one(exported_one)");
	source.path = fixture_path("copy");
	cr_expect_eq(image_open(&source), image, "known by then");
	source.inode = source.device = 0;
	cr_expect_null(image_open(&source));
}

Test(image, is_opened_once_for_all_processes)
{
	build_library();
	fixture_run("cp full elsewhere");
	cr_expect_eq(open_fixture("full"), open_fixture("elsewhere"));
	image_close_all();
	image_close_all();
	cr_expect_not_null(open_fixture("full"));
}

Test(image, stays_readable_when_the_file_is_gone)
{
	uint64_t hidden = build_library();
	struct image *image = open_fixture("full");
	fixture_run("rm full; echo replaced >full");
	cr_expect_str_eq(frames_at(image, hidden), "hidden_one(hidden_one)");
}

Test(image, does_not_die_with_a_file_that_is_cut_in_place)
{
	uint64_t hidden = build_library();
	struct image *image = open_fixture("full");
	/* Maps the file. */
	cr_expect_str_eq(frames_at(image, hidden), "hidden_one(hidden_one)");
	cr_assert_eq(truncate(fixture_path("full"), 0), 0);
	for (uint64_t address = 0x1000; address < 0x1400; address++)
		frames_at(image, address);
}

Test(image, follows_links_inside_the_root_of_the_process)
{
	build_library();
	fixture_run("mkdir -p root/real root/usr; cp full root/real/lib.so; ln -s /real root/usr/lib; "
		    "ln -s ../../../../real/lib.so root/real/up.so");
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	int root = open(fixture_path("root"), O_PATH | O_DIRECTORY);
	struct image *image = open_at("/usr/lib/lib.so", root, id, bytes);
	cr_expect_not_null(image);
	image_close_all();
	cr_expect_not_null(open_at("/real/up.so", root, id, bytes));
	/* What the process's root does not have is looked for in our own: the build id decides. */
	image_close_all();
	cr_expect_not_null(open_at(fixture_path("full"), root, id, bytes));
	close(root);
}

Test(image, reads_the_vdso_from_memory)
{
	const ElfW(Ehdr) *header = (const void *)getauxval(AT_SYSINFO_EHDR);
	if (!header)
		cr_skip_test("no vdso");
	fixture_write("vdso", "");
	FILE *file = fopen(fixture_path("vdso"), "w");
	fwrite(header, header->e_shoff + (size_t)header->e_shnum * header->e_shentsize, 1, file);
	fclose(file);
	uint8_t id[CPROF_BUILD_ID_MAX];
	struct image_source source = {
		.path = "[vdso]", .root_fd = -1, .flags = CPROF_MODULE_IS_VDSO, .build_id = id};
	source.build_id_bytes = fixture_build_id("vdso", id);
	struct image *image = image_open(&source);
	cr_assert_not_null(image);
	unsigned long address;
	char *row = fixture_run("nm -D vdso | grep -w 'T __vdso_clock_gettime'");
	cr_assert_eq(sscanf(row, "%lx", &address), 1);
	cr_expect(strstr(frames_at(image, address), "clock_gettime"), "%s", frames_at(image, address));
	id[0] ^= 1;
	cr_expect_null(image_open(&source), "of another kernel");
	source.build_id_bytes = 0;
	cr_expect_null(image_open(&source));
}

Test(image, keeps_the_real_function_when_lines_are_cut)
{
	fixture_write("a.c", inlines_c);
	fixture_run("gcc -O2 -g a.c -o a");
	struct image *image = open_fixture("a");
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

Test(image, asks_no_server_unless_allowed)
{
	build_library();
	cr_assert_eq(setenv("DEBUGINFOD_URLS", "http://127.0.0.1:1/", 1), 0);
	struct image *image = open_fixture("stripped");
	frames_at(image, 0);
	cr_expect_null(getenv("DEBUGINFOD_URLS"));
}

/*
 * Any byte of a file may be wrong.  Headers and debug sections are damaged with a
 * fixed seed; what comes out does not matter, that something comes out does.
 */
Test(image, survives_damaged_files, .timeout = 120)
{
	fixture_write("s.cc", scopes_cc);
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
		struct image *image = open_at(fixture_path("bad"), -1, id, fixture_build_id("bad", id));
		opened += image != NULL;
		for (uint64_t address = 0x1000; image && address < 0x2000; address += 5)
			frames_at(image, address);
		image_close_all();
	}
	free(bytes);
	cr_expect_gt(opened, 50);
}
