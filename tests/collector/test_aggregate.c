/* SPDX-License-Identifier: MIT */
/*
 * From tables to samples: sums, rounding, merging, the order that keeps "allocated
 * >= in use", and what nonsense in any byte may not do.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "aggregate.h"
#include "fake_image.h"
#include "module_rows.h"

#define ONE CPROF_WEIGHT_ONE

static struct aggregate take(const struct segment_reader *reader)
{
	struct aggregate aggregate;
	struct ring_drained drained;
	cr_assert_eq(aggregate_take(reader, RING_OWNER_RUNNING, &aggregate, &drained), 0);
	return aggregate;
}

/* The sample whose leaf is at this offset of module 0; offset 0: the one without stack. */
static const struct profile_sample *sample_at(const struct aggregate *aggregate, enum profile_kind kind,
					      uint64_t offset)
{
	for (size_t i = 0; i < aggregate->sample_count[kind]; i++) {
		const struct profile_sample *sample = &aggregate->samples[kind][i];
		if (sample->frame_count ? cprof_frame_offset(sample->frames[0]) == offset : offset == 0)
			return sample;
	}
	cr_assert_fail("no sample at %#lx", offset);
	return NULL;
}

Test(aggregate, sums_rings_totals_and_live_blocks_by_stack)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	uint32_t a = fake_leaf(&image.segment, 0xa);
	uint32_t b = fake_leaf(&image.segment, 0xb);
	fake_record(&image.segment, image.slot, a, CPROF_KIND_CPU, 2 * ONE, 20000000);
	/* One that all threads share, and of two threads their own. */
	uint64_t key = cprof_total_key(a, CPROF_KIND_CPU, 0);
	fake_total_add(&image.segment, key, ONE / 2, 5000000);
	fake_total_add(&image.segment, cprof_total_key_owned(key, 1), ONE / 4, 3000000);
	fake_total_add(&image.segment, cprof_total_key_owned(key, CPROF_TOTAL_OWNERS), ONE / 4, 2000000);
	fake_record(&image.segment, image.slot, a, CPROF_KIND_ALLOC, 3 * ONE, 300);
	fake_record(&image.segment, image.slot, b, CPROF_KIND_ALLOC, 2 * ONE, 64);
	fake_record(&image.segment, image.slot, 0, CPROF_KIND_CPU, ONE, 7);
	fake_live_add(&image.segment, 0x7000, a, ONE, 100);
	fake_live_add(&image.segment, 0x7010 | CPROF_LIVE_DETACHED, a, ONE, 100);
	fake_live_add(&image.segment, 0x7020, b, ONE, 32);
	fake_live_remove(&image.segment, 0x7020);
	fake_live_add(&image.segment, CPROF_LIVE_BUSY, b, ONE, 1000);
	struct aggregate aggregate = take(&image.reader);
	cr_assert_eq(aggregate.sample_count[PROFILE_CPU], 2);
	cr_assert_eq(aggregate.sample_count[PROFILE_HEAP], 2);
	const struct profile_sample *cpu = sample_at(&aggregate, PROFILE_CPU, 0xa);
	cr_expect_eq(cpu->values[0], 3);
	cr_expect_eq(cpu->values[1], 30000000);
	cr_expect_eq(sample_at(&aggregate, PROFILE_CPU, 0)->frame_count, 0);
	const struct profile_sample *heap = sample_at(&aggregate, PROFILE_HEAP, 0xa);
	const int64_t values_a[] = {3, 300, 2, 200};
	cr_expect_arr_eq(heap->values, values_a, sizeof values_a);
	heap = sample_at(&aggregate, PROFILE_HEAP, 0xb);
	const int64_t values_b[] = {2, 64, 0, 0};
	cr_expect_arr_eq(heap->values, values_b, sizeof values_b);
	cr_expect_eq(aggregate.sums[PROFILE_CPU].value, 30000007);
	cr_expect_eq(aggregate.sums[PROFILE_HEAP].live_value, 200);
	aggregate_free(&aggregate);
	fake_image_close(&image);
}

