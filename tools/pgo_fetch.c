/* SPDX-License-Identifier: MIT */
/*
 * curl(1) does the work: what it knows of proxies, certificates and ~/.netrc need not be
 * known here.
 *
 * Context: command line; see pgo_fetch.h.
 */
#include "pgo_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pgo_spawn.h"

#define UNIX_PREFIX "unix:"
#define DEFAULT_PATH "/debug/pprof/profile?seconds=30"
#define CONFIG_BYTES 16384

static bool starts_with(const char *word, const char *prefix)
{
	return strncmp(word, prefix, strlen(prefix)) == 0;
}

bool pgo_fetch_is_url(const char *word)
{
	return starts_with(word, "http://") || starts_with(word, "https://") ||
	       starts_with(word, UNIX_PREFIX);
}

/* Appends `key = "start, length bytes of value"`, quoted. */
static int append(char *config, size_t config_bytes, const char *key, const char *start, const char *value,
		  size_t length)
{
	size_t at = strlen(config);
	int wrote = snprintf(config + at, config_bytes - at, "%s = \"%s", key, start);
	if (wrote < 0 || (size_t)wrote >= config_bytes - at)
		return -E2BIG;
	at += (size_t)wrote;
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)value[i] < ' ')
			return -EINVAL;
		if (at + 5 > config_bytes)
			return -E2BIG;
		if (value[i] == '"' || value[i] == '\\')
			config[at++] = '\\';
		config[at++] = value[i];
	}
	if (at + 3 > config_bytes)
		return -E2BIG;
	memcpy(config + at, "\"\n", 3);
	return 0;
}

int pgo_fetch_config(const char *url, char *config, size_t config_bytes)
{
	config[0] = '\0';
	if (!starts_with(url, UNIX_PREFIX))
		return append(config, config_bytes, "url", "", url, strlen(url));
	const char *socket = url + strlen(UNIX_PREFIX);
	const char *end = strstr(socket, ":/");
	size_t length = end ? (size_t)(end - socket) : strlen(socket);
	const char *path = end ? end + 1 : DEFAULT_PATH;
	int error = append(config, config_bytes, "unix-socket", "", socket, length);
	return error ? error : append(config, config_bytes, "url", "http://localhost", path, strlen(path));
}

int pgo_fetch(const char *url, char *path, size_t path_bytes)
{
	char config[CONFIG_BYTES];
	const char *directory = getenv("TMPDIR");
	int error = pgo_fetch_config(url, config, sizeof config);
	if (error) {
		fprintf(stderr, "cprof pgo: no URL: %s\n", url);
		return error;
	}
	snprintf(path, path_bytes, "%s/cprof-pgo.XXXXXX", directory && directory[0] ? directory : "/tmp");
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0) {
		error = -errno;
		fprintf(stderr, "cprof pgo: %s: %s\n", path, strerror(-error));
		return error;
	}
	close(fd);
	char *const command[] = {"curl",     "--silent", "--show-error", "--fail", "--netrc-optional",
				 "--config", "-",        "--output",     path,     "--connect-timeout",
				 "10",       NULL};
	error = pgo_spawn(command, config);
	if (error == -ENOENT)
		fputs("cprof pgo: fetching a URL needs curl\n", stderr);
	else if (error)
		fprintf(stderr, "cprof pgo: %s could not be fetched\n", url);
	if (error)
		unlink(path);
	return error;
}
