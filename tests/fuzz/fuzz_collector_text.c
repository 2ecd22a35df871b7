/* SPDX-License-Identifier: MIT */
/*
 * The collector's readers of short texts: HTTP requests and headers, its variables, and what
 * /proc says.  The first byte chooses one; fields are lines.
 *
 * Context: test program.
 */
#include "demangle.h"
#include "fuzz.h"
#include "http_auth.h"
#include "http_request.h"
#include "interval.h"
#include "log.h"
#include "registration.h"
#include "remote_objects.h"
#include "thread_state.h"

#define FIELDS 6

static void read_request(char *const *fields)
{
	struct http_request request = {.pid = 0};
	struct http_reply reply = {.status = 0};
	if (!http_request_read(fields[0], fields[1], &request, &reply))
		fuzz_demand(reply.status >= 300);
	else
		fuzz_demand(request.span_ms <= HTTP_SECONDS_MAX * 1000u);
	http_reply_free(&reply);
}

static void read_headers(char *const *fields)
{
	static struct http_config config;
	char error[HTTP_CONFIG_ERROR_BYTES];
	const struct http_settings settings = {.http = fields[0], .user = fields[1], .cmdline = fields[2]};
	const struct http_headers headers = {.host = fields[3],
					     .authorization = fields[4],
					     .origin = fields[5],
					     .fetch_site = fields[1],
					     .fetch_mode = fields[2]};
	if (http_config_read(&settings, &config, error)) {
		fuzz_demand(memchr(error, '\n', strlen(error)) == NULL);
		config = (struct http_config){.is_loopback = true};
	}
	(void)http_auth_is_same_origin(&config, &headers);
	config.has_password = true;
	strcpy(config.user, "admin");
	strcpy(config.password, "a secret that nobody guesses");
	fuzz_demand(!http_auth_has_password(&config, &headers));
}

static void read_variables(char *const *fields)
{
	struct interval_config interval;
	char error[INTERVAL_ERROR_BYTES] = "";
	struct session session;
	(void)interval_config_read(fields[0], fields[1], &interval, error);
	(void)log_level_of(fields[2]);
	(void)http_request_read_address(fields[4], strlen(fields[4]));
	if (session_parse(fields[3], &session) == 0)
		fuzz_demand(session.root_pid > 0);
}

static void read_proc(const char *text, size_t size)
{
	struct thread_state state;
	struct thread_call call;
	struct remote_mapping mapping;
	const char *at = text;
	(void)thread_state_parse_status(text, size, &state);
	(void)thread_state_parse_call(text, size, &call);
	while (remote_objects_parse_line(&at, text + size, &mapping))
		fuzz_demand(at <= text + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *fields[FIELDS];
	if (size == 0)
		return 0;
	char *text = fuzz_string(data + 1, size - 1);
	if (data[0] % 5 == 3)
		read_proc(text, strlen(text));
	if (data[0] % 5 == 4) {
		static char name[DEMANGLE_MAX];
		fuzz_demand(demangle(text, name) < sizeof name);
		fuzz_demand(demangle_base_length(text) <= strlen(text));
	}
	char *next = text;
	for (size_t i = 0; i < FIELDS; i++) {
		fields[i] = next;
		char *end = strchr(next, '\n');
		if (end)
			*end = '\0';
		next = end ? end + 1 : next + strlen(next);
	}
	if (data[0] % 5 == 0)
		read_request(fields);
	else if (data[0] % 5 == 1)
		read_headers(fields);
	else if (data[0] % 5 == 2)
		read_variables(fields);
	free(text);
	return 0;
}
