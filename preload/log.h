/* SPDX-License-Identifier: MIT */
/*
 * One line to the program's stderr, at most, for what its user has to know.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_LOG_H
#define PRELOAD_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Writes "cprof: " and the strings, up to a NULL, as one line, if `level` is wanted (CPROF_LOG). */
void log_line(enum log_level level, const char *const *strings);

#define LOG(level, ...) log_line((level), (const char *const[]){__VA_ARGS__, NULL})

/* The text of the errors that cprof meets ("No such file or directory"); needs no locale, no lock. */
const char *log_error_text(long negative_errno);

#endif
