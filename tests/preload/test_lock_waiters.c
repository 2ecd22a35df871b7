/* SPDX-License-Identifier: MIT */
/*
 * Who is charged with what: the arithmetic of joins, releases, acquisitions and give-ups,
 * that charges add up to waits whatever their order and however many threads, and what
 * happens when the table is full.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#include "lock_waiters.h"
#include "own_segment.h"

#define US UINT64_C(1024) /* a ticket's unit; a multiple of the sums' 16 ns */
#define START (UINT64_C(1000000) * US)

static const struct lock_releaser site = {.stack = 7, .scale = 1}, scaled = {.stack = 9, .scale = 100},
				  not_sampled = {.stack = 0, .scale = 0};

/* A lock's address that shares nothing with another one's. */
static const void *lock_at(uint64_t n)
{
	return (const void *)(uintptr_t)(UINT64_C(0x555500000000) + n * 64);
}

/* The holder's release, with nothing between its halves. */
static struct lock_charge release_at(const void *lock, uint64_t now, struct lock_releaser releaser)
{
	struct lock_release release;
	if (!lock_waiters_release_begin(lock, now, 1, &release))
		return (struct lock_charge){0, 0};
	struct lock_charge left = lock_waiters_release_end(&release, releaser);
	cr_assert_eq(left.waits, 0);
	return release.charge;
}

Test(lock_waiters, lock_without_waiters_is_not_known)
{
	cr_assert_not(lock_waiters_look(lock_at(1)));
	struct lock_release release;
	cr_assert_not(lock_waiters_release_begin(lock_at(1), START, 0, &release));
}

Test(lock_waiters, holder_is_charged_with_the_wait_and_its_end)
{
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	cr_assert_eq(lock_waiters_look(lock_at(1)), 1);
	charge = release_at(lock_at(1), START + 1000 * US, site);
	cr_assert_eq(charge.waits, 0);
	cr_assert_eq(charge.delay_ns, 1000 * US);
	cr_assert(lock_waiters_acquire(entry, START, START + 1005 * US, &charge, &releaser));
	cr_assert_eq(charge.waits, 1);
	cr_assert_eq(charge.delay_ns, 5 * US, "what waking up took");
	cr_assert_eq(releaser.stack, 7);
	cr_assert_not(lock_waiters_look(lock_at(1)));
}

Test(lock_waiters, each_holder_is_charged_with_its_own_time_for_all_waiters)
{
	const struct lock_releaser a = {.stack = 1, .scale = 1}, b = {.stack = 2, .scale = 1};
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_waiters *first = lock_waiters_join(lock_at(1), START);
	struct lock_waiters *second = lock_waiters_join(lock_at(1), START + 10 * US);
	cr_assert_eq(first, second);
	cr_assert_eq(release_at(lock_at(1), START + 100 * US, a).delay_ns, 190 * US);
	cr_assert(lock_waiters_acquire(first, START, START + 101 * US, &charge, &releaser));
	cr_assert_eq(charge.delay_ns, 2 * US, "both waited for the first to wake up");
	cr_assert_eq(releaser.stack, 1);
	cr_assert_eq(release_at(lock_at(1), START + 300 * US, b).delay_ns, 199 * US);
	cr_assert(lock_waiters_acquire(second, START + 10 * US, START + 302 * US, &charge, &releaser));
	cr_assert_eq(charge.waits, 1);
	cr_assert_eq(charge.delay_ns, 2 * US);
	cr_assert_eq(releaser.stack, 2);
	cr_assert_eq(release_at(lock_at(1), START + 400 * US, a).delay_ns, 0);
}

/* A thread that takes the lock before the one that was woken: its release is charged with its part. */
Test(lock_waiters, release_by_one_that_did_not_wait_is_charged_without_a_count)
{
	const struct lock_releaser a = {.stack = 1, .scale = 1}, b = {.stack = 2, .scale = 1};
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	cr_assert_eq(release_at(lock_at(1), START + 10 * US, a).delay_ns, 10 * US);
	charge = release_at(lock_at(1), START + 500 * US, b);
	cr_assert_eq(charge.delay_ns, 490 * US);
	cr_assert_eq(charge.waits, 0);
	cr_assert(lock_waiters_acquire(entry, START, START + 501 * US, &charge, &releaser));
	cr_assert_eq(releaser.stack, 2);
	cr_assert_eq(charge.waits, 1);
}

