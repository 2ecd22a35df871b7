/* ldflags: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=reallocarray,--wrap=strdup */
/* SPDX-License-Identifier: MIT */
/*
 * The Nth allocation fails, for every N: nothing crashes, nothing leaks (with the
 * address sanitizer), and what comes out is either an error or right.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_image.h"
#include "fixture.h"
#include "image.h"
#include "perf_map.h"
#include "pprof.h"
#include "thread_dump.h"

static unsigned long allowed = -1UL; /* allocations that succeed from now on */

static bool is_refused(void)
{
	if (allowed == 0)
		return true;
	allowed -= allowed != -1UL;
	return false;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
	return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return is_refused() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return is_refused() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
	return is_refused() ? NULL : __real_strdup(text);
}

static uint64_t frames[300][3];
static struct profile_sample samples[300];

/* Many strings, locations and stacks, so that every table grows. */
static struct profile make_profile(struct perf_map **out_map)
{
	static char text[300 * 40];
	static const struct profile_module module = {
		.id = 1, .flags = CPROF_MODULE_IS_MAIN, .path = "/bin/app (deleted)", .build_id_bytes = 20};
	static const struct profile_label labels[] = {{.key = "thread", .text = "bad \xff label"},
						      {.key = "waited", .number = 3, .unit = "minutes"}};
	static const char *const comment = "bad \xff bytes";
	size_t used = 0;
	for (unsigned i = 0; i < 300; i++) {
		used += (size_t)sprintf(text + used, "%x 10 function_%u\n", 0x1000 + 16 * i, i);
		frames[i][0] = cprof_frame(CPROF_MODULE_NONE, 0x1008 + 16 * i);
		frames[i][1] = cprof_frame(1, i);
		samples[i] = (struct profile_sample){.frames = frames[i],
						     .frame_count = 2,
						     .stack_flags = i % 3,
						     .labels = labels,
						     .label_count = i % 3,
						     .values = {1, 10, 1, 10}};
	}
	*out_map = perf_map_parse(text, used);
	return (struct profile){.kind = PROFILE_HEAP,
				.modules = &module,
				.module_count = 1,
				.jit = *out_map,
				.samples = samples,
				.sample_count = 300,
				.time_ns = 1,
				.period = 1,
				.comments = &comment,
				.comment_count = 1};
}

Test(out_of_memory, encoding_fails_or_gives_the_same_bytes, .timeout = 100)
{
	struct perf_map *map;
	struct profile profile = make_profile(&map);
	unsigned char *expected, *bytes;
	size_t expected_size, size;
	cr_assert_eq(pprof_encode(&profile, NULL, NULL, &expected, &expected_size), 0);
	unsigned long n = 0;
	for (int error = -1; error != 0; n++) {
		allowed = n;
		error = pprof_encode(&profile, NULL, NULL, &bytes, &size);
		allowed = -1UL;
		cr_assert(error == 0 || error == -ENOMEM);
	}
	cr_expect_gt(n, 20);
	cr_expect_eq(size, expected_size);
	cr_expect_eq(memcmp(bytes, expected, size), 0);
	free(bytes);
	free(expected);
	perf_map_free(map);
}

Test(out_of_memory, an_aggregate_is_whole_or_missing)
{
	struct fake_image image;
	struct aggregate aggregate;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	for (uint32_t i = 0; i < 400; i++)
		fake_record(&image.segment, image.slot, fake_leaf(&image.segment, 0x10 + i / 5),
			    CPROF_KIND_CPU + i % 5, CPROF_WEIGHT_ONE, 1);
	/* Labels that are new, known, and the same in another order. */
	uint32_t labels = 0;
	for (uint32_t i = 0; i < 30; i++) {
		char value[8];
		snprintf(value, sizeof value, "%u", i / 2);
		labels = fake_labels(&image.segment, i % 2 ? labels : 0, i % 2 ? "b" : "a", value);
		fake_total_add(&image.segment, cprof_total_key(0, CPROF_KIND_ALLOC, labels), CPROF_WEIGHT_ONE,
			       1);
	}
	int error = -1;
	unsigned long n = 0;
	for (; error != 0; n++) {
		struct ring_drained drained;
		allowed = n;
		error = aggregate_take(&image.reader, RING_OWNER_RUNNING, &aggregate, &drained);
		allowed = -1UL;
		cr_assert(error == 0 || error == -ENOMEM);
	}
	cr_expect_gt(n, 8);
	for (int kind = 0; kind < PROFILE_THREADS; kind++)
		cr_expect_eq(aggregate.sample_count[kind], kind == PROFILE_HEAP ? 110 : 80);
	aggregate_free(&aggregate);
	fake_image_close(&image);
}