Test(aggregate, keeps_the_kinds_of_a_stack_apart)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	uint32_t a = fake_leaf(&image.segment, 0xa);
	static const struct {
		enum cprof_kind recorded;
		enum profile_kind shown;
		int64_t values[PROFILE_VALUES_MAX];
	} kinds[] = {
		{CPROF_KIND_CPU, PROFILE_CPU, {2, 10}},
		{CPROF_KIND_ALLOC, PROFILE_HEAP, {2, 20, 0, 0}},
		{CPROF_KIND_BLOCK, PROFILE_BLOCK, {2, 30}},
		{CPROF_KIND_MUTEX, PROFILE_MUTEX, {2, 40}},
		{CPROF_KIND_THREADCREATE, PROFILE_THREADCREATE, {2}},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		/* By both ways, and fractions that only together make a whole. */
		fake_record(&image.segment, image.slot, a, kinds[i].recorded, ONE + ONE / 2,
			    (uint64_t)kinds[i].values[1] / 2);
		fake_total_add(&image.segment, cprof_total_key(a, kinds[i].recorded, 0), ONE / 4,
			       (uint64_t)kinds[i].values[1] / 2);
	}
	struct aggregate aggregate = take(&image.reader);
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		enum profile_kind kind = kinds[i].shown;
		cr_assert_eq(aggregate.sample_count[kind], 1, "kind %d", kind);
		const struct profile_sample *sample = sample_at(&aggregate, kind, 0xa);
		cr_expect_arr_eq(sample->values, kinds[i].values, sizeof kinds[i].values, "kind %d", kind);
		cr_expect_eq(aggregate.sums[kind].weight, ONE + 3 * (ONE / 4));
		cr_expect_eq(aggregate.sums[kind].value, (uint64_t)kinds[i].values[1]);
	}
	cr_expect_eq(aggregate.sample_count[PROFILE_THREADS], 0);
	aggregate_free(&aggregate);
	fake_image_close(&image);
}

Test(aggregate, rounds_once_for_each_stack)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	/* The same stack twice, as two producers may store it; and labels do not divide it. */
	uint32_t a = fake_leaf(&image.segment, 0xa);
	uint32_t twin = fake_leaf(&image.segment, 0xa);
	fake_record(&image.segment, image.slot, a, CPROF_KIND_ALLOC, ONE + ONE / 4, 10);
	fake_record(&image.segment, image.slot, twin, CPROF_KIND_ALLOC, ONE + ONE / 4, 10);
	fake_total_add(&image.segment, cprof_total_key(a, CPROF_KIND_ALLOC, 9), ONE / 4, 1);
	struct aggregate aggregate = take(&image.reader);
	cr_assert_eq(aggregate.sample_count[PROFILE_HEAP], 1);
	cr_expect_eq(aggregate.samples[PROFILE_HEAP][0].values[0],
		     3); /* 2.75; each alone would give 1 + 1 + 0 */
	cr_expect_eq(aggregate.samples[PROFILE_HEAP][0].values[1], 21);
	aggregate_free(&aggregate);
	fake_image_close(&image);
}

Test(aggregate, tells_changed_content_by_its_fingerprint)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	uint32_t a = fake_leaf(&image.segment, 0xa);
	fake_record(&image.segment, image.slot, a, CPROF_KIND_ALLOC, ONE, 100);
	fake_live_add(&image.segment, 0x7000, a, ONE, 100);
	struct aggregate before = take(&image.reader);
	struct aggregate same = take(&image.reader);
	fake_live_remove(&image.segment, 0x7000);
	struct aggregate after = take(&image.reader);
	cr_expect_eq(before.fingerprint[PROFILE_HEAP], same.fingerprint[PROFILE_HEAP]);
	cr_expect_neq(before.fingerprint[PROFILE_HEAP], after.fingerprint[PROFILE_HEAP]);
	cr_expect_eq(before.fingerprint[PROFILE_CPU], after.fingerprint[PROFILE_CPU]);
	aggregate_free(&before);
	aggregate_free(&same);
	aggregate_free(&after);
	fake_image_close(&image);
}