Test(lock_waiters, wait_that_timed_out_is_left_to_the_release)
{
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	lock_waiters_give_up(entry, START + 40 * US);
	cr_assert_eq(lock_waiters_look(lock_at(1)), LOCK_WAITERS_LEFT + 1, "until the holder releases");
	struct lock_charge charge = release_at(lock_at(1), START + 9000 * US, site);
	cr_assert_eq(charge.waits, 1);
	cr_assert_eq(charge.delay_ns, 40 * US);
	cr_assert_not(lock_waiters_look(lock_at(1)));
}

Test(lock_waiters, wait_of_no_time_that_timed_out_is_counted)
{
	lock_waiters_give_up(lock_waiters_join(lock_at(1), START), START);
	cr_assert_eq(release_at(lock_at(1), START + US, site).waits, 1);
	cr_assert_not(lock_waiters_look(lock_at(1)));
}

Test(lock_waiters, what_was_no_wait_leaves_nothing)
{
	lock_waiters_cancel(lock_waiters_join(lock_at(1), START), START);
	cr_assert_not(lock_waiters_look(lock_at(1)));
	lock_waiters_join(lock_at(1), START);
	lock_waiters_abandon(lock_at(1), START);
	cr_assert_not(lock_waiters_look(lock_at(1)));
	lock_waiters_abandon(lock_at(1), START); /* nobody is there any more */
	cr_assert_not(lock_waiters_look(lock_at(1)));
}

/* One that was taken for one that was left, though it was not. */
Test(lock_waiters, wait_that_ends_twice_breaks_nothing)
{
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	lock_waiters_abandon(lock_at(1), START);
	cr_assert_not(lock_waiters_acquire(entry, START, START + US, &charge, &releaser));
	lock_waiters_cancel(entry, START);
	cr_assert_not(lock_waiters_look(lock_at(1)));
	cr_assert_eq(lock_waiters_join(lock_at(1), START), entry, "and can be used");
}

Test(lock_waiters, what_was_charged_for_no_wait_is_given_back)
{
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	lock_waiters_join(lock_at(1), START);
	cr_assert_eq(release_at(lock_at(1), START + 10 * US, site).delay_ns, 20 * US);
	lock_waiters_cancel(entry, START);
	cr_assert(lock_waiters_acquire(entry, START, START + 40 * US, &charge, &releaser));
	cr_assert_eq(charge.delay_ns, 20 * US);
}

/* The release came between the failed try and the join. */
Test(lock_waiters, acquisition_after_an_unseen_release_is_left_to_the_next)
{
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	release_at(lock_at(1), START + 10 * US, site);
	cr_assert(lock_waiters_acquire(entry, START, START + 11 * US, &charge, &releaser));
	/* The entry still names that release, which is not one of this wait's. */
	entry = lock_waiters_join(lock_at(1), START + 20 * US);
	cr_assert_not(lock_waiters_acquire(entry, START + 20 * US, START + 23 * US, &charge, &releaser));
	charge = release_at(lock_at(1), START + 50 * US, site);
	cr_assert_eq(charge.waits, 1);
	cr_assert_eq(charge.delay_ns, 3 * US);
}

Test(lock_waiters, releases_are_counted_while_somebody_waits)
{
	struct lock_release release;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	uint32_t before = lock_waiters_releases(entry);
	cr_assert_not(lock_waiters_release_begin(lock_at(1), START + US, 10 * US, &release), "not charged");
	cr_assert_eq(lock_waiters_releases(entry), before + 1);
	cr_assert(lock_waiters_release_begin(lock_at(1), START + 20 * US, 10 * US, &release));
	cr_assert_eq(lock_waiters_releases(entry), before + 2);
	lock_waiters_release_end(&release, site);
}

