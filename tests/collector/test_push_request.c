/* SPDX-License-Identifier: MIT */
/* Requests as Pyroscope's ingest API takes them, byte for byte. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "push_request.h"

static struct push_config config = {
	.url = "http://h:4040/ingest", .service = "checkout", .labels = "service=checkout,region=eu west"};
static struct push_profile profile = {.kind = PROFILE_CPU,
				      .name = "app",
				      .begin_ns = INT64_C(1795337007000000001),
				      .end_ns = INT64_C(1795337017000000002),
				      .cpu_hz = 100,
				      .bytes = (const unsigned char *)"\0pprof\r\n",
				      .size = 8};
static struct push_request request;

static void make(void)
{
	cr_assert(eq(int, push_request_make(&config, &profile, &request), 0));
}

static void finish(void)
{
	push_request_fini(&request);
}

TestSuite(push_request, .fini = finish);

Test(push_request, says_whose_profile_it_is)
{
	make();
	cr_expect(eq(str, request.url,
		     "http://h:4040/ingest?name=checkout%7Bservice%3Dcheckout%2Cregion%3Deu%20west%7D"
		     "&from=1795337007000000001&until=1795337017000000002&spyName=cprof&units=samples&"
		     "sampleRate=100"));
}

Test(push_request, is_named_after_the_program_if_nothing_else_is_said)
{
	struct push_config plain = {.url = "http://h/ingest"};
	profile.name = "my app\xc3\xa9/{1}";
	profile.kind = PROFILE_HEAP;
	cr_assert(eq(int, push_request_make(&plain, &profile, &request), 0));
	cr_expect(strstr(request.url, "http://h/ingest?name=my_app__%2F_1_%7B%7D&from=") == request.url, "%s",
		  request.url);
	cr_expect(strstr(request.url, "sampleRate") == NULL);
}

/* The body between two boundaries. */
Test(push_request, is_a_form_of_two_files)
{
	char boundary[128];
	char expected[1024];
	make();
	cr_assert(eq(
		int,
		sscanf(request.content_type, "Content-Type: multipart/form-data; boundary=%100s", boundary),
		1));
	int length = snprintf(
		expected, sizeof expected,
		"--%s\r\nContent-Disposition: form-data; name=\"profile\"; filename=\"profile.pprof\"\r\n"
		"Content-Type: application/octet-stream\r\n\r\n%c%s\r\n--%s\r\n"
		"Content-Disposition: form-data; name=\"sample_type_config\"; "
		"filename=\"sample_type_config.json\"\r\nContent-Type: application/json\r\n\r\n{",
		boundary, 0, "pprof\r\n", boundary);
	cr_assert(request.body_bytes > (size_t)length);
	cr_expect(memcmp(request.body, expected, (size_t)length) == 0);
	int tail = snprintf(expected, sizeof expected, "}\r\n--%s--\r\n", boundary);
	cr_expect(memcmp(request.body + request.body_bytes - tail, expected, (size_t)tail) == 0);
}

Test(push_request, tells_block_from_mutex)
{
	profile.kind = PROFILE_BLOCK;
	make();
	cr_expect(memmem(request.body, request.body_bytes, "\"block_duration\"", 16) != NULL);
	push_request_fini(&request);
	profile.kind = PROFILE_MUTEX;
	make();
	cr_expect(memmem(request.body, request.body_bytes, "\"mutex_duration\"", 16) != NULL);
	cr_expect(push_request_is_for(PROFILE_CPU) && push_request_is_for(PROFILE_HEAP));
	cr_expect(not(push_request_is_for(PROFILE_THREADS)));
	cr_expect(not(push_request_is_for(PROFILE_THREADCREATE)));
}
