/* SPDX-License-Identifier: MIT */
/*
 * What is taken for a URL, and what curl is told of it.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "pgo_fetch.h"

Test(pgo_fetch, knows_urls)
{
	cr_expect(pgo_fetch_is_url("http://localhost:6060/debug/pprof/profile"));
	cr_expect(pgo_fetch_is_url("https://a/"));
	cr_expect(pgo_fetch_is_url("unix:/run/app.sock"));
	cr_expect_not(pgo_fetch_is_url("app.1.cpu.pb.gz"));
	cr_expect_not(pgo_fetch_is_url("http.pb.gz"));
}

static const char *config_of(const char *url)
{
	static char config[256];
	cr_assert_eq(pgo_fetch_config(url, config, sizeof config), 0, "%s", url);
	return config;
}

Test(pgo_fetch, tells_curl_where_to_go)
{
	cr_expect_str_eq(config_of("http://u:p@h:1/x?y=1"), "url = \"http://u:p@h:1/x?y=1\"\n");
	cr_expect_str_eq(config_of("unix:/run/a.sock"),
			 "unix-socket = \"/run/a.sock\"\n"
			 "url = \"http://localhost/debug/pprof/profile?seconds=30\"\n");
	cr_expect_str_eq(config_of("unix:/run/a b:c:/debug/pprof/profile?seconds=1"),
			 "unix-socket = \"/run/a b:c\"\n"
			 "url = \"http://localhost/debug/pprof/profile?seconds=1\"\n");
}

Test(pgo_fetch, lets_nothing_out_of_its_quotes)
{
	char config[256], longest[512];
	cr_expect_str_eq(config_of("http://h/\"\\"), "url = \"http://h/\\\"\\\\\"\n");
	cr_expect_eq(pgo_fetch_config("http://h/\noutput = x", config, sizeof config), -EINVAL);
	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	memcpy(longest, "http://", 7);
	for (size_t length = 200; length < sizeof longest - 1; length++) {
		longest[length] = '\0';
		int error = pgo_fetch_config(longest, config, sizeof config);
		cr_expect(error == -E2BIG || (error == 0 && strlen(config) < sizeof config));
		longest[length] = 'a';
	}
	cr_expect_eq(pgo_fetch_config(longest, config, sizeof config), -E2BIG);
}
