/* SPDX-License-Identifier: MIT */
/*
 * The thread behind the first process's futex: hears rings, beats during work, stops.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bell.h"
#include "fake_segment.h"

#define PATIENCE_MS 20000

static struct fake_segment fake;
static struct bell bell;

static void ring(void)
{
	atomic_u32 *word = &fake_control(&fake)->bell;
	add_release(word, 1);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool is_heard(int timeout_ms)
{
	struct pollfd ready = {.fd = bell.event_fd, .events = POLLIN};
	return poll(&ready, 1, timeout_ms) == 1;
}

static void start(void)
{
	fake_segment_create(&fake, CPROF_SEGMENT_BYTES_MIN);
	bell_init(&bell);
	cr_assert_eq(bell_listen(&bell, fake_control(&fake)), 0);
}

Test(bell, is_heard_each_time, .timeout = 60)
{
	start();
	for (int i = 0; i < 20; i++) {
		/* The listener may not have begun to listen: ring until it hears. */
		do
			ring();
		while (!is_heard(100));
		bell_hear(&bell);
	}
	bell_unlisten(&bell);
	bell_hear(&bell);
	ring();
	cr_expect_not(is_heard(0));
}

Test(bell, beats_the_heart_during_work_only, .timeout = 60)
{
	start();
	const struct timespec pause = {.tv_nsec = 10000000};
	atomic_u32 *heartbeat = &fake_control(&fake)->heartbeat;
	cr_expect_eq(load_relaxed(heartbeat), 0);
	bell_begin_work(&bell);
	for (int i = 0; load_relaxed(heartbeat) < 3; i++) {
		cr_assert_lt(i, PATIENCE_MS / 10);
		nanosleep(&pause, NULL);
	}
	bell_end_work(&bell);
	bell_unlisten(&bell);
	/* Listening alone is no sign of life: that is the main thread's to give. */
	uint32_t before = load_relaxed(heartbeat);
	cr_assert_eq(bell_listen(&bell, fake_control(&fake)), 0);
	do
		ring();
	while (!is_heard(100));
	bell_unlisten(&bell);
	cr_expect_eq(load_relaxed(heartbeat), before);
}

Test(bell, moves_from_one_process_to_the_next, .timeout = 60)
{
	struct fake_segment next;
	start();
	fake_segment_create(&next, CPROF_SEGMENT_BYTES_MIN);
	for (int i = 0; i < 50; i++)
		cr_assert_eq(bell_listen(&bell, fake_control(i % 2 ? &fake : &next)), 0);
	do
		ring();
	while (!is_heard(100));
	bell_unlisten(&bell);
	bell_unlisten(&bell);
}
