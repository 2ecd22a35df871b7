/* SPDX-License-Identifier: MIT */
/* CPROF_PUSH and CPROF_LABELS: what is accepted, what is refused, and that no password is shown. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "push_config.h"

static struct push_config config;
static char error[PUSH_ERROR_BYTES];

static int read_both(const char *push, const char *labels)
{
	const struct push_settings settings = {.push = push, .labels = labels};
	error[0] = '\0';
	return push_config_read(&settings, &config, error);
}

Test(push_config, off_unless_asked_for)
{
	cr_expect(eq(int, read_both(NULL, "service=x"), 0));
	cr_expect(not(config.is_on));
	cr_expect(eq(int, read_both("", NULL), 0));
	cr_expect(not(config.is_on));
}

Test(push_config, knows_the_ingest_api_of_a_server)
{
	static const struct {
		const char *push, *url, *shown;
	} good[] = {
		{"http://localhost:4040", "http://localhost:4040/ingest", "http://localhost:4040"},
		{"http://10.0.0.1:4040/", "http://10.0.0.1:4040/ingest", "http://10.0.0.1:4040"},
		{"https://[::1]:443/pyroscope//", "https://[::1]:443/pyroscope/ingest",
		 "https://[::1]:443/pyroscope"},
		{"https://me:se%40cret@host/a", "https://me:se%40cret@host/a/ingest", "https://host/a"},
		{"https://a@b@host", "https://a@b@host/ingest", "https://host"},
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		cr_assert(eq(int, read_both(good[i].push, NULL), 0), "%s: %s", good[i].push, error);
		cr_expect(config.is_on);
		cr_expect(eq(str, config.url, (char *)good[i].url));
		cr_expect(eq(str, config.shown, (char *)good[i].shown));
	}
}

Test(push_config, what_is_no_server_gives_one_line_without_its_secrets)
{
	static const char *const bad[] = {
		"localhost:4040",      "ftp://secret@host",    "http://",
		"http://secret@",      "http://secret@:4040",  "file:///etc/secret",
		"http://ho st/secret", "http://host/?secret",  "http://host/#secret",
		"http:///secret",      "http://host/\nsecret", "http://secret@/a"};
	char long_one[PUSH_URL_BYTES + 10];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_expect(eq(int, read_both(bad[i], NULL), -EINVAL), "%s", bad[i]);
		cr_expect(not(config.is_on));
		cr_expect(strstr(error, "CPROF_PUSH: accepted is") == error, "%s", error);
		cr_expect(strchr(error, '\n') == NULL && strstr(error, "secret") == NULL, "%s", error);
	}
	memset(long_one, 'a', sizeof long_one - 1);
	long_one[sizeof long_one - 1] = '\0';
	memcpy(long_one, "http://", 7);
	cr_expect(eq(int, read_both(long_one, NULL), -EINVAL));
}

Test(push_config, labels_are_pairs)
{
	cr_assert(eq(int, read_both("http://h", " service = checkout , region=eu west,v.1=a=b,"), 0), "%s",
		  error);
	cr_expect(eq(str, config.labels, "service=checkout,region=eu west,v.1=a=b"));
	cr_expect(eq(str, config.service, "checkout"));
	cr_assert(eq(int, read_both("http://h", "service_name=shop/front-1.2"), 0), "%s", error);
	cr_expect(eq(str, config.service, "shop/front-1.2"));
	cr_assert(eq(int, read_both("http://h", "pod=a"), 0));
	cr_expect(eq(str, config.service, ""));
	cr_assert(eq(int, read_both("http://h", "\xc3\xa9t\xc3\xa9=x"), -EINVAL), "a name is of ASCII");
	cr_assert(eq(int, read_both("http://h", "season=\xc3\xa9t\xc3\xa9"), 0), "a value is not");
}

Test(push_config, labels_that_cannot_be_read_are_left_out)
{
	static const char *const bad[] = {
		"service", "=x",       "a=",          "a=b,a=c",     "a=b,,c=d",
		"1a=b",    "a b=c",    "a=b}",        "a={",         "__name__=x",
		"a=b\tc",  "a=b\nc=d", "service=a b", "service=a{b", "service_name=\xc3\xa9"};
	char many[400] = "";
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_expect(eq(int, read_both("http://h", bad[i]), -EINVAL), "%s", bad[i]);
		cr_expect(config.is_on, "profiles are sent all the same");
		cr_expect(eq(str, config.labels, ""));
		cr_expect(eq(str, config.service, ""));
		cr_expect(strstr(error, "CPROF_LABELS=") == error, "%s", error);
	}
	for (int i = 0; i <= PUSH_LABELS_MAX; i++)
		sprintf(many + strlen(many), "n%d=v,", i);
	cr_expect(eq(int, read_both("http://h", many), -EINVAL), "too many");
}

Test(push_config, the_last_ones_wait_as_long_as_the_program_would)
{
	struct push_settings settings = {.push = "http://h", .exit_wait = "250ms"};
	cr_assert(eq(int, push_config_read(&settings, &config, error), 0));
	cr_expect(eq(i64, config.patience_ms, 250));
	settings.exit_wait = "nonsense";
	cr_assert(eq(int, push_config_read(&settings, &config, error), 0));
	cr_expect(eq(i64, config.patience_ms, 10000));
}
