/* SPDX-License-Identifier: MIT */
/* What the kernel says, and how it is told. */
#include <criterion/criterion.h>
#include <math.h>
#include <unistd.h>

#include "metrics_process.h"

Test(metrics, reads_stat_whatever_the_name)
{
	const char *text = "42 (a) b (c)) S 1 2 3 4 5 6 700 8 9 10 250 50 13 14 15 16 17 18 1000 4096000 25 "
			   "18446744073709551615 1 1";
	struct metrics_process process = {0};
	double ticks = (double)sysconf(_SC_CLK_TCK);
	cr_assert(metrics_process_parse_stat(text, &process));
	cr_expect_eq(process.minor_faults, 700);
	cr_expect_eq(process.major_faults, 9);
	cr_expect_float_eq(process.cpu_s, 300 / ticks, 1e-9);
	cr_expect_eq(process.thread_count, 17);
	cr_expect_float_eq(process.start_time_s, 1000 / ticks, 1e-9);
	cr_expect_eq(process.virtual_bytes, 4096000);
	cr_expect_eq(process.resident_bytes, 25 * (uint64_t)sysconf(_SC_PAGESIZE));
}

Test(metrics, refuses_what_is_no_stat)
{
	struct metrics_process process;
	cr_expect(!metrics_process_parse_stat("", &process));
	cr_expect(!metrics_process_parse_stat("42 (x", &process));
	cr_expect(!metrics_process_parse_stat("42 (x) S 1 2 3", &process));
}

Test(metrics, reads_limits)
{
	const char *text = "Limit                     Soft Limit           Hard Limit           Units     \n"
			   "Max open files            1024                 1048576              files     \n"
			   "Max address space         unlimited            unlimited            bytes     \n";
	struct metrics_process process;
	cr_assert(metrics_process_parse_limits(text, &process));
	cr_expect_float_eq(process.fds_max, 1024, 0.1);
	cr_expect(isinf(process.virtual_max_bytes));
	cr_expect(!metrics_process_parse_limits("Max open files\n", &process));
}

Test(metrics, reads_memory)
{
	struct metrics_process process;
	cr_assert(metrics_process_parse_status("Name:\tRssAnon: 1\nVmRSS:\t  90 kB\nRssAnon:\t      12 kB\n"
					       "VmSwap:\t       3 kB\n",
					       &process));
	cr_expect_eq(process.anonymous_bytes, 12 * 1024);
	cr_expect_eq(process.swap_bytes, 3 * 1024);
	cr_expect(!metrics_process_parse_status("Name:\tx\nVmRSS:\t  90 kB\n", &process), "a kernel thread");
}

Test(metrics, knows_this_process)
{
	struct metrics_process process;
	cr_assert(metrics_process_read(getpid(), &process));
	cr_expect(process.has_limits && process.has_fds);
	cr_expect_geq(process.thread_count, 1);
	cr_expect_geq(process.open_fds, 3);
	cr_expect_geq(process.resident_bytes, 100000);
	cr_expect(process.start_time_s > 1e9);
	cr_expect(!metrics_process_read(0, &process));
	cr_expect(!metrics_process_read(-1, &process));
}
