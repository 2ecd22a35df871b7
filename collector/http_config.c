/* SPDX-License-Identifier: MIT */
/*
 * Numbers are taken for what they say; a name is looked up once, and only its first
 * address is used, as Go does.  "localhost" needs no look-up.
 *
 * Context: collector, before the worker.
 */
#include "http_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cprof_compiler.h"
#include "cprof_units.h"

#define BACKLOG 128
#define UNIX_PREFIX "unix:"

static PRINTF_LIKE(2, 3) int refuse(char out_error[HTTP_CONFIG_ERROR_BYTES], const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(out_error, HTTP_CONFIG_ERROR_BYTES, format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- where ----------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)address;
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
	const struct in6_addr *a = &in6->sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

static void set_ipv4(struct http_config *config, uint32_t host_order, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&config->address;
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(host_order);
	in->sin_port = htons(port);
	config->address_size = sizeof *in;
}

static void set_ipv6(struct http_config *config, const struct in6_addr *address, uint16_t port)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&config->address;
	in6->sin6_family = AF_INET6;
	in6->sin6_addr = *address;
	in6->sin6_port = htons(port);
	config->address_size = sizeof *in6;
}

static int look_up(struct http_config *config, const char *host, uint16_t port)
{
	struct in_addr numeric;
	struct in6_addr numeric6;
	if (!*host || strcmp(host, "localhost") == 0) {
		set_ipv4(config, INADDR_LOOPBACK, port);
		return 0;
	}
	if (strcmp(host, "*") == 0) {
		set_ipv4(config, INADDR_ANY, port);
		return 0;
	}
	if (inet_pton(AF_INET, host, &numeric) == 1) {
		set_ipv4(config, ntohl(numeric.s_addr), port);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &numeric6) == 1) {
		set_ipv6(config, &numeric6, port);
		return 0;
	}
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	if (getaddrinfo(host, NULL, &hints, &found))
		return -ENOENT;
	if (found->ai_family == AF_INET)
		set_ipv4(config, ntohl(((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr.s_addr),
			 port);
	else
		set_ipv6(config, &((struct sockaddr_in6 *)(void *)found->ai_addr)->sin6_addr, port);
	freeaddrinfo(found);
	return 0;
}

/* "6060", ":6060", "localhost:6060", "[::1]:6060". */
static int read_tcp(struct http_config *config, const char *text, char out_error[HTTP_CONFIG_ERROR_BYTES])
{
	uint64_t port;
	const char *colon = strrchr(text, ':');
	const char *digits = colon ? colon + 1 : text;
	const char *host = text;
	size_t host_bytes = colon ? (size_t)(colon - text) : 0;
	if (host_bytes >= 2 && text[0] == '[' && text[host_bytes - 1] == ']') {
		host++;
		host_bytes -= 2;
	} else if (memchr(text, ':', host_bytes)) {
		host_bytes = sizeof config->host; /* an IPv6 address without brackets */
	}
	if (host_bytes >= sizeof config->host || !cprof_read_number(digits, UINT16_MAX, &port))
		return refuse(
			out_error,
			"CPROF_HTTP=%.200s: accepted is a port, host:port or unix:/path; nothing is served",
			text);
	memcpy(config->host, host, host_bytes);
	if (look_up(config, config->host, (uint16_t)port))
		return refuse(out_error, "CPROF_HTTP: there is no host %s; nothing is served", config->host);
	config->is_loopback = is_loopback(&config->address);
	return 0;
}

static int read_unix(struct http_config *config, const char *path, char out_error[HTTP_CONFIG_ERROR_BYTES])
{
	struct sockaddr_un *un = (struct sockaddr_un *)&config->address;
	char cwd[PATH_MAX] = "";
	if (*path && *path != '/' && !getcwd(cwd, sizeof cwd))
		return refuse(out_error, "CPROF_HTTP: the current directory has no name; nothing is served");
	int length = snprintf(un->sun_path, sizeof un->sun_path, "%s%s%s", cwd, *cwd ? "/" : "", path);
	if (!*path || length < 0 || (size_t)length >= sizeof un->sun_path)
		return refuse(out_error,
			      "CPROF_HTTP: the path of a unix socket has 1 to %zu bytes; nothing is served",
			      sizeof un->sun_path - 1);
	un->sun_family = AF_UNIX;
	config->address_size = sizeof *un;
	config->is_unix = config->is_loopback = true;
	return 0;
}

/* ---- who ------------------------------------------------------------------------------------- */

/* The first line of the file. */
static int read_password(struct http_config *config, const char *path,
			 char out_error[HTTP_CONFIG_ERROR_BYTES])
{
	char text[HTTP_CREDENTIAL_BYTES + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return refuse(out_error, "cannot read CPROF_HTTP_PASSWORD_FILE=%.200s: %s; nothing is served",
			      path, strerrordesc_np(error));
	text[n] = '\0';
	size_t length = strcspn(text, "\r\n");
	if (length == 0 || length >= HTTP_CREDENTIAL_BYTES)
		return refuse(
			out_error,
			"CPROF_HTTP_PASSWORD_FILE=%.200s: its first line has to be a password of 1 to %d "
			"bytes; nothing is served",
			path, HTTP_CREDENTIAL_BYTES - 1);
	memcpy(config->password, text, length);
	config->has_password = true;
	return 0;
}

static int read_who(struct http_config *config, const struct http_settings *settings,
		    char out_error[HTTP_CONFIG_ERROR_BYTES])
{
	const char *user = settings->user && *settings->user ? settings->user : HTTP_USER_DEFAULT;
	bool has_file = settings->password_file && *settings->password_file;
	if (settings->user && *settings->user && !has_file)
		return refuse(out_error, "CPROF_HTTP_USER needs CPROF_HTTP_PASSWORD_FILE; nothing is served");
	/* A colon ends the name in what a client sends. */
	if (strlen(user) >= sizeof config->user || strchr(user, ':'))
		return refuse(out_error,
			      "CPROF_HTTP_USER has at most %d bytes and no colon; nothing is served",
			      HTTP_CREDENTIAL_BYTES - 1);
	memcpy(config->user, user, strlen(user) + 1);
	int error = has_file ? read_password(config, settings->password_file, out_error) : 0;
	if (!error && !config->is_loopback && !config->has_password)
		return refuse(out_error,
			      "CPROF_HTTP=%.200s can be reached from other machines: that needs "
			      "CPROF_HTTP_PASSWORD_FILE; nothing is served",
			      settings->http);
	return error;
}

/* ---- public ---------------------------------------------------------------------------------- */

int http_config_read(const struct http_settings *settings, struct http_config *out_config,
		     char out_error[HTTP_CONFIG_ERROR_BYTES])
{
	struct http_config config = {0};
	const char *where = settings->http;
	*out_config = config;
	if (!where || !*where)
		return 0;
	int error = strncmp(where, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0
			    ? read_unix(&config, where + strlen(UNIX_PREFIX), out_error)
			    : read_tcp(&config, where, out_error);
	if (!error)
		error = read_who(&config, settings, out_error);
	if (error)
		return error;
	const char *cmdline = settings->cmdline;
	if (cmdline && *cmdline && strcmp(cmdline, "0") != 0 && strcmp(cmdline, "1") != 0)
		return refuse(out_error, "CPROF_HTTP_CMDLINE=%.100s: accepted is 0 or 1; nothing is served",
			      cmdline);
	config.shows_cmdline = cmdline && *cmdline == '1';
	config.is_on = true;
	*out_config = config;
	return 0;
}

int http_config_read_environment(struct http_config *out_config, char out_error[HTTP_CONFIG_ERROR_BYTES])
{
	const struct http_settings settings = {
		.http = secure_getenv("CPROF_HTTP"),
		.user = secure_getenv("CPROF_HTTP_USER"),
		.password_file = secure_getenv("CPROF_HTTP_PASSWORD_FILE"),
		.cmdline = secure_getenv("CPROF_HTTP_CMDLINE"),
	};
	return http_config_read(&settings, out_config, out_error);
}

/* Binds; a unix socket's file gets its mode from the moment it exists. */
static int bind_to(int fd, const struct http_config *config)
{
	mode_t mask = umask(0177);
	int error = bind(fd, (const struct sockaddr *)&config->address, config->address_size) ? -errno : 0;
	umask(mask);
	return error;
}

/* Whether a unix socket's file was left behind by somebody who is gone. */
static bool is_stale(const struct http_config *config)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&config->address;
	struct stat st;
	if (lstat(un->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool is_refused = fd >= 0 &&
			  connect(fd, (const struct sockaddr *)&config->address, config->address_size) &&
			  errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return is_refused;
}

int http_config_listen(const struct http_config *config)
{
	const int yes = 1;
	int fd = socket(config->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The connections of a server before us may linger. */
	if (!config->is_unix)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	int error = bind_to(fd, config);
	if (error == -EADDRINUSE && config->is_unix && is_stale(config)) {
		http_config_unlisten(config);
		error = bind_to(fd, config);
	}
	if (!error && listen(fd, BACKLOG))
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}

void http_config_describe(const struct http_config *config, int listen_fd, char *out_text, size_t size)
{
	struct sockaddr_storage bound;
	socklen_t bound_size = sizeof bound;
	char host[INET6_ADDRSTRLEN] = "";
	if (config->is_unix) {
		snprintf(out_text, size, UNIX_PREFIX "%s",
			 ((const struct sockaddr_un *)&config->address)->sun_path);
		return;
	}
	memset(&bound, 0, sizeof bound);
	(void)getsockname(listen_fd, (struct sockaddr *)&bound, &bound_size);
	if (bound.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&bound;
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
		snprintf(out_text, size, "http://[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&bound;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		snprintf(out_text, size, "http://%s:%u", host, ntohs(in->sin_port));
	}
}

void http_config_unlisten(const struct http_config *config)
{
	if (config->is_unix)
		unlink(((const struct sockaddr_un *)&config->address)->sun_path);
}
