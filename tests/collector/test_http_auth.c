/* SPDX-License-Identifier: MIT */
/* Who may ask, by password and by the name of the host that was asked. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "http_auth.h"

static struct http_config with_password(void)
{
	return (struct http_config){
		.is_on = true, .has_password = true, .user = "admin", .password = "secret"};
}

static bool accepts(const struct http_config *config, const char *authorization)
{
	const struct http_headers headers = {.authorization = authorization};
	return http_auth_has_password(config, &headers);
}

Test(http_auth, the_right_password_gets_in)
{
	const struct http_config config = with_password();
	cr_expect(accepts(&config, "Basic YWRtaW46c2VjcmV0"));
	cr_expect(accepts(&config, "basic   YWRtaW46c2VjcmV0"));
}

Test(http_auth, nothing_else_does)
{
	const struct http_config config = with_password();
	char longest[4096];
	cr_expect(not(accepts(&config, NULL)));
	cr_expect(not(accepts(&config, "")));
	cr_expect(not(accepts(&config, "Basic")));
	cr_expect(not(accepts(&config, "Basic ")));
	cr_expect(not(accepts(&config, "Basic YWRtaW46c2VjcmV1")), "another last letter");
	cr_expect(not(accepts(&config, "Basic YWRtaW46c2VjcmV0IA==")), "a space more");
	cr_expect(not(accepts(&config, "Basic YWRtaW46c2VjcmU=")), "a letter less");
	cr_expect(not(accepts(&config, "Basic YWRtaW46")), "no password");
	cr_expect(not(accepts(&config, "Basic YWRtaW46c2Vj!mV0")));
	cr_expect(not(accepts(&config, "Bearer YWRtaW46c2VjcmV0")));
	cr_expect(not(accepts(&config, "Basic YWRtaW46c2VjcmV0AA==")), "a NUL more is hidden by no padding");
	memset(longest, 'A', sizeof longest - 1);
	memcpy(longest, "Basic ", 6);
	longest[sizeof longest - 1] = '\0';
	cr_expect(not(accepts(&config, longest)));
}

Test(http_auth, no_password_no_question)
{
	const struct http_config config = {.is_on = true};
	cr_expect(accepts(&config, NULL));
}

static bool is_own(const struct http_config *config, const char *host)
{
	const struct http_headers headers = {.host = host};
	return http_auth_is_same_origin(config, &headers);
}

Test(http_auth, on_loopback_only_names_of_this_machine_are_answered)
{
	const struct http_config config = {.is_on = true, .is_loopback = true, .host = "me.example"};
	static const char *const own[] = {
		"localhost", "localhost:6060", "LOCALHOST:1",   "127.0.0.1:6060", "127.1.2.3", "[::1]:6060",
		"[::1]",     "app.localhost",  "localhost.:80", "me.example:80",  ""};
	static const char *const foreign[] = {"evil.com",
					      "evil.com:6060",
					      "127.0.0.1.evil.com",
					      "127.evil.com",
					      "localhost.evil.com",
					      "notlocalhost",
					      "192.168.0.1:6060",
					      "[::2]:1",
					      "127",
					      "127.0.0"};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		cr_expect(is_own(&config, own[i]), "%s", own[i]);
	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
		cr_expect(not(is_own(&config, foreign[i])), "%s", foreign[i]);
}

Test(http_auth, with_a_password_any_name_will_do)
{
	const struct http_config config = with_password();
	cr_expect(is_own(&config, "pod-7.cluster.local:6060"));
}

Test(http_auth, pages_of_other_origins_are_refused)
{
	const struct http_config config = {.is_on = true, .is_loopback = true};
	struct http_headers headers = {.host = "localhost:6060", .origin = "http://localhost:6060"};
	cr_expect(http_auth_is_same_origin(&config, &headers));
	headers.origin = "http://evil.com";
	cr_expect(not(http_auth_is_same_origin(&config, &headers)));
	headers.origin = "null";
	cr_expect(not(http_auth_is_same_origin(&config, &headers)));
	headers.origin = NULL;
	headers.fetch_site = "cross-site";
	headers.fetch_mode = "no-cors";
	cr_expect(not(http_auth_is_same_origin(&config, &headers)), "an image or script of another page");
	headers.fetch_mode = "navigate";
	cr_expect(http_auth_is_same_origin(&config, &headers), "a link that somebody follows");
	headers.fetch_site = "none";
	cr_expect(http_auth_is_same_origin(&config, &headers));
}