Test(out_of_memory, a_perf_map_is_whole_or_missing)
{
	static const char text[] = "1000 100 outer\n1040 20 inner\n";
	struct perf_map *map = NULL;
	for (unsigned long n = 0; !map; n++) {
		allowed = n;
		map = perf_map_parse(text, sizeof(text) - 1);
		allowed = -1UL;
		cr_assert_lt(n, 20);
	}
	cr_expect_str_eq(perf_map_find(map, 0x1050), "inner");
	cr_expect_str_eq(perf_map_find(map, 0x1060), "outer");
	perf_map_free(map);
}

/* An image answers with less, and forgets the loss with the image. */
Test(out_of_memory, images_answer_with_what_they_have, .init = fixture_begin, .fini = fixture_end,
     .timeout = 100)
{
	fixture_write("a.c", "static inline __attribute__((always_inline)) int inner(int x) "
			     "{ for (volatile int i = 0; i < x; i = i + 1); return x; }\n"
			     "__attribute__((noinline)) int outer(int x) { return inner(x) + 1; }\n"
			     "int main(int argc, char **argv) { (void)argv; return outer(argc); }\n");
	fixture_run("gcc -O2 -g a.c -o a");
	uint8_t id[CPROF_BUILD_ID_MAX];
	struct stat st;
	cr_assert_eq(stat(fixture_path("a"), &st), 0);
	struct image_source source = {.path = fixture_path("a"),
				      .root_fd = -1,
				      .device = st.st_dev,
				      .inode = st.st_ino,
				      .build_id = id};
	source.build_id_bytes = fixture_build_id("a", id);
	uint64_t size, address = fixture_symbol("a", "outer", &size) + 8;
	struct image_line lines[IMAGE_LINES_MAX];
	bool is_whole = false;
	for (unsigned long n = 0; !is_whole; n++) {
		allowed = n;
		struct image *image = image_open(&source);
		size_t count = image ? image_symbolise(image, address, lines, IMAGE_LINES_MAX) : 0;
		allowed = -1UL;
		is_whole = count == 2 && !strcmp(lines[0].name, "inner") && !strcmp(lines[1].name, "outer") &&
			   lines[0].file && lines[1].file && lines[1].start_line;
		/* And with memory again. */
		for (uint64_t at = address; image && at < address + size; at++)
			image_symbolise(image, at, lines, IMAGE_LINES_MAX);
		image_close_all();
		cr_assert_lt(n, 200);
	}
}

/* Of ourselves: the reader is a child of ours, and fails in the same way. */
Test(out_of_memory, dumps_threads, .timeout = 120)
{
	bool is_done = false;
	for (unsigned long n = 0; n < 300 && !is_done; n++) {
		struct thread_dump dump = {0};
		struct thread_dump_source source = {
			.peer_pid = getpid(), .pid = (uint32_t)getpid(), .name = "we", .root_fd = -1};
		allowed = n;
		int error = thread_dump_take(&source, NULL, NULL, &dump);
		is_done = allowed > 0;
		allowed = -1UL;
		cr_assert(error == 0 || error == -ENOMEM, "%lu: %d", n, error);
		cr_expect(error || dump.sample_count >= 1);
		thread_dump_free(&dump);
	}
	image_close_all();
}
