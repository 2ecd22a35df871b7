/* SPDX-License-Identifier: MIT */
/*
 * The stream belongs to the profiled program, which may have left it full, stopped
 * or broken: ask poll() first, write once, never look back.  Names and paths in a
 * message come from the segment, so bytes that could steer a terminal are replaced.
 *
 * Context: collector, main thread.
 */
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A pipe that polls writable has room for this much (PIPE_BUF), so the write cannot block. */
#define LINE_BYTES 2048

static int log_fd = -1;
static enum log_level log_max = LOG_LEVEL_WARN;

static void emit(enum log_level level, const char *format, va_list args)
{
	static const char prefix[] = "cprof: ";
	char line[LINE_BYTES];
	if (log_fd < 0 || level > log_max)
		return;
	memcpy(line, prefix, sizeof prefix);
	size_t room = sizeof line - sizeof prefix;
	int wanted = vsnprintf(line + sizeof prefix - 1, room, format, args);
	if (wanted < 0)
		return;
	size_t size = sizeof prefix - 1 + ((size_t)wanted < room ? (size_t)wanted : room - 1);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)line[i];
		if (c < 0x20 || c == 0x7f)
			line[i] = '?';
	}
	line[size++] = '\n';
	struct pollfd ready = {.fd = log_fd, .events = POLLOUT};
	if (poll(&ready, 1, 0) == 1 && ready.revents & POLLOUT && write(log_fd, line, size) < 0)
		log_close();
}

void log_open(int fd, enum log_level level)
{
	log_fd = fd;
	log_max = level;
}

enum log_level log_level_of(const char *name)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	for (unsigned i = 0; name && i < ARRAY_LENGTH(names); i++)
		if (strcmp(name, names[i]) == 0)
			return (enum log_level)i;
	return LOG_LEVEL_WARN;
}

const char *log_error_text(int error)
{
	const char *text = strerrordesc_np(error);
	return text ? text : "unknown error";
}

void log_close(void)
{
	if (log_fd > STDERR_FILENO)
		close(log_fd);
	log_fd = -1;
}

void log_error(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	emit(LOG_LEVEL_ERROR, format, args);
	va_end(args);
}

void log_warn(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	emit(LOG_LEVEL_WARN, format, args);
	va_end(args);
}

void log_info(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	emit(LOG_LEVEL_INFO, format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	emit(LOG_LEVEL_DEBUG, format, args);
	va_end(args);
}
