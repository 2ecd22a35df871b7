/* SPDX-License-Identifier: MIT */
/*
 * Names and values are limited to what Pyroscope's label syntax can carry, so that a
 * value that it would misread is refused here, where somebody sees it.
 *
 * Context: collector, before the worker; see push_config.h.
 */
#include "push_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_units.h"

#define INGEST_PATH "/ingest"
#define PATIENCE_DEFAULT_MS 10000
#define NS_PER_MS 1000000
#define LABELS_ACCEPTED "accepted are up to 20 pairs such as service=checkout,region=eu"

/* ---- the server ------------------------------------------------------------------------------ */

/* What follows the scheme, or NULL. */
static const char *after_scheme(const char *url)
{
	return strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
}

/* Printable, and nothing that would end the path. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f || strchr("?#\\\"<>", *text))
			return false;
	return true;
}

static int read_url(const char *url, struct push_config *config)
{
	const char *authority = after_scheme(url);
	size_t length = strlen(url);
	if (!authority || !is_plain(url) || length + strlen(INGEST_PATH) >= PUSH_URL_BYTES)
		return -EINVAL;
	while (length && url[length - 1] == '/')
		length--;
	const char *end = authority + strcspn(authority, "/");
	const char *host = end;
	while (host > authority && host[-1] != '@')
		host--;
	if (host == end || *host == ':' || length <= (size_t)(host - url))
		return -EINVAL;
	snprintf(config->url, sizeof config->url, "%.*s" INGEST_PATH, (int)length, url);
	snprintf(config->shown, sizeof config->shown, "%.*s%.*s", (int)(authority - url), url,
		 (int)(length - (size_t)(host - url)), host);
	return 0;
}

/* ---- labels ---------------------------------------------------------------------------------- */

static bool is_name(const char *name, size_t length)
{
	if (length == 0 || length > 128 || (name[0] >= '0' && name[0] <= '9') || strncmp(name, "__", 2) == 0)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= 'A' && name[i] <= 'Z') &&
		    !(name[i] >= '0' && name[i] <= '9') && name[i] != '_' && name[i] != '.')
			return false;
	return true;
}

static bool is_value(const char *value, size_t length)
{
	if (length == 0)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)value[i] < ' ' || value[i] == 0x7f || strchr("{}", value[i]))
			return false;
	return true;
}

static void trim(const char **text, size_t *length)
{
	while (*length && **text == ' ') {
		(*text)++;
		(*length)--;
	}
	while (*length && (*text)[*length - 1] == ' ')
		(*length)--;
}

/* Whether the service's name can be what Pyroscope calls an application. */
static bool is_service(const char *value, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!is_name(value + i, 1) && strchr("0123456789-/", value[i]) == NULL)
			return false;
	return length < PUSH_SERVICE_BYTES;
}

static bool has_label(const char *labels, const char *name, size_t length)
{
	for (const char *at = labels; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, name, length) == 0 && at[length] == '=')
			return true;
	return false;
}

/* One NAME=VALUE, of `length` bytes; adds it to those that were read before. */
static int read_label(const char *pair, size_t length, struct push_config *config)
{
	const char *equals = memchr(pair, '=', length);
	const char *name = pair;
	const char *value = equals ? equals + 1 : pair;
	size_t name_length = equals ? (size_t)(equals - pair) : 0;
	size_t value_length = equals ? length - name_length - 1 : 0;
	size_t used = strlen(config->labels);
	trim(&name, &name_length);
	trim(&value, &value_length);
	if (!is_name(name, name_length) || !is_value(value, value_length) ||
	    has_label(config->labels, name, name_length))
		return -EINVAL;
	int added = snprintf(config->labels + used, sizeof config->labels - used, "%s%.*s=%.*s",
			     used ? "," : "", (int)name_length, name, (int)value_length, value);
	if (added < 0 || (size_t)added >= sizeof config->labels - used)
		return -EINVAL;
	bool is_the_service = (name_length == 7 && strncmp(name, "service", 7) == 0) ||
			      (name_length == 12 && strncmp(name, "service_name", 12) == 0);
	if (!is_the_service)
		return 0;
	if (!is_service(value, value_length))
		return -EINVAL;
	snprintf(config->service, sizeof config->service, "%.*s", (int)value_length, value);
	return 0;
}

static int read_labels(const char *text, struct push_config *config)
{
	unsigned count = 0;
	for (const char *at = text; at && *at;) {
		size_t length = strcspn(at, ",");
		if (++count > PUSH_LABELS_MAX || read_label(at, length, config))
			return -EINVAL;
		at = at[length] ? at + length + 1 : NULL;
	}
	return 0;
}

/* ---- public ---------------------------------------------------------------------------------- */

int push_config_read(const struct push_settings *settings, struct push_config *out_config,
		     char out_error[PUSH_ERROR_BYTES])
{
	uint64_t wait_ns;
	struct push_config config = {.patience_ms = PATIENCE_DEFAULT_MS};
	*out_config = config;
	if (!settings->push || !*settings->push)
		return 0;
	if (read_url(settings->push, &config)) {
		/* The value may hold a password. */
		snprintf(out_error, PUSH_ERROR_BYTES,
			 "CPROF_PUSH: accepted is the URL of a server such as http://pyroscope:4040; nothing "
			 "is "
			 "sent");
		return -EINVAL;
	}
	/* libcprof.so has said it if this cannot be read. */
	if (settings->exit_wait && cprof_read_duration(settings->exit_wait, &wait_ns) &&
	    wait_ns / NS_PER_MS <= INT32_MAX)
		config.patience_ms = (int64_t)(wait_ns / NS_PER_MS);
	config.is_on = true;
	int error = read_labels(settings->labels, &config);
	if (error) {
		config.labels[0] = config.service[0] = '\0';
		snprintf(out_error, PUSH_ERROR_BYTES,
			 "CPROF_LABELS=%.200s: " LABELS_ACCEPTED "; profiles are sent without labels",
			 settings->labels);
	}
	*out_config = config;
	return error;
}

int push_config_read_environment(struct push_config *out_config, char out_error[PUSH_ERROR_BYTES])
{
	const struct push_settings settings = {
		.push = secure_getenv("CPROF_PUSH"),
		.labels = secure_getenv("CPROF_LABELS"),
		.exit_wait = secure_getenv("CPROF_EXIT_WAIT"),
	};
	return push_config_read(&settings, out_config, out_error);
}
