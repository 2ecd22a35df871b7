/* SPDX-License-Identifier: MIT */
/*
 * Names come from files and programs and may be any bytes; protobuf wants UTF-8.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_UTF8_H
#define COLLECTOR_UTF8_H

#include <stdbool.h>

#include "arena.h"

bool utf8_is_valid(const char *text);

/* A copy in which each byte that is not UTF-8 has become U+FFFD; NULL: no memory. */
char *utf8_copy(struct arena *arena, const char *text);

#endif
