/* SPDX-License-Identifier: MIT */
/*
 * Draining: sums, holes, levels, nonsense, and a consumer that dies at every single
 * instruction of a batch.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_image.h"
#include "ring_consumer.h"

#define ONE CPROF_WEIGHT_ONE

static void expect_total(const struct fake_segment *fake, uint32_t stack, uint32_t kind, uint64_t weight,
			 uint64_t value)
{
	uint64_t found_weight;
	uint64_t found_value;
	fake_total_get(fake, cprof_total_key(stack, kind, 0), &found_weight, &found_value);
	cr_expect_eq(found_weight, weight, "weight %lu, not %lu", found_weight, weight);
	cr_expect_eq(found_value, value, "value %lu, not %lu", found_value, value);
}

static uint64_t counter(const struct fake_segment *fake, enum cprof_counter which)
{
	return load_relaxed(&fake_control(fake)->counters[which]);
}

Test(ring_consumer, adds_records_to_what_producers_added)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	uint32_t stack = fake_leaf(&image.segment, 0x10);
	fake_total_add(&image.segment, cprof_total_key(stack, CPROF_KIND_CPU, 0), ONE, 5);
	fake_record(&image.segment, image.slot, stack, CPROF_KIND_CPU, 2 * ONE, 70);
	fake_record(&image.segment, image.slot, stack, CPROF_KIND_ALLOC, 3 * ONE, 900);
	fake_record(&image.segment, image.slot, stack, CPROF_KIND_CPU, ONE, 1);
	struct ring_drained drained;
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	cr_expect_eq(drained.records, 3);
	cr_expect_eq(drained.fullest, 3);
	cr_expect_eq(drained.corrupt, 0);
	expect_total(&image.segment, stack, CPROF_KIND_CPU, 4 * ONE, 76);
	expect_total(&image.segment, stack, CPROF_KIND_ALLOC, 3 * ONE, 900);
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	cr_expect_eq(drained.records, 0);
	expect_total(&image.segment, stack, CPROF_KIND_CPU, 4 * ONE, 76);
	fake_image_close(&image);
}

Test(ring_consumer, loses_nothing_when_rings_overflow)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	uint32_t stacks[7];
	for (int i = 0; i < 7; i++)
		stacks[i] = fake_leaf(&image.segment, 0x100u + (uint64_t)i);
	uint64_t drained_records = 0;
	for (uint64_t i = 0; i < 7000; i++) {
		fake_record(&image.segment, image.slot, stacks[i % 7], CPROF_KIND_ALLOC, ONE, i);
		if (i % 2500 == 2499) {
			struct ring_drained drained;
			ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
			drained_records += drained.records;
		}
	}
	struct ring_drained last;
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &last);
	cr_expect_gt(drained_records + last.records, 500);
	cr_expect_lt(drained_records + last.records, 7000);
	uint64_t weight = 0;
	uint64_t value = 0;
	for (int i = 0; i < 7; i++) {
		uint64_t w;
		uint64_t v;
		fake_total_get(&image.segment, cprof_total_key(stacks[i], CPROF_KIND_ALLOC, 0), &w, &v);
		weight += w;
		value += v;
	}
	cr_expect_eq(weight, 7000 * ONE);
	cr_expect_eq(value, 7000u * 6999u / 2);
	fake_image_close(&image);
}

Test(ring_consumer, waits_at_a_hole_while_the_owner_runs_and_skips_it_when_dead)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	uint32_t stack = fake_leaf(&image.segment, 0x10);
	fake_record(&image.segment, image.slot, stack, CPROF_KIND_CPU, ONE, 1);
	add_relaxed(&fake_thread(&image.segment, image.slot)->head, 1); /* reserved, never written */
	fake_record(&image.segment, image.slot, stack, CPROF_KIND_CPU, ONE, 10);
	struct ring_drained drained;
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	cr_expect_eq(drained.records, 1);
	expect_total(&image.segment, stack, CPROF_KIND_CPU, ONE, 1);
	cr_expect_eq(load_relaxed(&fake_thread(&image.segment, image.slot)->tail), 1);
	ring_consumer_drain(&image.reader, RING_OWNER_DEAD, &drained);
	cr_expect_eq(drained.records, 1);
	expect_total(&image.segment, stack, CPROF_KIND_CPU, 2 * ONE, 11);
	cr_expect_eq(counter(&image.segment, CPROF_RECORDS_TORN), 1);
	cr_expect_eq(load_relaxed(&fake_thread(&image.segment, image.slot)->tail), 3);
	fake_image_close(&image);
}