Test(lock_waiters, acquisition_from_who_is_not_seen_to_release_leaves_nothing)
{
	own_segment_open(UINT64_C(4) << 20);
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	lock_waiters_join(lock_at(1), START);
	lock_waiters_give_up(lock_waiters_join(lock_at(1), START), START + US);
	cr_assert_eq(lock_waiters_uncharged_ns(entry, START + 300 * US), 601 * US);
	uint64_t untracked = load_relaxed(&segment_control()->counters[CPROF_WAITS_UNTRACKED]);
	lock_waiters_acquire_unseen(entry, START + 300 * US);
	cr_assert_eq(load_relaxed(&segment_control()->counters[CPROF_WAITS_UNTRACKED]), untracked + 2);
	/* The other one waits for us from now on. */
	struct lock_charge charge = release_at(lock_at(1), START + 310 * US, site);
	cr_assert_eq(charge.waits, 0);
	cr_assert_eq(charge.delay_ns, 10 * US);
	lock_waiters_acquire_unseen(entry, START + 310 * US);
	cr_assert_not(lock_waiters_look(lock_at(1)));
}

Test(lock_waiters, acquisition_during_the_releasers_walk_is_left_to_it)
{
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_release release;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	cr_assert(lock_waiters_release_begin(lock_at(1), START + 10 * US, 1, &release));
	cr_assert_eq(release.charge.delay_ns, 10 * US);
	cr_assert_not(lock_waiters_acquire(entry, START, START + 12 * US, &charge, &releaser));
	charge = lock_waiters_release_end(&release, site);
	cr_assert_eq(charge.waits, 1);
	cr_assert_eq(charge.delay_ns, 2 * US);
	cr_assert_not(lock_waiters_look(lock_at(1)));
}

Test(lock_waiters, release_that_failed_takes_nothing)
{
	struct lock_release release;
	lock_waiters_join(lock_at(1), START);
	cr_assert(lock_waiters_release_begin(lock_at(1), START + 10 * US, 1, &release));
	lock_waiters_release_undo(&release);
	cr_assert_eq(release_at(lock_at(1), START + 15 * US, site).delay_ns, 15 * US);
}

Test(lock_waiters, short_delays_are_left_to_the_next_release_while_others_wait)
{
	struct lock_release release;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	cr_assert_not(lock_waiters_release_begin(lock_at(1), START + 9 * US, 10 * US, &release));
	cr_assert(lock_waiters_release_begin(lock_at(1), START + 10 * US, 10 * US, &release));
	cr_assert_eq(release.charge.delay_ns, 10 * US);
	lock_waiters_release_end(&release, site);
	lock_waiters_give_up(entry, START + 11 * US);
	/* Nobody waits: there may be no next one. */
	cr_assert(lock_waiters_release_begin(lock_at(1), START + 12 * US, 10 * US, &release));
	cr_assert_eq(release.charge.delay_ns, US);
	cr_assert_eq(release.charge.waits, 1);
}

/* Readings of the clock on two processors may come in either order. */
Test(lock_waiters, waiter_from_the_future_is_charged_later)
{
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_release release;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START + US);
	cr_assert_not(lock_waiters_release_begin(lock_at(1), START, 0, &release));
	cr_assert_eq(release_at(lock_at(1), START + 3 * US, site).delay_ns, 2 * US);
	cr_assert(lock_waiters_acquire(entry, START + US, START + 2 * US, &charge, &releaser));
	cr_assert_eq(charge.delay_ns, 0);
}

Test(lock_waiters, scale_of_a_release_holds_for_who_it_lets_in)
{
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	release_at(lock_at(1), START + US, scaled);
	cr_assert(lock_waiters_acquire(entry, START, START + 2 * US, &charge, &releaser));
	cr_assert_eq(releaser.scale, 100);
}

/* Who lets the waiter in, when two release at the same time: `first` begins first and ends last. */
static struct lock_releaser released_by(struct lock_releaser first, struct lock_releaser second)
{
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_release first_release, second_release;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	lock_waiters_join(lock_at(1), START);
	cr_assert(lock_waiters_release_begin(lock_at(1), START + US, 1, &first_release));
	cr_assert(lock_waiters_release_begin(lock_at(1), START + 3 * US, 1, &second_release));
	lock_waiters_release_end(&second_release, second);
	lock_waiters_release_end(&first_release, first);
	cr_assert(lock_waiters_acquire(entry, START, START + 5 * US, &charge, &releaser));
	return releaser;
}

