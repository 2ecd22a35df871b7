/* SPDX-License-Identifier: MIT */
/*
 * Messages for people: one line each, "cprof: ...", one write.  They go to the first
 * process's stderr as long as it lives; afterwards they are dropped.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_LOG_H
#define COLLECTOR_LOG_H

#include "cprof_compiler.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Where lines go (borrowed until log_close()) and which. fd -1: nowhere. */
void log_open(int fd, enum log_level level);

/* The level called `name` (error, warn, info, debug); warn for NULL and for anything else. */
enum log_level log_level_of(const char *name);

/* What an errno value means, for a message. */
const char *log_error_text(int error);

/* Closes the descriptor of log_open(); later messages are dropped. */
void log_close(void);

/* A line never blocks: one that the reader of the stream has no room for is dropped. */
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *format, ...) PRINTF_LIKE(1, 2);
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