Test(aggregate, keeps_values_whose_stack_id_denotes_none)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	uint64_t frames[200] = {0};
	uint32_t deep = fake_stack(&image.segment, frames, 200, 0); /* more than may be */
	fake_total_add(&image.segment, cprof_total_key(deep, CPROF_KIND_CPU, 0), ONE, 1);
	fake_total_add(&image.segment, cprof_total_key(UINT32_MAX, CPROF_KIND_CPU, 0), ONE, 10);
	fake_total_add(&image.segment, cprof_total_key(deep + 10, CPROF_KIND_CPU, 0), ONE, 100);
	fake_total_add(&image.segment, cprof_total_key(deep, 200, 0), ONE, 1000);
	struct aggregate aggregate = take(&image.reader);
	cr_assert_eq(aggregate.sample_count[PROFILE_CPU], 1);
	cr_expect_eq(aggregate.samples[PROFILE_CPU][0].frame_count, 0);
	cr_expect_eq(aggregate.samples[PROFILE_CPU][0].values[1], 111);
	aggregate_free(&aggregate);
	fake_image_close(&image);
}

Test(aggregate, reads_all_levels_and_leaves_holes_alone)
{
	struct fake_image image;
	fake_image_open(&image, 16 * CPROF_SEGMENT_BYTES_MIN);
	uint32_t first = fake_leaf(&image.segment, 1);
	uint32_t last = first;
	for (uint64_t i = 2; i <= 2000; i++)
		last = fake_leaf(&image.segment, i);
	for (uint32_t id = first; id <= last; id += 2) {
		fake_total_add(&image.segment, cprof_total_key(id, CPROF_KIND_ALLOC, 0), ONE, 8);
		fake_live_add(&image.segment, 0x10000u + id * 16u, id, ONE, 8);
	}
	uint64_t end = 0;
	uint64_t at = 0;
	uint64_t data_before = 0;
	uint64_t data_after = 0;
	for (uint64_t from = 0;
	     segment_reader_next_data(&image.reader, from, image.segment.geometry.segment_bytes, &at, &end);
	     from = end)
		data_before += end - at;
	struct aggregate aggregate = take(&image.reader);
	for (uint64_t from = 0;
	     segment_reader_next_data(&image.reader, from, image.segment.geometry.segment_bytes, &at, &end);
	     from = end)
		data_after += end - at;
	cr_expect_eq(aggregate.sample_count[PROFILE_HEAP], 2000);
	cr_expect_eq(aggregate.sums[PROFILE_HEAP].value, 16000);
	cr_expect_eq(aggregate.sums[PROFILE_HEAP].live_value, 16000);
	cr_expect_eq(data_before, data_after);
	aggregate_free(&aggregate);
	fake_image_close(&image);
}

/* ---- while the program runs ----------------------------------------------------------- */

struct churn {
	struct fake_segment *fake;
	uint32_t slot;
	uint32_t stack;
	uint64_t address;
	atomic_u32 is_stopping;
};

static void *churn(void *argument)
{
	struct churn *c = argument;
	while (!load_relaxed(&c->is_stopping)) {
		for (uint64_t i = 0; i < 64; i++) {
			fake_record(c->fake, c->slot, c->stack, CPROF_KIND_ALLOC, ONE, 100);
			fake_live_add(c->fake, c->address + 16 * i, c->stack, ONE, 100);
		}
		for (uint64_t i = 0; i < 64; i++)
			fake_live_remove(c->fake, c->address + 16 * i);
	}
	return NULL;
}

