/* SPDX-License-Identifier: MIT */
/*
 * The addresses are those of a run that could have been.
 *
 * Context: tests of the collector; see fake_profile.h.
 */
#include "fake_profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

#include "fixture.h"
#include "image.h"
#include "pprof.h"

static const char main_c[] = "static inline __attribute__((always_inline)) int inner(int x)\n"
			     "{\n"
			     "	for (volatile int i = 0; i < x; i = i + 1)\n"
			     "		__asm__ volatile(\"nop\");\n"
			     "	return x * 3;\n"
			     "}\n"
			     "__attribute__((noinline)) int outer(int x)\n"
			     "{\n"
			     "	return inner(x) + 1;\n"
			     "}\n"
			     "int main(int argc, char **argv) { (void)argv; return outer(argc); }\n";
static const char library_c[] =
	"int keep;\n"
	"static __attribute__((noinline)) int hidden(int x) { keep = x; return x + keep; }\n"
	"__attribute__((noinline)) int exported(int x) { return hidden(x) * 2; }\n";

struct profile_module fake_modules[4];
uint64_t fake_main_offset, fake_inner_offset, fake_exported_offset, fake_hidden_offset;
struct profile_sample fake_samples[64];
struct profile fake_profile;
message_t *decoded;

static void set_module(struct profile_module *module, uint32_t id, uint64_t bias, const char *file)
{
	struct stat st;
	unsigned long file_offset, address, size;
	char *segment = fixture_run("readelf -lW %s | awk '/LOAD.*R E/ {print $2, $3, $6; exit}'", file);
	cr_assert_eq(sscanf(segment, "%lx %lx %lx", &file_offset, &address, &size), 3);
	cr_assert_eq(stat(fixture_path(file), &st), 0);
	*module = (struct profile_module){.id = id, .bias = bias, .path = fixture_path(file)};
	module->text_start = bias + (address & ~UINT64_C(4095));
	module->text_end = bias + ((address + size + 4095) & ~UINT64_C(4095));
	module->text_offset = file_offset & ~UINT64_C(4095);
	module->build_id_bytes = fixture_build_id(file, module->build_id);
	struct image_source source = {.path = module->path,
				      .root_fd = -1,
				      .device = st.st_dev,
				      .inode = st.st_ino,
				      .build_id = module->build_id,
				      .build_id_bytes = module->build_id_bytes};
	module->image = image_open(&source);
	cr_assert_not_null(module->image);
}

void fake_profile_begin(void)
{
	fixture_begin();
	fixture_write("main.c", main_c);
	fixture_write("library.c", library_c);
	fixture_run(
		"gcc -O2 -g main.c -o app -pie -Wl,--build-id && "
		"gcc -O2 -shared -fPIC library.c -o full.so -Wl,--build-id && strip full.so -o library.so");
	set_module(&fake_modules[0], LIBRARY_ROW, LIBRARY_BIAS, "library.so");
	set_module(&fake_modules[1], MAIN, MAIN_BIAS, "app");
	fake_modules[1].flags = CPROF_MODULE_IS_MAIN;
	fake_modules[2] = (struct profile_module){
		.id = CPROF, .flags = CPROF_MODULE_IS_CPROF, .path = "/lib/libcprof.so"};
	fake_modules[3] = (struct profile_module){.id = LOST,
						  .bias = 0x10000,
						  .text_start = 0x11000,
						  .text_end = 0x12000,
						  .path = "/gone/lib.so (deleted)"};
	fake_inner_offset = fixture_symbol("app", "outer", NULL) + 1;
	fake_main_offset = fixture_symbol("app", "main", NULL) + 1;
	fake_exported_offset = fixture_symbol("full.so", "exported", NULL) + 1;
	fake_hidden_offset = fixture_symbol("full.so", "hidden", NULL) + 1;
	static const char *const comments[] = {"# quiet", "loud"};
	fake_profile = (struct profile){.kind = PROFILE_CPU,
					.modules = fake_modules,
					.module_count = 4,
					.samples = fake_samples,
					.time_ns = 1700000000000000000,
					.duration_ns = 5000000000,
					.period = 10000000,
					.comments = comments,
					.comment_count = 2};
	decoded = NULL;
}

void fake_profile_end(void)
{
	if (decoded)
		perftools__profiles__profile__free_unpacked(decoded, NULL);
	image_close_all();
	fixture_end();
}

static uint64_t frame_store[64][CPROF_STACK_FRAMES_MAX];

void fake_profile_add(int64_t count, uint32_t flags, size_t frame_count, const uint64_t *frames)
{
	size_t i = fake_profile.sample_count++;
	memcpy(frame_store[i], frames + 1, frame_count * sizeof(*frames));
	fake_samples[i] = (struct profile_sample){.frames = frame_store[i],
						  .frame_count = (uint32_t)frame_count,
						  .stack_flags = flags,
						  .values = {count, count * 10000000}};
}

void fake_profile_encode(const char *name)
{
	unsigned char *bytes;
	size_t size;
	cr_assert_eq(pprof_encode(&fake_profile, NULL, NULL, &bytes, &size), 0);
	FILE *file = fopen(fixture_path(name), "w");
	cr_assert_eq(fwrite(bytes, 1, size, file), size);
	fclose(file);
	static unsigned char plain[1 << 20];
	z_stream z = {
		.next_in = bytes, .avail_in = (uInt)size, .next_out = plain, .avail_out = sizeof(plain)};
	cr_assert_eq(inflateInit2(&z, 15 + 16), Z_OK);
	cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	if (decoded)
		perftools__profiles__profile__free_unpacked(decoded, NULL);
	decoded = perftools__profiles__profile__unpack(NULL, z.total_out, plain);
	cr_assert_not_null(decoded);
	inflateEnd(&z);
	free(bytes);
}

const char *decoded_string(int64_t index)
{
	cr_assert(index >= 0 && (size_t)index < decoded->n_string_table);
	return decoded->string_table[index];
}

const char *decoded_stack(size_t sample)
{
	static char text[4096];
	size_t used = 0;
	const sample_t *s = decoded->sample[sample];
	text[0] = '\0';
	for (size_t i = 0; i < s->n_location_id; i++) {
		const location_t *l = decoded->location[s->location_id[i] - 1];
		for (size_t j = 0; j < (l->n_line ? l->n_line : 1); j++) {
			const char *name = "?";
			if (l->n_line)
				name = decoded_string(decoded->function[l->line[j]->function_id - 1]->name);
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? ";" : "",
						 name);
		}
	}
	return text;
}

char *fixture_pprof(const char *arguments)
{
	if (!fixture_has("go"))
		cr_skip_test("no go");
	return fixture_run("PPROF_TMPDIR=. PPROF_BINARY_PATH=/nonexistent go tool pprof %s 2>&1", arguments);
}