Test(ring_consumer, frees_the_slot_of_an_ended_thread_once_it_is_drained)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	uint32_t running = fake_thread_start(&image.segment);
	uint32_t stack = fake_leaf(&image.segment, 0x10);
	fake_record(&image.segment, image.slot, stack, CPROF_KIND_CPU, ONE, 1);
	add_relaxed(&fake_thread(&image.segment, image.slot)->head,
		    1); /* a thread that left its hole for good */
	fake_thread_end(&image.segment, image.slot);
	struct ring_drained drained;
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	expect_total(&image.segment, stack, CPROF_KIND_CPU, ONE, 1);
	cr_expect_eq(load_relaxed(&fake_thread(&image.segment, image.slot)->state), CPROF_THREAD_FREE);
	cr_expect_eq(load_relaxed(&fake_thread(&image.segment, running)->state), CPROF_THREAD_LIVE);
	fake_image_close(&image);
}

Test(ring_consumer, walks_the_levels_as_producers_do)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	/* More keys than the first level has slots: some go to the second. */
	uint32_t count = 2 * CPROF_LEVEL0_BUCKETS * CPROF_BUCKET_SLOTS / 3 * 2;
	uint32_t first = fake_leaf(&image.segment, 0);
	for (uint32_t i = 1; i < count; i++)
		fake_leaf(&image.segment, i);
	for (uint32_t i = 0; i < count; i++) {
		fake_record(&image.segment, image.slot, first + 2 * i, CPROF_KIND_CPU, ONE, i);
		struct ring_drained drained;
		if (i % 500 == 499)
			ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	}
	struct ring_drained drained;
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	cr_expect_geq(load_relaxed(&fake_control(&image.segment)->total_levels_used), 2);
	for (uint32_t i = 0; i < count; i++) {
		/* The producer finds the collector's key: one slot, both halves. */
		fake_total_add(&image.segment, cprof_total_key(first + 2 * i, CPROF_KIND_CPU, 0), ONE, 1);
		expect_total(&image.segment, first + 2 * i, CPROF_KIND_CPU, 2 * ONE, i + 1);
	}
	cr_expect_eq(counter(&image.segment, CPROF_TOTALS_FULL), 0);
	uint64_t keys = 0;
	for (uint32_t b = 0; b < image.segment.geometry.totals.bucket_count; b++)
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++)
			keys += load_relaxed(&fake_total_bucket(&image.segment, b)->key[i]) != 0;
	cr_expect_eq(keys, count);
	fake_image_close(&image);
}

Test(ring_consumer, counts_what_finds_no_room_in_the_totals)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	for (uint32_t b = 0; b < image.segment.geometry.totals.bucket_count; b++)
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++)
			store_relaxed(&fake_total_bucket(&image.segment, b)->key[i],
				      cprof_total_key(1, 200, 0));
	fake_record(&image.segment, image.slot, 1, CPROF_KIND_CPU, 2 * ONE, 50);
	fake_record(&image.segment, image.slot, 1, CPROF_KIND_ALLOC, 3 * ONE, 60);
	fake_record(&image.segment, image.slot, 1, CPROF_KIND_BLOCK, 4 * ONE, 70);
	fake_record(&image.segment, image.slot, 1, CPROF_KIND_MUTEX, 5 * ONE, 80);
	fake_record(&image.segment, image.slot, 1, CPROF_KIND_THREADCREATE, 6 * ONE, 0);
	struct ring_drained drained;
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	cr_expect_eq(counter(&image.segment, CPROF_TOTALS_FULL), 5);
	cr_expect_eq(counter(&image.segment, CPROF_LOST_CPU_SAMPLES), 2);
	cr_expect_eq(counter(&image.segment, CPROF_LOST_CPU_NS), 50);
	cr_expect_eq(counter(&image.segment, CPROF_LOST_ALLOC_BLOCKS), 3);
	cr_expect_eq(counter(&image.segment, CPROF_LOST_ALLOC_BYTES), 60);
	cr_expect_eq(counter(&image.segment, CPROF_LOST_BLOCK_WAITS), 4);
	cr_expect_eq(counter(&image.segment, CPROF_LOST_BLOCK_NS), 70);
	cr_expect_eq(counter(&image.segment, CPROF_LOST_MUTEX_WAITS), 5);
	cr_expect_eq(counter(&image.segment, CPROF_LOST_MUTEX_NS), 80);
	cr_expect_eq(counter(&image.segment, CPROF_LOST_THREAD_STARTS), 6);
	fake_image_close(&image);
}

