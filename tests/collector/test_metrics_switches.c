/* SPDX-License-Identifier: MIT */
/* Context switches: what is read, and that their sum only rises while threads come and go. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metrics_switches.h"

static struct metrics_switches switches;

static void finish(void)
{
	metrics_switches_fini(&switches);
}

TestSuite(metrics_switches, .fini = finish);

static void look(const struct metrics_switches_thread *threads, size_t count)
{
	struct metrics_switches_thread *copy = malloc(count * sizeof *copy);
	memcpy(copy, threads, count * sizeof *copy);
	metrics_switches_add(&switches, copy, count);
}

Test(metrics_switches, reads_both_counts_whatever_the_name)
{
	struct metrics_switches_thread thread = {0};
	cr_assert(metrics_switches_parse(
		"Name:\tvoluntary_ctxt_switches:\t9\nState:\tS\nvoluntary_ctxt_switches:\t12\n"
		"nonvoluntary_ctxt_switches:\t34\n",
		&thread));
	cr_expect_eq(thread.voluntary, 12);
	cr_expect_eq(thread.involuntary, 34);
	cr_expect(!metrics_switches_parse("", &thread));
	cr_expect(!metrics_switches_parse("Name:\tx\nnonvoluntary_ctxt_switches:\t34\n", &thread));
}

Test(metrics_switches, only_rise)
{
	look((struct metrics_switches_thread[]){{1, 10, 1}, {5, 20, 2}}, 2);
	cr_expect_eq(switches.voluntary, 30);
	cr_expect_eq(switches.involuntary, 3);
	/* 5 ended, 7 is new. */
	look((struct metrics_switches_thread[]){{1, 11, 1}, {7, 4, 4}}, 2);
	cr_expect_eq(switches.voluntary, 35);
	cr_expect_eq(switches.involuntary, 7);
	/* 7 is another thread by now; 5 came back. */
	look((struct metrics_switches_thread[]){{1, 11, 1}, {5, 1, 1}, {7, 2, 5}}, 3);
	cr_expect_eq(switches.voluntary, 38);
	cr_expect_eq(switches.involuntary, 13);
}

Test(metrics_switches, are_the_kernels)
{
	struct rusage usage;
	cr_assert(metrics_switches_read(&switches, getpid()));
	for (int i = 0; i < 50; i++)
		usleep(100);
	cr_assert(metrics_switches_read(&switches, getpid()));
	cr_assert_eq(getrusage(RUSAGE_SELF, &usage), 0);
	cr_expect_geq(switches.voluntary, 50);
	cr_expect_leq(switches.voluntary, (uint64_t)usage.ru_nvcsw);
	uint64_t before = switches.voluntary;
	cr_expect(!metrics_switches_read(&switches, 0));
	cr_expect_eq(switches.voluntary, before);
}