Test(lock_waiters, scale_of_a_release_survives_one_that_is_not_sampled)
{
	struct lock_releaser releaser = released_by(not_sampled, scaled);
	cr_assert_eq(releaser.stack, 9);
	cr_assert_eq(releaser.scale, 100);
}

Test(lock_waiters, scale_of_a_release_is_not_left_to_one_that_is_not_sampled)
{
	cr_assert_eq(released_by(scaled, not_sampled).scale, 0);
}

/* The 32 bits of a release's time in its word reach 36 minutes to either side. */
Test(lock_waiters, wait_of_hours_is_charged_to_its_release)
{
	const uint64_t hour = UINT64_C(3600) * 1000000 * US;
	for (uint64_t hours = 1; hours <= 5; hours++) {
		struct lock_charge charge;
		struct lock_releaser releaser;
		uint64_t end = START + hours * hour;
		struct lock_waiters *entry = lock_waiters_join(lock_at(hours), START);
		cr_assert_eq(release_at(lock_at(hours), end, site).delay_ns, hours * hour);
		cr_assert(lock_waiters_acquire(entry, START, end + 2 * US, &charge, &releaser));
		cr_assert_eq(charge.waits, 1, "%lu hours", hours);
		cr_assert_eq(charge.delay_ns, 2 * US);
	}
}

Test(lock_waiters, release_of_hours_ago_is_not_charged)
{
	const uint64_t hour = UINT64_C(3600) * 1000000 * US;
	for (uint64_t hours = 1; hours <= 5; hours++) {
		struct lock_charge charge;
		struct lock_releaser releaser;
		uint64_t later = START + hours * hour;
		struct lock_waiters *entry = lock_waiters_join(lock_at(hours), START);
		release_at(lock_at(hours), START + US, site);
		cr_assert(lock_waiters_acquire(entry, START, START + 2 * US, &charge, &releaser));
		entry = lock_waiters_join(lock_at(hours), later);
		cr_assert_not(lock_waiters_acquire(entry, later, later + US, &charge, &releaser), "%lu hours",
			      hours);
	}
}

Test(lock_waiters, times_wrap_without_notice)
{
	/* The sums' 48 bits of 16 ns, and the tickets' 32 bits of 1024 ns, just before they wrap. */
	static const uint64_t before_wrap[] = {(UINT64_C(1) << 52) - 500 * US,
					       (UINT64_C(1) << 42) - 500 * US};
	for (uint64_t i = 0; i < 2; i++) {
		struct lock_charge charge;
		struct lock_releaser releaser;
		uint64_t start = before_wrap[i];
		struct lock_waiters *entry = lock_waiters_join(lock_at(i), start);
		lock_waiters_join(lock_at(i), start + 100 * US);
		lock_waiters_join(lock_at(i), start + 100 * US);
		cr_assert_eq(release_at(lock_at(i), start + 1000 * US, site).delay_ns, 2800 * US);
		cr_assert(lock_waiters_acquire(entry, start, start + 1001 * US, &charge, &releaser));
		cr_assert_eq(charge.delay_ns, 3 * US);
	}
}