Test(ring_consumer, drops_impossible_kinds_and_keeps_impossible_stacks_without_stack)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	fake_record(&image.segment, image.slot, 1, CPROF_KIND_NONE, ONE, 1);
	fake_record(&image.segment, image.slot, 1, 77, ONE, 1);
	fake_record(&image.segment, image.slot, UINT32_MAX, CPROF_KIND_CPU, ONE, 9);
	struct ring_drained drained;
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	cr_expect_eq(counter(&image.segment, CPROF_RECORDS_TORN), 2);
	cr_expect_eq(counter(&image.segment, CPROF_STACKS_MISSING), 1);
	expect_total(&image.segment, 0, CPROF_KIND_CPU, ONE, 9);
	fake_image_close(&image);
}

Test(ring_consumer, empties_a_ring_whose_positions_make_no_sense)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	store_relaxed(&fake_thread(&image.segment, image.slot)->head, UINT64_C(1) << 40);
	store_relaxed(&fake_control(&image.segment)->threads_used, UINT32_MAX);
	struct ring_drained drained;
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	cr_expect_eq(drained.corrupt, 1);
	uint32_t stack = fake_leaf(&image.segment, 0x10);
	fake_record(&image.segment, image.slot, stack, CPROF_KIND_CPU, ONE, 1);
	ring_consumer_drain(&image.reader, RING_OWNER_RUNNING, &drained);
	cr_expect_eq(drained.corrupt, 0);
	expect_total(&image.segment, stack, CPROF_KIND_CPU, ONE, 1);
	fake_image_close(&image);
}

Test(ring_consumer, throws_away_a_journal_that_points_elsewhere)
{
	struct fake_image image;
	fake_image_open(&image, CPROF_SEGMENT_BYTES_MIN);
	struct cprof_journal *journal = fake_journal(&image.segment);
	const struct cprof_geometry *g = &image.segment.geometry;
	const struct {
		uint32_t thread, entry_count, bucket, slot;
	} cases[] = {{g->thread_count, 1, 0, 0},
		     {0, CPROF_JOURNAL_ENTRIES + 1, 0, 0},
		     {0, UINT32_MAX, 0, 0},
		     {0, 1, g->totals.bucket_count, 0},
		     {0, 1, 0, CPROF_BUCKET_SLOTS}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		journal->thread = cases[i].thread;
		journal->entry_count = cases[i].entry_count;
		journal->entries[0] = (struct cprof_journal_entry){cases[i].bucket, cases[i].slot, 0x1111,
								   0x2222};
		store_release(&journal->state, 1);
		cr_expect_eq(ring_consumer_replay(&image.reader), -EBADMSG, "case %zu", i);
		cr_expect_eq(load_relaxed(&journal->state), 0);
		cr_expect_eq(ring_consumer_replay(&image.reader), 0);
	}
	fake_image_close(&image);
}

/* ---- death at any instruction --------------------------------------------------------- */

/* What the rings hold, as totals: {stack index, kind, weight, value}. */
static const struct {
	int stack;
	uint32_t kind;
	uint64_t weight;
	uint64_t value;
} truth[] = {{0, CPROF_KIND_CPU, 3 * ONE, 111},
	     {0, CPROF_KIND_ALLOC, ONE, 64},
	     {1, CPROF_KIND_ALLOC, 5 * ONE, 500}};

