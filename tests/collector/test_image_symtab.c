/* SPDX-License-Identifier: MIT */
/*
 * Where symbols come from: the file, a debug file beside it, what was packed into it,
 * or nowhere.
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
#include <unistd.h>

#include "cprof_compiler.h"
#include "fixture.h"
#include "image.h"
#include "image_probe.h"

TestSuite(image_symtab, .init = fixture_begin, .fini = image_probe_end);

Test(image_symtab, knows_of_a_stripped_library_only_what_it_exports)
{
	uint64_t hidden = image_probe_build_library();
	struct image *image = image_probe_open("stripped");
	cr_expect_not(image_has_lines(image));
	cr_expect_str_eq(image_probe_frames_of(image, "full", "exported_one"), "exported_one(exported_one)");
	cr_expect_str_eq(image_probe_frames_of(image, "full", "exported_two"), "exported_two(exported_two)");
	cr_expect_str_eq(image_probe_frames(image, hidden), "", "not counted for its neighbour");
	cr_expect_str_eq(image_probe_frames(image, 0), "");
	cr_expect_str_eq(image_probe_frames(image, UINT64_MAX), "");
}

Test(image_symtab, finds_the_debug_file_by_build_id_in_the_root_of_the_process)
{
	uint64_t hidden = image_probe_build_library();
	image_probe_install_debug_file("root");
	fixture_run("mkdir -p root/lib; cp stripped root/lib/");
	int root = open(fixture_path("root"), O_PATH | O_DIRECTORY);
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	struct image *image = image_probe_open_at("/lib/stripped", root, id, bytes);
	close(root);
	cr_assert_not_null(image);
	cr_expect(image_has_lines(image));
	cr_expect_str_eq(image_probe_frames(image, hidden), "hidden_one(hidden_one)");
}

Test(image_symtab, does_not_believe_a_debug_file_of_another_build)
{
	uint64_t hidden = image_probe_build_library();
	image_probe_install_debug_file("root");
	fixture_write("other.c", "int hidden_two(int x) { return x; }\n");
	fixture_run(
		"gcc -g -shared -fPIC other.c -o other -Wl,--build-id=sha1; f=$(find root -name '*.debug'); "
		"objcopy --only-keep-debug other $f; mkdir -p root/lib; cp stripped root/lib/");
	int root = open(fixture_path("root"), O_PATH | O_DIRECTORY);
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	struct image *image = image_probe_open_at("/lib/stripped", root, id, bytes);
	cr_assert_not_null(image);
	cr_expect_str_eq(image_probe_frames(image, hidden), "");
}

Test(image_symtab, finds_the_debug_file_by_debuglink)
{
	uint64_t hidden = image_probe_build_library();
	fixture_run("mkdir .debug; objcopy --only-keep-debug full .debug/full.debug; "
		    "objcopy --add-gnu-debuglink=.debug/full.debug stripped linked");
	struct image *image = image_probe_open("linked");
	cr_expect(image_has_lines(image));
	cr_expect_str_eq(image_probe_frames(image, hidden), "hidden_one(hidden_one)");
}

Test(image_symtab, reads_what_dwz_moved_into_a_shared_file)
{
	if (!fixture_has("dwz"))
		cr_skip_test("no dwz");
	fixture_write("s.cc", image_probe_scopes_cc);
	fixture_run("g++ -O2 -g s.cc -o one && g++ -O2 -g -DOTHER s.cc -o two && "
		    "dwz -m shared.debug one two && readelf -SW one | grep -q debugaltlink");
	const char *work = "outer::work(_ZN5outer4workEi)";
	cr_expect_str_eq(image_probe_frames_of(image_probe_open("one"), "one", "_ZN5outer4workEi"), work);
	/* With a debug file of its own besides, which must not be taken for the shared one. */
	image_close_all();
	fixture_run("cp one full");
	image_probe_install_debug_file("root");
	fixture_run("mkdir -p root%s; cp one root%s/; cp shared.debug root%s/", fixture_dir, fixture_dir,
		    fixture_dir);
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("one", id);
	int root = open(fixture_path("root"), O_PATH | O_DIRECTORY);
	struct image *image = image_probe_open_at(fixture_path("one"), root, id, bytes);
	close(root);
	cr_assert_not_null(image);
	cr_expect_str_eq(image_probe_frames_of(image, "one", "_ZN5outer4workEi"), work);
	cr_expect(image_has_lines(image));
}

Test(image_symtab, reads_the_symbols_in_gnu_debugdata)
{
	if (!fixture_has("xz"))
		cr_skip_test("no xz");
	uint64_t hidden = image_probe_build_library();
	/* As `info gdb` describes it. */
	fixture_run(
		"nm full --format=posix --defined-only | awk '$2 ~ /^[Tt]$/ {print $1}' >keep; "
		"objcopy --only-keep-debug full debug; "
		"objcopy -S --remove-section .comment --keep-symbols=keep debug mini 2>/dev/null; xz mini; "
		"objcopy --add-section .gnu_debugdata=mini.xz stripped minified");
	struct image *image = image_probe_open("minified");
	cr_expect_not(image_has_lines(image));
	cr_expect_str_eq(image_probe_frames(image, hidden), "hidden_one(hidden_one)");
	cr_expect_str_eq(image_probe_frames_of(image, "full", "exported_one"), "exported_one(exported_one)");
}