Test(aggregate, never_shows_more_in_use_than_allocated, .timeout = 60)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	struct churn churns[2];
	pthread_t threads[2];
	for (uint32_t i = 0; i < 2; i++) {
		churns[i] = (struct churn){.fake = &image.segment,
					   .slot = fake_thread_start(&image.segment),
					   .stack = fake_leaf(&image.segment, 0x10 + i),
					   .address = 0x100000 * (i + 1)};
		cr_assert_eq(pthread_create(&threads[i], NULL, churn, &churns[i]), 0);
	}
	uint64_t last_alloc = 0;
	for (int round = 0; round < 300 || last_alloc < 10000; round++) {
		struct aggregate aggregate = take(&image.reader);
		uint64_t alloc = 0;
		for (size_t i = 0; i < aggregate.sample_count[PROFILE_HEAP]; i++) {
			const int64_t *v = aggregate.samples[PROFILE_HEAP][i].values;
			cr_expect_geq(v[0], v[2]);
			cr_expect_geq(v[1], v[3]);
			cr_expect_eq(v[2] * 100, v[3]);
			cr_expect_leq(v[2], 64);
			alloc += (uint64_t)v[0];
		}
		cr_expect_geq(alloc, last_alloc);
		last_alloc = alloc;
		aggregate_free(&aggregate);
	}
	for (uint32_t i = 0; i < 2; i++) {
		store_relaxed(&churns[i].is_stopping, 1);
		pthread_join(threads[i], NULL);
	}
	cr_expect_gt(last_alloc, 0);
	fake_image_close(&image);
}

/* ---- nonsense ------------------------------------------------------------------------- */

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
	random_state += UINT64_C(0x9e3779b97f4a7c15);
	return cprof_mix64(random_state) % limit;
}

static void fill(struct fake_segment *fake)
{
	for (int t = 0; t < 3; t++) {
		uint32_t slot = fake_thread_start(fake);
		for (uint64_t i = 0; i < 20; i++) {
			uint32_t stack = fake_leaf(fake, 0x100 + i);
			fake_record(fake, slot, stack, 1 + (uint32_t)i % (CPROF_KIND_COUNT - 1), ONE, i);
			fake_live_add(fake, 0x10000 + ((uint64_t)t << 12) + i * 16, stack, ONE, i);
		}
	}
	fake_module(fake, 0, "/nonexistent/a", 0x10000);
	fake_module(fake, 1, "/nonexistent/b", 0x20000);
}

/* Overwrites words of the parts that are in use, often with values that look like something. */
static void scribble(struct fake_segment *fake)
{
	const struct cprof_geometry *g = &fake->geometry;
	const struct {
		uint64_t offset, size;
	} parts[] = {{offsetof(struct cprof_control, cpu_hz), 512},
		     {g->journal_offset, sizeof(struct cprof_journal)},
		     {g->modules_offset, 2 * sizeof(struct cprof_module)},
		     {g->frames_offset, 4096},
		     {g->totals_offset, 64 * sizeof(struct cprof_total_bucket)},
		     {g->live_offset, 64 * sizeof(struct cprof_live_bucket)},
		     {g->threads_offset, 3 * sizeof(struct cprof_thread)},
		     {g->threads_offset, 192}};
	uint64_t count = 1 + random_below(200);
	for (uint64_t i = 0; i < count; i++) {
		size_t part = random_below(sizeof parts / sizeof parts[0]);
		uint64_t at = parts[part].offset + random_below(parts[part].size / 8) * 8;
		uint64_t word = cprof_mix64(random_below(UINT64_MAX));
		switch (random_below(4)) {
		case 0:
			word &= 0xff;
			break;
		case 1:
			word = UINT64_MAX;
			break;
		case 2:
			word &= UINT64_C(0xffffffff000000ff);
			break;
		}
		memcpy(fake->base + at, &word, sizeof word);
	}
}