static void fill_rings(struct fake_segment *fake, uint32_t stacks[2])
{
	uint32_t a = fake_thread_start(fake);
	uint32_t b = fake_thread_start(fake);
	stacks[0] = fake_leaf(fake, 0x10);
	stacks[1] = fake_leaf(fake, 0x20);
	fake_record(fake, a, stacks[0], CPROF_KIND_CPU, ONE, 1);
	fake_record(fake, a, stacks[0], CPROF_KIND_CPU, ONE, 10);
	fake_record(fake, a, stacks[0], CPROF_KIND_ALLOC, ONE, 64);
	fake_record(fake, b, stacks[0], CPROF_KIND_CPU, ONE, 100);
	fake_record(fake, b, stacks[1], CPROF_KIND_ALLOC, 5 * ONE, 500);
	fake_thread_end(fake, b);
}

/* Takes over the state in `dead` on a copy, and checks that nothing is lost or doubled. */
static void take_over(const struct fake_segment *dead, const uint32_t stacks[2], unsigned state)
{
	struct fake_segment copy;
	fake_segment_create(&copy, dead->geometry.segment_bytes);
	memcpy(copy.base, dead->base, dead->geometry.segment_bytes);
	struct segment_reader reader = fake_reader(&copy);
	struct ring_drained drained;
	cr_assert_eq(ring_consumer_replay(&reader), 0, "state %u", state);
	ring_consumer_drain(&reader, RING_OWNER_RUNNING, &drained);
	cr_assert_eq(drained.corrupt, 0);
	for (size_t i = 0; i < sizeof truth / sizeof truth[0]; i++) {
		uint64_t weight;
		uint64_t value;
		fake_total_get(&copy, cprof_total_key(stacks[truth[i].stack], truth[i].kind, 0), &weight,
			       &value);
		cr_assert_eq(weight, truth[i].weight, "state %u, total %zu: weight %lu", state, i, weight);
		cr_assert_eq(value, truth[i].value, "state %u, total %zu: value %lu", state, i, value);
	}
	cr_assert_eq(load_relaxed(&fake_thread(&copy, 1)->state), CPROF_THREAD_FREE);
	segment_reader_close(&reader);
	fake_segment_destroy(&copy);
}

/*
 * Single-steps a consumer through a whole drain.  Whenever an instruction has changed
 * the segment, what another collector would make of it is checked.
 */
Test(ring_consumer, may_die_at_any_instruction, .timeout = 120)
{
	struct fake_segment fake;
	uint32_t stacks[2];
	fake_segment_create(&fake, CPROF_SEGMENT_BYTES_MIN);
	fill_rings(&fake, stacks);
	struct segment_reader reader = fake_reader(&fake);
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		struct ring_drained drained;
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(77);
		raise(SIGSTOP);
		ring_consumer_drain(&reader, RING_OWNER_RUNNING, &drained);
		_exit(0);
	}
	int status;
	cr_assert_eq(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("ptrace is not permitted here");
	size_t bytes = fake.geometry.segment_bytes;
	/* The consumer writes to the control block, the journal, the totals and the slots' first pages. */
	const struct {
		uint64_t offset, size;
	} watched[] = {{0, fake.geometry.modules_offset},
		       {fake.geometry.totals_offset,
			fake.geometry.totals.bucket_count * sizeof(struct cprof_total_bucket)},
		       {fake.geometry.threads_offset, 4096},
		       {fake.geometry.threads_offset + sizeof(struct cprof_thread), 4096}};
	unsigned char *before = malloc(bytes);
	memcpy(before, fake.base, bytes);
	unsigned states = 0;
	unsigned long steps = 0;
	while (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0 && waitpid(child, &status, 0) == child &&
	       WIFSTOPPED(status)) {
		steps++;
		bool is_changed = false;
		for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
			if (memcmp(before + watched[i].offset, fake.base + watched[i].offset,
				   watched[i].size)) {
				memcpy(before + watched[i].offset, fake.base + watched[i].offset,
				       watched[i].size);
				is_changed = true;
			}
		if (is_changed)
			take_over(&fake, stacks, states++);
	}
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* Two batches of journal, values, tail and state: fewer would mean that we did not look. */
	cr_expect_gt(states, 20, "%u states in %lu instructions", states, steps);
	free(before);
	segment_reader_close(&reader);
	fake_segment_destroy(&fake);
}