Test(image_symtab, names_entries_of_the_plt)
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
		struct image *image = image_probe_open(name);
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
			if (!strcmp(image_probe_frames(image, address), expected) &&
			    !strcmp(image_probe_frames(image, address + 5), expected))
				seen++;
			else
				cr_expect_fail("%s %s: %s", links[i], row,
					       image_probe_frames(image, address));
		}
		cr_expect_geq(seen, 2, "%s", links[i]);
	}
}

Test(image_symtab, extends_symbols_without_a_size_to_the_next_one)
{
	fixture_write("z.s",
		      "	.text\n	.globl first\nfirst:\n	nop\n	nop\n.Lprivate:\n	nop\n"
		      "	.globl second\n	.type second, @function\nsecond:\n	nop\n	nop\n	.size "
		      "second, 1\n"
		      "	.globl third\nthird:\n	nop\n	ret\n"
		      "	.section .other, \"ax\"\n	nop\n	nop\n	.globl fourth\nfourth:\n	ret\n"
		      "	.data\n	.globl datum\ndatum:\n	.quad 0\n");
	fixture_run("gcc -shared -nostdlib z.s -o z");
	struct image *image = image_probe_open("z");
	uint64_t first = fixture_symbol("z", "first", NULL);
	cr_expect_str_eq(image_probe_frames(image, first), "first(first)");
	cr_expect_str_eq(image_probe_frames(image, first + 2), "first(first)");
	cr_expect_str_eq(image_probe_frames(image, first + 3), "second(second)");
	cr_expect_str_eq(image_probe_frames(image, first + 4), "", "a size is believed");
	cr_expect_str_eq(image_probe_frames(image, first + 5), "third(third)");
	cr_expect_str_eq(image_probe_frames(image, first + 6), "third(third)");
	uint64_t fourth = fixture_symbol("z", "fourth", NULL);
	cr_expect_str_eq(image_probe_frames(image, fourth - 1), "", "symbols end with their section");
	cr_expect_str_eq(image_probe_frames(image, fourth), "fourth(fourth)");
	cr_expect_str_eq(image_probe_frames_of(image, "z", "datum"), "");
}

Test(image_symtab, prefers_the_name_that_people_know)
{
	fixture_write("n.c", "int __impl_of_it(int x) { return x; }\n"
			     "int it(int) __attribute__((weak, alias(\"__impl_of_it\")));\n"
			     "static int local_it(int) __attribute__((alias(\"__impl_of_it\"), used));\n");
	fixture_run("gcc -O1 -shared -fPIC n.c -o n");
	cr_expect_str_eq(image_probe_frames_of(image_probe_open("n"), "n", "it"), "it(it)");
}

Test(image_symtab, names_reserved_functions_as_programs_call_them)
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
	struct image *image = image_probe_open("r");
	cr_expect_str_eq(image_probe_frames_of(image, "r", "___lock_it"), "lock_it(lock_it)");
	cr_expect_str_eq(image_probe_frames_of(image, "r", "__make_it_2_1"), "make_it(make_it)");
	cr_expect_str_eq(image_probe_frames_of(image, "r", "__inner"), "__inner(__inner)",
			 "not what it is called outside");
}

/* A wait's leaf: the call has been made, nothing that is inlined has begun. */
Test(image_symtab, shows_no_inlined_functions_at_the_entry_of_a_libc_function)
{
	fixture_write("e.c",
		      "static inline __attribute__((always_inline)) int full(int x) { return x / 7; }\n"
		      "int ___read_it(int x) { return full(x); }\n"
		      "__asm__(\".symver ___read_it, read_it@@V_1\");\n"
		      "int plain(int x) { return full(x); }\n");
	fixture_write("e.map", "V_1 { global: read_it; plain; };\n");
	fixture_run("gcc -O1 -g -shared -fPIC e.c -Wl,--version-script=e.map -o e");
	struct image *image = image_probe_open("e");
	cr_expect_str_eq(image_probe_frames_of(image, "e", "___read_it"), "read_it(read_it)");
	cr_expect_str_eq(image_probe_frames_of(image, "e", "plain"), "full(full) plain(plain)", "as ever");
}

Test(image_symtab, reads_the_vdso_from_memory)
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
	cr_expect(strstr(image_probe_frames(image, address), "clock_gettime"), "%s",
		  image_probe_frames(image, address));
	id[0] ^= 1;
	cr_expect_null(image_open(&source), "of another kernel");
	source.build_id_bytes = 0;
	cr_expect_null(image_open(&source));
}
