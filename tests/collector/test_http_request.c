/* SPDX-License-Identifier: MIT */
/* URIs: which of them mean something, and Go's answers to the others. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "http_request.h"

static struct http_request request;
static struct http_reply reply;

static bool read_get(const char *uri)
{
	http_reply_free(&reply);
	return http_request_read("GET", uri, &request, &reply);
}

static bool body_is(const char *text)
{
	return reply.body && reply.size == strlen(text) && memcmp(reply.body, text, reply.size) == 0;
}

Test(http_request, knows_each_endpoint)
{
	cr_assert(read_get("/debug/pprof/"));
	cr_expect(request.endpoint == HTTP_ENDPOINT_INDEX);
	cr_assert(read_get("/debug/pprof/cmdline"));
	cr_expect(request.endpoint == HTTP_ENDPOINT_CMDLINE);
	cr_assert(read_get("/debug/pprof/symbol?0x1+0x2"));
	cr_expect(request.endpoint == HTTP_ENDPOINT_SYMBOL);
	cr_expect(eq(str, (char *)request.query, "0x1+0x2"));
	cr_assert(read_get("/metrics"));
	cr_expect(request.endpoint == HTTP_ENDPOINT_METRICS);
	cr_assert(read_get("/healthz"));
	cr_expect(request.endpoint == HTTP_ENDPOINT_HEALTH);
	for (const struct http_profile_name *p = http_profile_names; p->name; p++) {
		char uri[64];
		snprintf(uri, sizeof uri, "/debug/pprof/%s", p->name);
		cr_assert(read_get(uri), "%s", uri);
		cr_expect(request.endpoint == HTTP_ENDPOINT_PROFILE && request.kind == p->kind);
		cr_expect(eq(str, (char *)request.name, (char *)p->name));
	}
}

Test(http_request, a_cpu_profile_takes_thirty_seconds_unless_told)
{
	static const char *const unclear[] = {"",
					      "?seconds=",
					      "?seconds=x",
					      "?seconds=0",
					      "?seconds=-3",
					      "?seconds=2.5",
					      "?seconds=99999999999999999999",
					      "?sec=3"};
	for (size_t i = 0; i < sizeof unclear / sizeof *unclear; i++) {
		char uri[96];
		snprintf(uri, sizeof uri, "/debug/pprof/profile%s", unclear[i]);
		cr_assert(read_get(uri), "%s", uri);
		cr_expect(eq(u32, request.span_ms, HTTP_SECONDS_DEFAULT * 1000), "%s", uri);
	}
	cr_assert(read_get("/debug/pprof/profile?debug=1&seconds=7"));
	cr_expect(eq(u32, request.span_ms, 7000));
	cr_expect(not(request.is_text), "a CPU profile has no text form");
}

Test(http_request, nobody_watches_for_longer_than_the_limit)
{
	cr_assert(not(read_get("/debug/pprof/profile?seconds=3601")));
	cr_expect(eq(u32, reply.status, 400));
	cr_expect(reply.is_pprof_error);
	cr_expect(body_is("profile duration exceeds server's WriteTimeout\n"));
	cr_assert(not(read_get("/debug/pprof/heap?seconds=3601")));
	cr_expect(eq(u32, reply.status, 400));
}

Test(http_request, differences_want_a_positive_integer)
{
	static const char *const bad[] = {"0", "-1", "x", "1.5", "1e3", "0x10", "99999999999999999999"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char uri[96];
		snprintf(uri, sizeof uri, "/debug/pprof/heap?seconds=%s", bad[i]);
		cr_assert(not(read_get(uri)), "%s", uri);
		cr_expect(eq(u32, reply.status, 400));
		cr_expect(body_is("invalid value for \"seconds\" - must be a positive integer\n"), "%s", uri);
	}
	cr_assert(read_get("/debug/pprof/heap?seconds="));
	cr_expect(eq(u32, request.span_ms, 0), "an empty value is none");
	cr_assert(not(read_get("/debug/pprof/heap?seconds=1&debug=1")));
	cr_expect(body_is("seconds and debug params are incompatible\n"));
	cr_assert(not(read_get("/debug/pprof/heap?debug=0&seconds=+5")));
	cr_expect(eq(u32, reply.status, 400), "a plus is a space, and no number has one");
}

Test(http_request, debug_is_read_as_go_reads_it)
{
	static const struct {
		const char *value;
		bool is_text;
		bool is_dump;
	} cases[] = {{"0", false, false},  {"1", true, false},
		     {"2", true, true},    {"-1", true, false},
		     {"x", false, false},  {"", false, false},
		     {"1x", false, false}, {"99999999999999999999", true, true}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char uri[96];
		snprintf(uri, sizeof uri, "/debug/pprof/threads?debug=%s", cases[i].value);
		cr_assert(read_get(uri), "%s", uri);
		cr_expect(request.is_text == cases[i].is_text && request.is_dump == cases[i].is_dump, "%s",
			  uri);
	}
}

Test(http_request, the_first_valid_pair_counts)
{
	cr_assert(read_get("/debug/pprof/heap?debug%3d1&x;debug=1&debug=%zz&d%65bug=1&debug=0"));
	cr_expect(request.is_text);
}

Test(http_request, unknown_names_are_not_found)
{
	cr_assert(not(read_get("/debug/pprof/nope")));
	cr_expect(eq(u32, reply.status, 404));
	cr_expect(reply.is_pprof_error);
	cr_expect(body_is("Unknown profile\n"));
	cr_assert(not(read_get("/debug/pprof/nope?seconds=x")));
	cr_expect(eq(u32, reply.status, 404));
	cr_assert(not(read_get("/x")));
	cr_expect(body_is("404 page not found\n"));
	cr_expect(not(reply.is_pprof_error));
	cr_assert(not(read_get("/debug/pprof/heap/")));
	cr_expect(eq(u32, reply.status, 404));
}

Test(http_request, paths_are_tidied_by_redirection)
{
	static const struct {
		const char *uri;
		const char *location;
	} cases[] = {{"/", "/debug/pprof/"},
		     {"/debug/pprof", "/debug/pprof/"},
		     {"/debug/pprof?pid=3", "/debug/pprof/?pid=3"},
		     {"/debug//pprof/heap?debug=1", "/debug/pprof/heap?debug=1"},
		     {"/debug/./pprof/../pprof/", "/debug/pprof/"},
		     {"/../../metrics", "/metrics"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		cr_assert(not(read_get(cases[i].uri)), "%s", cases[i].uri);
		cr_expect(eq(u32, reply.status, 307), "%s", cases[i].uri);
		cr_expect(eq(str, reply.location, (char *)cases[i].location));
	}
}

Test(http_request, nothing_of_a_path_gets_into_a_header_unseen)
{
	static const char *const paths[] = {
		"/debug//%0d%0aSet-Cookie:x", "//%00", "/%", "/%4", "/debug//<b>", "//%22", "*", ""};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		cr_assert(not(read_get(paths[i])), "%s", paths[i]);
		cr_expect(eq(u32, reply.status, 404), "%s", paths[i]);
		cr_expect(eq(str, reply.location, ""));
	}
}

Test(http_request, long_uris_are_no_trouble)
{
	char uri[20000] = "/debug/pprof/heap?x=";
	memset(uri + strlen(uri), 'a', sizeof uri - strlen(uri) - 1);
	uri[sizeof uri - 1] = '\0';
	cr_expect(read_get(uri));
	memset(uri, 'a', sizeof uri - 1);
	uri[0] = '/';
	cr_expect(not(read_get(uri)));
	memset(uri, '/', sizeof uri - 1);
	cr_expect(not(read_get(uri)));
}

Test(http_request, only_symbols_are_posted)
{
	cr_assert(not(http_request_read("POST", "/debug/pprof/heap", &request, &reply)));
	cr_expect(eq(u32, reply.status, 405));
	cr_expect(eq(str, (char *)reply.allow, "GET, HEAD"));
	cr_expect(body_is("Method Not Allowed\n"));
	cr_expect(not(http_request_read("DELETE", "/debug/pprof/nope", &request, &reply)));
	cr_expect(eq(u32, reply.status, 405));
	cr_expect(not(http_request_read("POST", "/x", &request, &reply)));
	cr_expect(eq(u32, reply.status, 404));
	cr_assert(http_request_read("POST", "/debug/pprof/symbol", &request, &reply));
	cr_expect(request.is_post);
	cr_expect(http_request_read("HEAD", "/debug/pprof/heap", &request, &reply));
}

Test(http_request, a_process_is_named_by_a_number)
{
	cr_assert(read_get("/metrics?pid=12"));
	cr_expect(eq(u32, request.pid, 12));
	cr_assert(read_get("/metrics?process=redis-server"));
	cr_expect(eq(str, request.process, "redis-server"));
	cr_expect(not(request.is_of_all));
	cr_assert(read_get("/metrics?pid=all"));
	cr_expect(request.is_of_all && request.process[0] == '\0');
	cr_expect(not(read_get("/debug/pprof/heap?pid=all")));
	cr_expect(not(read_get("/metrics?pid=0")));
	cr_expect(not(read_get("/metrics?pid=x")));
	cr_expect(not(read_get("/metrics?pid=99999999999")));
	cr_expect(eq(u32, reply.status, 400));
}

Test(http_request, addresses_are_read_as_go_reads_them)
{
	static const struct {
		const char *text;
		uint64_t address;
	} cases[] = {{"0x1f", 0x1f},
		     {"0X1F", 0x1f},
		     {"31", 31},
		     {"017", 15},
		     {"0o17", 15},
		     {"0b11", 3},
		     {"", 0},
		     {"0", 0},
		     {"0x", 0},
		     {"x", 0},
		     {"1f", 0},
		     {"-1", 0},
		     {"0xffffffffffffffff", UINT64_MAX},
		     {"0x10000000000000000", 0}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		cr_expect(eq(u64, http_request_read_address(cases[i].text, strlen(cases[i].text)),
			     cases[i].address),
			  "%s", cases[i].text);
}

Test(http_request, a_trace_takes_a_second_unless_told)
{
	static const char *const none[] = {"",
					   "?seconds=",
					   "?seconds=x",
					   "?seconds=0",
					   "?seconds=-3",
					   "?seconds=nan",
					   "?seconds=+ 5",
					   "?seconds=1s"};
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
		char uri[64];
		snprintf(uri, sizeof uri, "/debug/pprof/trace%s", none[i]);
		cr_assert(read_get(uri), "%s", uri);
		cr_expect(eq(int, request.endpoint, HTTP_ENDPOINT_TRACE));
		cr_expect(eq(u32, request.span_ms, 1000), "%s", uri);
		cr_expect(eq(int, request.format, TRACE_GO));
	}
	cr_assert(read_get("/debug/pprof/trace?seconds=0.25&format=perfetto"));
	cr_expect(eq(u32, request.span_ms, 250));
	cr_expect(eq(int, request.format, TRACE_PERFETTO));
	cr_assert(read_get("/debug/pprof/trace?seconds=1e-9"));
	cr_expect(eq(u32, request.span_ms, 1));
	cr_assert(not(read_get("/debug/pprof/trace?seconds=inf")));
	cr_expect(body_is("profile duration exceeds server's WriteTimeout\n"));
	cr_assert(not(read_get("/debug/pprof/trace?seconds=3601")));
	cr_assert(not(read_get("/debug/trace/snapshot?format=json")));
	cr_expect(body_is("invalid value for \"format\" - must be go or perfetto\n"));
	cr_assert(read_get("/debug/trace/snapshot?format=go"));
	cr_expect(eq(int, request.endpoint, HTTP_ENDPOINT_FLIGHT));
}