/* Every order of what 4 threads can do to a lock, as a random walk: the sums hold at each end. */
Test(lock_waiters, charges_add_up_in_any_order)
{
	enum { THREADS = 4 };
	srandom(1);
	for (int run = 0; run < 3000; run++) {
		const void *lock = lock_at((uint64_t)run % 700);
		uint64_t now = START + (uint64_t)run * 1000000;
		uint64_t since[THREADS] = {0};
		struct lock_waiters *entry = NULL;
		struct lock_charge charge, sum = {0, 0};
		struct lock_releaser releaser;
		struct lock_release release;
		bool is_releasing = false;
		uint64_t waited = 0, waits = 0;
		for (int step = 0; step < 60; step++) {
			int who = (int)(random() % THREADS);
			now += (uint64_t)(1 + random() % 4000) * 16;
			charge = (struct lock_charge){0, 0};
			if (is_releasing && random() % 2) {
				charge = lock_waiters_release_end(&release, site);
				is_releasing = false;
			} else if (!is_releasing && random() % 3 == 0) {
				is_releasing = lock_waiters_release_begin(lock, now, 0, &release);
				if (is_releasing)
					charge = release.charge;
			} else if (!since[who]) {
				since[who] = now;
				entry = lock_waiters_join(lock, now);
				cr_assert(entry);
			} else {
				waited += now - since[who];
				waits++;
				if (random() % 3 == 0)
					lock_waiters_give_up(entry, now);
				else if (!lock_waiters_acquire(entry, since[who], now, &charge, &releaser))
					charge = (struct lock_charge){0, 0};
				since[who] = 0;
			}
			sum.waits += charge.waits;
			sum.delay_ns += charge.delay_ns;
		}
		now += 16; /* a wait that took no time at all would count as 16 ns */
		for (int i = 0; i < THREADS; i++)
			if (since[i]) {
				waited += now - since[i];
				waits++;
				lock_waiters_give_up(entry, now);
			}
		if (is_releasing) {
			charge = lock_waiters_release_end(&release, site);
			sum.waits += charge.waits;
			sum.delay_ns += charge.delay_ns;
		}
		charge = release_at(lock, now, site);
		cr_assert_eq(sum.waits + charge.waits, waits, "run %d", run);
		cr_assert_eq(sum.delay_ns + charge.delay_ns, waited, "run %d", run);
		cr_assert_not(lock_waiters_look(lock), "run %d", run);
	}
}

Test(lock_waiters, full_bucket_refuses_and_serves_again)
{
	struct lock_waiters *entries[LOCK_WAITERS_BUCKETS * LOCK_WAITERS_SLOTS];
	const void *locks[ARRAY_LENGTH(entries)];
	uint32_t count = 0, refused = 0;
	for (uint64_t n = 0; n < 4 * ARRAY_LENGTH(entries); n++) {
		struct lock_waiters *entry = lock_waiters_join(lock_at(n), START);
		if (!entry) {
			refused++;
			continue;
		}
		cr_assert_lt(count, ARRAY_LENGTH(entries));
		locks[count] = lock_at(n);
		entries[count++] = entry;
	}
	cr_assert_eq(count, ARRAY_LENGTH(entries), "all of it is used");
	cr_assert_eq(refused, 3 * ARRAY_LENGTH(entries));
	for (uint32_t i = 0; i < count; i++) {
		cr_assert_eq(release_at(locks[i], START + 16 * (i + 1), site).delay_ns, 16 * (i + 1));
		lock_waiters_cancel(entries[i], START + 16 * (i + 1)); /* the charge is not given back */
	}
	for (uint32_t i = 0; i < LOCK_WAITERS_FILTER_WORDS; i++)
		cr_assert_eq(load_relaxed(&lock_waiters_filter[i]), 0);
	for (uint64_t n = 0; n < 10000; n++) {
		struct lock_waiters *entry = lock_waiters_join(lock_at(n), START);
		cr_assert(entry);
		lock_waiters_cancel(entry, START);
	}
}

/* A lock that was destroyed or is never released must not keep its place from others. */
Test(lock_waiters, what_nobody_takes_gives_way)
{
	for (uint64_t n = 0; n < 10 * LOCK_WAITERS_BUCKETS * LOCK_WAITERS_SLOTS; n++) {
		struct lock_waiters *entry = lock_waiters_join(lock_at(n), START);
		cr_assert(entry);
		lock_waiters_give_up(entry, START + US);
	}
}

Test(lock_waiters, forked_child_knows_nobody)
{
	lock_waiters_join(lock_at(1), START);
	lock_waiters_forget();
	struct lock_release release;
	cr_assert_not(lock_waiters_look(lock_at(1)));
	cr_assert_not(lock_waiters_release_begin(lock_at(1), START + US, 0, &release));
	cr_assert(lock_waiters_join(lock_at(1), START));
}

/* A parent's release that was still walking its stack at the fork is not there to take it. */
Test(lock_waiters, forked_child_is_left_nothing)
{
	struct lock_charge charge;
	struct lock_releaser releaser;
	struct lock_release release;
	struct lock_waiters *entry = lock_waiters_join(lock_at(1), START);
	cr_assert(lock_waiters_release_begin(lock_at(1), START + 10 * US, 1, &release));
	cr_assert_not(lock_waiters_acquire(entry, START, START + 12 * US, &charge, &releaser));
	lock_waiters_forget();
	entry = lock_waiters_join(lock_at(1), START + 20 * US);
	cr_expect_eq(release_at(lock_at(1), START + 30 * US, site).delay_ns, 10 * US);
	cr_expect(lock_waiters_acquire(entry, START + 20 * US, START + 31 * US, &charge, &releaser));
	cr_expect_eq(charge.waits, 1);
}

