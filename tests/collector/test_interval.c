/* SPDX-License-Identifier: MIT */
/* CPROF_INTERVAL and CPROF_KEEP. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <string.h>

#include "interval.h"

static struct interval_config config;
static char error[INTERVAL_ERROR_BYTES];

static int read_config(const char *interval, const char *keep)
{
	error[0] = '\0';
	return interval_config_read(interval, keep, &config, error);
}

Test(interval, off_unless_asked_for)
{
	cr_expect(eq(int, read_config(NULL, NULL), 0));
	cr_expect(eq(i64, config.period_ms, 0));
	cr_expect(eq(int, read_config("0", "3"), 0));
	cr_expect(eq(i64, config.period_ms, 0));
	cr_expect(interval_open(&config, NULL) == NULL);
}

Test(interval, durations_are_read)
{
	cr_assert(eq(int, read_config("10m", NULL), 0), "%s", error);
	cr_expect(eq(i64, config.period_ms, 600000));
	cr_expect(eq(u32, config.keep, INTERVAL_KEEP_DEFAULT));
	cr_assert(eq(int, read_config("1500ms", "0"), 0));
	cr_expect(eq(i64, config.period_ms, 1500));
	cr_expect(eq(u32, config.keep, 0));
}

Test(interval, nonsense_gives_one_line)
{
	static const char *const bad[] = {"x", "10", "999ms", "-1s", "99999999h", "1d"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_expect(eq(int, read_config(bad[i], NULL), -EINVAL), "%s", bad[i]);
		cr_expect(eq(i64, config.period_ms, 0));
		cr_expect(strstr(error, "CPROF_INTERVAL=") == error && !strchr(error, '\n'), "%s", error);
	}
	cr_expect(eq(int, read_config("1m", "few"), -EINVAL));
	cr_expect(strstr(error, "CPROF_KEEP=few") == error);
	cr_expect(eq(i64, config.period_ms, 60000), "the interval is good all the same");
	cr_expect(eq(u32, config.keep, INTERVAL_KEEP_DEFAULT));
}
