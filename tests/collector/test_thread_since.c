/* SPDX-License-Identifier: MIT */
/*
 * Since when a thread has slept.
 *
 * Context: tests.
 */
#include "thread_since.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t parse_sched(const char *text)
{
	return thread_since_parse_sched(text, strlen(text));
}

static int parse_stat(const char *text)
{
	return thread_since_parse_stat(text, strlen(text));
}

Test(thread_since, reads_the_scheduler)
{
	cr_expect_eq(parse_sched("x (1, #threads: 1)\n-----\nse.exec_start      :      "
				 "13597.746357\nse.vruntime : 1.0\n"),
		     13597746357);
	static const char *const texts[] = {"",
					    "se.exec_start",
					    "se.exec_start :",
					    "se.exec_start : 5",
					    "se.exec_start : x.5",
					    "se.exec_start : 5.",
					    "se.exec_start : .5",
					    "se.exec_start : 99999999999999999999.5",
					    "se.exec_start : 5.9999999"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		cr_expect_eq(parse_sched(texts[i]), 0, "%s", texts[i]);
}

Test(thread_since, reads_the_cpu_behind_any_name)
{
	cr_expect_eq(parse_stat("7 (a) S 1) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 "
				"25 26 27 "
				"28 29 30 31 32 33 34 35 5 37 38\n"),
		     5);
	static const char *const texts[] = {
		"", ")", "7 (x", "7 (x) S 1 2 3",
		"7 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 "
		"28 29 30 31 32 33 34 35 99999"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		cr_expect_eq(parse_stat(texts[i]), -1, "%s", texts[i]);
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Between the fork and a moment at which it slept already; a tick of 100 Hz for the clocks. */
Test(thread_since, dates_a_sleeper, .timeout = 20)
{
	static struct thread_since_clocks clocks;
	const uint64_t tick_ns = 10000000;
	uint64_t before = now_ns();
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	usleep(300000);
	uint64_t after = now_ns();
	usleep(300000);
	uint64_t since = thread_since_read(&clocks, child, child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (since == 0)
		cr_skip_test("the kernel does not tell\n");
	cr_expect(since >= before - tick_ns && since <= after + tick_ns, "%ld ns after the fork",
		  (long)(since - before));
	cr_expect_eq(thread_since_read(&clocks, child, child), 0, "it is gone");
}
