/* SPDX-License-Identifier: MIT */
/*
 * What CPROF_HTTP and its companions ask for: where to listen and who may ask.  An
 * address that is not loopback is refused without a password: profiles show what a
 * program does, and a dump shows where.
 *
 * Context: collector, before the worker.
 */
#ifndef COLLECTOR_HTTP_CONFIG_H
#define COLLECTOR_HTTP_CONFIG_H

#include <stdbool.h>
#include <sys/socket.h>

#define HTTP_CREDENTIAL_BYTES 128
#define HTTP_CONFIG_ERROR_BYTES 512
#define HTTP_USER_DEFAULT "admin"

struct http_config {
	bool is_on;
	bool is_loopback; /* only this machine can connect */
	bool is_unix;
	bool shows_cmdline;
	bool has_password;
	char user[HTTP_CREDENTIAL_BYTES];
	char password[HTTP_CREDENTIAL_BYTES];
	char host[256]; /* as it was given, for the Host check; "" for a bare port */
	struct sockaddr_storage address;
	socklen_t address_size;
};

/* The variables' values; NULL: not set. */
struct http_settings {
	const char *http;
	const char *user;
	const char *password_file;
	const char *cmdline;
};

/*
 * Judges the settings and reads the password.  Returns 0, with out_config->is_on false
 * if HTTP is not asked for; else -EINVAL and one line in out_error.  Relative paths are
 * of the current directory.
 */
int http_config_read(const struct http_settings *settings, struct http_config *out_config,
		     char out_error[HTTP_CONFIG_ERROR_BYTES]);

/* The same from the environment. */
int http_config_read_environment(struct http_config *out_config, char out_error[HTTP_CONFIG_ERROR_BYTES]);

/*
 * The listening socket, non-blocking and close-on-exec; a unix socket's file is 0600,
 * one that nobody listens on any more is replaced.  Returns it, or -errno.
 */
int http_config_listen(const struct http_config *config);

/* The address that a socket listens on, as one writes it in a URL: "http://127.0.0.1:6060". */
void http_config_describe(const struct http_config *config, int listen_fd, char *out_text, size_t size);

/* Removes the file of a unix socket. */
void http_config_unlisten(const struct http_config *config);

#endif
