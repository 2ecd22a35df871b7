/* SPDX-License-Identifier: MIT */
/* The variables: values, units, globs, and what happens to nonsense. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

static void read_one(const char *entry)
{
	char *environment[] = {(char *)(uintptr_t)entry, NULL};
	config_read(environment);
}

static void redirect(void)
{
	cr_redirect_stderr();
}

Test(config, sizes_and_durations_take_units)
{
	read_one("CPROF_HEAP_RATE=64K");
	cr_assert_eq(config.heap_rate_bytes, 65536);
	read_one("CPROF_HEAP_RATE=1");
	cr_assert_eq(config.heap_rate_bytes, 1);
	read_one("CPROF_MEM=2G");
	cr_assert_eq(config.mem_bytes, UINT64_C(2) << 30);
	read_one("CPROF_EXIT_WAIT=250ms");
	cr_assert_eq(config.exit_wait_ns, 250000000);
	read_one("CPROF_EXIT_WAIT=0");
	cr_assert_eq(config.exit_wait_ns, 0);
}

Test(config, signals_have_names_and_numbers)
{
	read_one("CPROF_SIGNAL=SIGUSR2");
	cr_assert_eq(config.snapshot_signal, SIGUSR2);
	read_one("CPROF_SIGNAL=none");
	cr_assert_eq(config.snapshot_signal, 0);
	read_one("CPROF_SIGNAL=40");
	cr_assert_eq(config.snapshot_signal, 40);
}

Test(config, trace_is_off_flight_or_full)
{
	read_one("CPROF_TRACE=flight");
	cr_expect_eq(config.trace, CPROF_TRACE_FLIGHT);
	cr_expect(config_has_profiles());
	read_one("CPROF_TRACE=full");
	cr_expect_eq(config.trace, CPROF_TRACE_STREAM);
	read_one("CPROF_TRACE=off");
	cr_expect_eq(config.trace, 0);
	cr_expect_eq(config.flight_age_ns, UINT64_C(10000000000));
	cr_expect_eq(config.flight_bytes, UINT64_C(10) << 20);
	read_one("CPROF_FLIGHT_AGE=2m");
	cr_expect_eq(config.flight_age_ns, UINT64_C(120000000000));
	read_one("CPROF_FLIGHT_BYTES=64K");
	cr_expect_eq(config.flight_bytes, 65536);
	cr_expect(config.flight_bytes_is_set);
}

Test(config, out_is_made_absolute)
{
	read_one("CPROF_OUT=/var/tmp");
	cr_assert_str_eq(config.out_dir, "/var/tmp");
	read_one("CPROF_OUT=profiles");
	cr_assert_eq(config.out_dir[0], '/');
	cr_assert_str_eq(strrchr(config.out_dir, '/'), "/profiles");
}

Test(config, out_that_is_too_long_leaves_the_default, .init = redirect)
{
	static char entry[6000] = "CPROF_OUT=/";
	memset(entry + 11, 'x', 5000);
	read_one("CPROF_OUT=.");
	char before[sizeof config.out_dir];
	strcpy(before, config.out_dir);
	read_one(entry);
	cr_assert_str_eq(config.out_dir, before);
}

Test(config, nonsense_gives_one_line_and_the_default, .init = redirect)
{
	read_one("CPROF_CPU_HZ=fast");
	cr_assert_eq(config.cpu_hz, 100);
	cr_assert_stderr_eq_str(
		"cprof: CPROF_CPU_HZ=fast: accepted is a number from 0 to 10000; using 100\n");
}

/* However long, and whatever is in it: a variable may come from anywhere. */
Test(config, value_of_any_kind_leaves_room_for_what_is_accepted, .init = redirect)
{
	char entry[3000] = "CPROF_FOLLOW=\n\033[31m";
	char line[4096];
	memset(entry + strlen(entry), 'x', sizeof entry - 1 - strlen(entry));
	read_one(entry);
	fflush(stderr);
	size_t size = fread(line, 1, sizeof line - 1, cr_get_redirected_stderr());
	line[size] = '\0';
	cr_assert(strstr(line, "cprof: CPROF_FOLLOW=??[31mxxxxx") == line, "%s", line);
	cr_assert(strstr(line, "x...: accepted is 0 or 1; using 1\n"), "%s", line);
}

Test(config, unknown_variable_gives_one_line, .init = redirect)
{
	read_one("CPROF_HEAPRATE=1");
	cr_assert_stderr_eq_str("cprof: CPROF_HEAPRATE=1: there is no such variable; it is ignored\n");
}

Test(config, what_the_collector_reads_is_left_to_it, .init = redirect)
{
	read_one("CPROF_HTTP_PASSWORD_FILE=/secret");
	read_one("CPROF_HTTP_USER=a:b");
	read_one("CPROF_HTTP_CMDLINE=maybe");
	read_one("CPROF_INTERVAL=never");
	read_one("CPROF_KEEP=-1");
	cr_assert_not(config.is_served);
	read_one("CPROF_HTTP=");
	cr_assert_not(config.is_served);
	read_one("CPROF_HTTP=nonsense");
	cr_assert(config.is_served);
	cr_assert_stderr_eq_str("");
}

Test(config, every_kind_of_nonsense_is_refused, .init = redirect)
{
	static const char *const entries[] = {
		"CPROF_CPU_HZ=10001", "CPROF_CPU_HZ=",      "CPROF_CPU_HZ=-1",        "CPROF_HEAP_RATE=1X",
		"CPROF_HEAP_RATE=2T", "CPROF_MEM=1K",       "CPROF_MEM=99999999999G", "CPROF_EXIT_WAIT=5",
		"CPROF_TRACE=on",     "CPROF_FLIGHT_AGE=0", "CPROF_FLIGHT_BYTES=4K",  "CPROF_EXIT_WAIT=10 s",
		"CPROF_SIGNAL=KILL",  "CPROF_SIGNAL=9",     "CPROF_SIGNAL=SEGV",      "CPROF_FOLLOW=yes",
		"CPROF_SEGMENT=shm",  "CPROF_LOG=verbose",  "CPROF_DEBUGINFOD=2",
	};
	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
		read_one(entries[i]);
	cr_assert_eq(config.cpu_hz, 100);
	cr_assert_eq(config.heap_rate_bytes, 524288);
	cr_assert_eq(config.mem_bytes, UINT64_C(256) << 20);
	cr_assert_eq(config.snapshot_signal, SIGUSR1);
	cr_assert(config.follow);
	cr_assert_eq(config.log_level, LOG_WARN);
}

Test(config, globs_match_like_the_shell)
{
	cr_assert(config_glob_matches("redis*", "redis-server"));
	cr_assert(config_glob_matches("*", ""));
	cr_assert(config_glob_matches("*serv*r", "redis-server"));
	cr_assert(config_glob_matches("n?inx", "nginx"));
	cr_assert(config_glob_matches("[a-n]ginx", "nginx"));
	cr_assert(config_glob_matches("a\\*b", "a*b"));
	cr_assert_not(config_glob_matches("[!a-n]ginx", "nginx"));
	cr_assert_not(config_glob_matches("redis", "redis-server"));
	cr_assert_not(config_glob_matches("a\\*b", "aXb"));
	cr_assert_not(config_glob_matches("[", "x"));
	cr_assert_not(config_glob_matches("", "x"));
}
