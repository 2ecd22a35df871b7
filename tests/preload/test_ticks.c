/* SPDX-License-Identifier: MIT */
/* Times made of ticks against the clock that they stand for. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <unistd.h>

#include "real.h"
#include "ticks.h"

/* So far may a time be from the clock's, and a new reading behind an older one. */
#define APART_NS 1000
#define READINGS 200000

static void begin(void)
{
	real_resolve();
	ticks_init();
	/* The first rate takes a few readings. */
	for (int i = 0; i < 10; i++) {
		(void)ticks_now_ns();
		usleep(2000);
	}
}

Test(ticks, lie_between_two_readings_of_the_clock, .init = begin)
{
	uint64_t last = 0;
	for (int i = 0; i < READINGS; i++) {
		uint64_t before = real_monotonic_ns();
		uint64_t now = ticks_now_ns();
		uint64_t after = real_monotonic_ns();
		cr_assert(ge(u64, now + APART_NS, before));
		cr_assert(le(u64, now, after + APART_NS));
		cr_assert(ge(u64, now, last));
		last = now;
	}
}

Test(ticks, go_on_after_a_rest, .init = begin)
{
	for (int i = 0; i < 20; i++) {
		usleep(20000);
		uint64_t before = real_monotonic_ns();
		uint64_t now = ticks_now_ns();
		cr_assert(ge(u64, now + APART_NS, before));
		cr_assert(le(u64, now, real_monotonic_ns() + APART_NS));
	}
}

static atomic_u64 told_ns;
static atomic_u32 is_over;

static void *tell(void *unused)
{
	while (!load_relaxed(&is_over)) /* a flag */
		store_release(&told_ns, ticks_now_ns());
	return unused;
}

Test(ticks, of_one_thread_are_not_after_those_that_another_reads_later, .init = begin)
{
	pthread_t teller;
	cr_assert(eq(int, pthread_create(&teller, NULL, tell, NULL), 0));
	for (int i = 0; i < READINGS; i++) {
		uint64_t told = load_acquire(&told_ns);
		cr_expect(ge(u64, ticks_now_ns() + APART_NS, told));
	}
	store_relaxed(&is_over, UINT32_C(1)); /* as above */
	pthread_join(teller, NULL);
}

Test(ticks, are_the_clock_itself_without_a_counter_to_trust)
{
	real_resolve();
	for (int i = 0; i < 1000; i++) {
		uint64_t before = real_monotonic_ns();
		uint64_t now = ticks_now_ns();
		cr_assert(ge(u64, now, before));
		cr_assert(le(u64, now, real_monotonic_ns()));
	}
	cr_expect(eq(u64, load_relaxed(&ticks_anchor.ns), 0));
}

Test(ticks, are_the_clock_while_somebody_reads_it_anew_and_in_a_child_that_was_forked_then, .init = begin)
{
	/* As a thread leaves it that is interrupted in the middle, and does not go on in the child. */
	add_relaxed(&ticks_anchor.sequence, 1);
	uint64_t anchored = load_relaxed(&ticks_anchor.ns);
	uint64_t before = real_monotonic_ns();
	cr_expect(ge(u64, ticks_now_ns(), before));
	cr_expect(eq(u64, load_relaxed(&ticks_anchor.ns), anchored));
	ticks_forget();
	cr_expect(eq(u32, load_relaxed(&ticks_anchor.sequence) % 2, 0));
	cr_expect(ge(u64, ticks_now_ns(), before));
}