Test(aggregate, survives_any_bytes, .timeout = 300)
{
	for (uint64_t seed = 1; seed <= 1000; seed++) {
		struct fake_segment fake;
		struct aggregate aggregate;
		struct ring_drained drained;
		struct module_rows rows = {0};
		random_state = seed;
		fake_segment_create(&fake, CPROF_SEGMENT_BYTES_MIN);
		struct segment_reader reader = fake_reader(&fake);
		fill(&fake);
		scribble(&fake);
		ring_consumer_replay(&reader);
		ring_consumer_drain(&reader, RING_OWNER_RUNNING, &drained);
		cr_expect_leq(drained.fullest, CPROF_RING_RECORDS);
		module_rows_update(&rows, &reader, -1);
		scribble(&fake);
		cr_assert_eq(aggregate_take(&reader, RING_OWNER_DEAD, &aggregate, &drained), 0);
		module_rows_update(&rows, &reader, -1);
		module_rows_refresh(&rows, &reader);
		for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++)
			for (size_t i = 0; i < aggregate.sample_count[kind]; i++) {
				const struct profile_sample *s = &aggregate.samples[kind][i];
				cr_expect_leq(s->frame_count, CPROF_STACK_FRAMES_MAX);
				for (int v = 0; v < PROFILE_VALUES_MAX; v++)
					cr_expect_geq(s->values[v], 0);
			}
		for (size_t i = 0; i < rows.count; i++)
			cr_expect_lt(strlen(rows.modules[i].path), CPROF_PATH_BYTES);
		module_rows_free(&rows);
		aggregate_free(&aggregate);
		segment_reader_close(&reader);
		fake_segment_destroy(&fake);
	}
}

Test(aggregate, sums_by_labels_too_whatever_the_order_they_came_in)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	uint32_t a = fake_leaf(&image.segment, 0xa);
	uint32_t one = fake_labels(&image.segment, fake_labels(&image.segment, 0, "x", "1"), "y", "2");
	uint32_t same = fake_labels(&image.segment, fake_labels(&image.segment, 0, "y", "2"), "x", "1");
	uint32_t other = fake_labels(&image.segment, 0, "x", "1");
	fake_total_add(&image.segment, cprof_total_key(a, CPROF_KIND_ALLOC, one), 2 * ONE, 20);
	fake_total_add(&image.segment, cprof_total_key(a, CPROF_KIND_ALLOC, same), ONE, 10);
	fake_total_add(&image.segment, cprof_total_key(a, CPROF_KIND_ALLOC, other), ONE, 7);
	fake_total_add(&image.segment, cprof_total_key(a, CPROF_KIND_ALLOC, 0), ONE, 5);
	fake_total_add(&image.segment, cprof_total_key(a, CPROF_KIND_ALLOC, CPROF_LABEL_IDS - 1), ONE, 3);
	fake_live_add_labelled(&image.segment, 0x7000, a, same, ONE, 10);
	struct aggregate aggregate = take(&image.reader);
	cr_assert_eq(aggregate.sample_count[PROFILE_HEAP], 3);
	for (size_t i = 0; i < 3; i++) {
		const struct profile_sample *sample = &aggregate.samples[PROFILE_HEAP][i];
		if (sample->label_count == 2) {
			cr_expect_str_eq(sample->labels[1].key, "y");
			cr_expect_str_eq(sample->labels[1].text, "2");
			cr_expect_eq(sample->values[0], 3);
			cr_expect_eq(sample->values[1], 30);
			cr_expect_eq(sample->values[3], 10);
		} else if (sample->label_count == 1) {
			cr_expect_eq(sample->values[1], 7);
		} else {
			/* A label id that is none: the figures are real all the same. */
			cr_expect_eq(sample->values[1], 8);
		}
	}
	aggregate_free(&aggregate);
	fake_image_close(&image);
}