static sigjmp_buf way_out;
static volatile sig_atomic_t may_jump;

static void jump(int signal)
{
	(void)signal;
	if (may_jump)
		siglongjmp(way_out, 1);
}

/* Which lock comes next, and how often a handler jumped away from one. */
static volatile uint64_t next_lock, jumps;

Test(lock_waiters, jump_out_of_a_handler_at_any_moment_leaves_no_place_unusable)
{
	const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	signal(SIGALRM, jump);
	setitimer(ITIMER_REAL, &often, NULL);
	if (sigsetjmp(way_out, 1) != 0) {
		may_jump = 0;
		jumps++;
		lock_waiters_abandon(lock_at(next_lock), START); /* one that it left entered */
	}
	while (jumps < 1000) {
		next_lock++;
		may_jump = 1;
		struct lock_waiters *entry = lock_waiters_join(lock_at(next_lock), START);
		if (entry)
			lock_waiters_cancel(entry, START);
		may_jump = 0;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	for (uint64_t n = 0; n < 10 * LOCK_WAITERS_BUCKETS; n++) {
		struct lock_waiters *entry = lock_waiters_join(lock_at(n), START);
		cr_assert(entry, "lock %d", (int)n);
		lock_waiters_cancel(entry, START);
	}
}

/* ---- threads ---------------------------------------------------------------------------- */

enum { LOCKS = 40, ROUNDS = 20000, WORKERS = 4 };

struct sums {
	uint64_t waits, waited, charged_waits, charged;
};

static void add(struct sums *sums, struct lock_charge charge)
{
	sums->charged_waits += charge.waits;
	sums->charged += charge.delay_ns;
}

/* Waits and releases with times of its own: the table does not care whose clock it is. */
static void *work(void *argument)
{
	struct sums *sums = argument;
	unsigned int seed = (unsigned int)(uintptr_t)sums;
	uint64_t now = START;
	for (int round = 0; round < ROUNDS; round++) {
		/* Few buckets, so that entries change hands all the time. */
		const void *lock = lock_at((uint64_t)(rand_r(&seed) % LOCKS) * 4096);
		struct lock_charge charge;
		struct lock_releaser releaser;
		struct lock_release release;
		uint64_t start = now;
		struct lock_waiters *entry = lock_waiters_join(lock, start);
		now += (uint64_t)(rand_r(&seed) % 64) * 16;
		if (lock_waiters_release_begin(lock, now, 0, &release)) {
			add(sums, release.charge);
			now += (uint64_t)(rand_r(&seed) % 64) * 16;
			add(sums, lock_waiters_release_end(&release, site));
		}
		now += (uint64_t)(rand_r(&seed) % 64) * 16;
		if (!entry)
			continue;
		sums->waits++;
		sums->waited += now - start;
		if (rand_r(&seed) % 3 == 0)
			lock_waiters_give_up(entry, now);
		else if (lock_waiters_acquire(entry, start, now, &charge, &releaser))
			add(sums, charge);
	}
	return NULL;
}

Test(lock_waiters, threads_lose_no_wait)
{
	pthread_t threads[WORKERS];
	struct sums sums[WORKERS] = {{0}}, all = {0};
	for (int i = 0; i < WORKERS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, work, &sums[i]), 0);
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], NULL);
		all.waits += sums[i].waits;
		all.charged_waits += sums[i].charged_waits;
	}
	for (uint64_t n = 0; n < LOCKS; n++) {
		struct lock_release release;
		if (lock_waiters_release_begin(lock_at(n * 4096), START + (UINT64_C(1) << 40), 0, &release))
			all.charged_waits += release.charge.waits;
		cr_assert_not(lock_waiters_look(lock_at(n * 4096)));
	}
	cr_assert_eq(all.charged_waits, all.waits);
	cr_assert_gt(all.waits, ROUNDS);
}
