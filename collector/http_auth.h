/* SPDX-License-Identifier: MIT */
/*
 * Who may ask: by password, and, where there is none, by the name under which the
 * server was addressed.  A web page that the user has open can send requests to
 * loopback; it cannot forge Host, Origin or Sec-Fetch-Site.
 *
 * Context: collector, main thread; pure functions.
 */
#ifndef COLLECTOR_HTTP_AUTH_H
#define COLLECTOR_HTTP_AUTH_H

#include "http_config.h"

/* Headers of a request; NULL: not sent. */
struct http_headers {
	const char *host;
	const char *authorization;
	const char *origin;
	const char *fetch_site; /* Sec-Fetch-Site */
	const char *fetch_mode; /* Sec-Fetch-Mode */
};

/*
 * Whether the request carries the password, or none is needed.  Takes as long for a
 * nearly right one as for any other.
 */
bool http_auth_has_password(const struct http_config *config, const struct http_headers *headers);

/* Whether it was sent by a page of this server, or by no page; without a password: to this machine's own name. */
bool http_auth_is_same_origin(const struct http_config *config, const struct http_headers *headers);

#endif
