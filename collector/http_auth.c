/* SPDX-License-Identifier: MIT */
/*
 * Credentials are decoded into buffers of one size and compared over all of it.
 *
 * Context: see http_auth.h.
 */
#include "http_auth.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#define PAIR_BYTES (2 * HTTP_CREDENTIAL_BYTES)

/* ---- basic authentication (RFC 7617) --------------------------------------------------------- */

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* False: not base64, or nothing that can be right.  The rest of out is zero. */
static bool decode_base64(const char *text, char out[PAIR_BYTES])
{
	size_t length = strcspn(text, " \t");
	size_t used = 0;
	uint32_t bits = 0;
	unsigned bit_count = 0;
	memset(out, 0, PAIR_BYTES);
	while (length && text[length - 1] == '=')
		length--;
	for (size_t i = 0; i < length; i++) {
		int digit = base64_digit(text[i]);
		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		bit_count += 6;
		if (bit_count < 8)
			continue;
		bit_count -= 8;
		char c = (char)(bits >> bit_count);
		if (c == '\0' || used == PAIR_BYTES - 1)
			return false;
		out[used++] = c;
	}
	return true;
}

bool http_auth_has_password(const struct http_config *config, const struct http_headers *headers)
{
	static const char scheme[] = "Basic ";
	char sent[PAIR_BYTES];
	char wanted[PAIR_BYTES] = {0};
	unsigned difference = 0;
	if (!config->has_password)
		return true;
	const char *text = headers->authorization;
	if (!text || strncasecmp(text, scheme, strlen(scheme)) != 0)
		return false;
	text += strlen(scheme);
	text += strspn(text, " ");
	if (!decode_base64(text, sent))
		return false;
	size_t user_bytes = strlen(config->user);
	memcpy(wanted, config->user, user_bytes);
	wanted[user_bytes] = ':';
	memcpy(wanted + user_bytes + 1, config->password, strlen(config->password));
	for (size_t i = 0; i < PAIR_BYTES; i++)
		difference |= (unsigned char)sent[i] ^ (unsigned char)wanted[i];
	return difference == 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* The name in "name", "name:port", "[address]:port", without brackets and the root's dot. */
static void host_name(const char *text, const char **out_start, size_t *out_length)
{
	size_t length;
	if (*text == '[') {
		text++;
		length = strcspn(text, "]");
	} else {
		length = strcspn(text, ":");
	}
	if (length && text[length - 1] == '.')
		length--;
	*out_start = text;
	*out_length = length;
}

static bool is_name(const char *start, size_t length, const char *name)
{
	return length == strlen(name) && strncasecmp(start, name, length) == 0;
}

static bool ends_in(const char *start, size_t length, const char *suffix)
{
	size_t suffix_length = strlen(suffix);
	return length > suffix_length &&
	       strncasecmp(start + length - suffix_length, suffix, suffix_length) == 0;
}

/* A number of 127.0.0.0/8 in four parts; "127.evil.com" is a name. */
static bool is_loopback_number(const char *start, size_t length)
{
	unsigned dots = 0;
	for (size_t i = 0; i < length; i++) {
		if (start[i] == '.')
			dots++;
		else if (start[i] < '0' || start[i] > '9')
			return false;
	}
	return dots == 3 && length > 4 && strncmp(start, "127.", 4) == 0;
}

/* Whether a name can mean nothing but this machine, or is the one we were told to listen on. */
static bool is_own_name(const struct http_config *config, const char *host)
{
	const char *start;
	size_t length;
	host_name(host, &start, &length);
	return length == 0 || is_name(start, length, "localhost") || ends_in(start, length, ".localhost") ||
	       is_name(start, length, "::1") || is_loopback_number(start, length) ||
	       (config->host[0] && is_name(start, length, config->host));
}

/* Whether "scheme://host:port" is the host that was addressed. */
static bool is_origin_of(const char *origin, const char *host)
{
	const char *after = strstr(origin, "://");
	return after && host && strcasecmp(after + 3, host) == 0;
}

bool http_auth_is_same_origin(const struct http_config *config, const struct http_headers *headers)
{
	/* No page can reach a unix socket. */
	if (config->is_unix)
		return true;
	if (!config->has_password && headers->host && !is_own_name(config, headers->host))
		return false;
	if (headers->origin && !is_origin_of(headers->origin, headers->host))
		return false;
	const char *site = headers->fetch_site;
	bool is_foreign = site && (strcmp(site, "cross-site") == 0 || strcmp(site, "same-site") == 0);
	/* Following a link to us is fine; being fetched or embedded is not. */
	return !is_foreign || (headers->fetch_mode && strcmp(headers->fetch_mode, "navigate") == 0);
}
