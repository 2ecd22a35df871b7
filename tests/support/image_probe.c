/* SPDX-License-Identifier: MIT */
/*
 * What the tests of images compile, and how they ask.
 *
 * Context: tests of the collector; see image_probe.h.
 */
#include "image_probe.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fixture.h"

void image_probe_end(void)
{
	image_close_all();
	fixture_end();
}

struct image *image_probe_open_at(const char *path, int root_fd, const uint8_t *build_id,
				  uint32_t build_id_bytes)
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

struct image *image_probe_open(const char *name)
{
	static uint8_t build_id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id(name, build_id);
	struct image *image = image_probe_open_at(fixture_path(name), -1, build_id, bytes);
	cr_assert_not_null(image, "%s", name);
	return image;
}

const char *image_probe_frames(struct image *image, uint64_t address)
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

const char *image_probe_frames_of(struct image *image, const char *file, const char *symbol)
{
	return image_probe_frames(image, fixture_symbol(file, symbol, NULL));
}

const char image_probe_inlines_c[] =
	"static inline __attribute__((always_inline)) int innermost(int x)\n"
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

const char image_probe_scopes_cc[] =
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

const char image_probe_library_c[] =
	"int keep;\n"
	"static __attribute__((noinline)) int hidden_one(int x) { keep = x; return x + keep; }\n"
	"__attribute__((noinline)) int exported_one(int x) { return hidden_one(x) * 2; }\n"
	"__attribute__((noinline)) int exported_two(int x) { return hidden_one(x) * 3; }\n";

uint64_t image_probe_build_library(void)
{
	fixture_write("l.c", image_probe_library_c);
	fixture_run("gcc -O1 -g -shared -fPIC l.c -o full -Wl,--build-id=sha1 && strip full -o stripped");
	return fixture_symbol("full", "hidden_one", NULL);
}

void image_probe_install_debug_file(const char *root)
{
	uint8_t id[CPROF_BUILD_ID_MAX];
	uint32_t bytes = fixture_build_id("full", id);
	cr_assert_eq(bytes, 20);
	fixture_run("id=$(readelf -n full | sed -n 's/.*Build ID: //p'); "
		    "dir=%s/usr/lib/debug/.build-id/${id%%${id#??}}; "
		    "mkdir -p $dir; objcopy --only-keep-debug full $dir/${id#??}.debug",
		    root);
}
