/* SPDX-License-Identifier: MIT */
/*
 * CPROF_FLIGHT_SLOW: a region or a task of some name that takes longer than it may saves
 * the flight recorder's window, at most once while that window lasts.
 *
 * What its end needs to know is one word that goes with the region: which rule, and when it
 * began.  So there is no table of those under way.
 *
 * Context: any (async-signal-safe); reading the variable: init.
 */
#ifndef PRELOAD_FLIGHT_SLOW_H
#define PRELOAD_FLIGHT_SLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLIGHT_SLOW_RULES 8u
#define FLIGHT_SLOW_NAME_BYTES 128u

/* Reads "name:250ms,other:1s".  False: it cannot be read; there is no rule then. */
bool flight_slow_read(const char *value);

/* The word for something of this type that begins now; 0: no rule is about it. */
uint64_t flight_slow_begin(const char *type, size_t type_bytes, uint64_t now_ns);

/* It ends; `watch` is that word, or anything. */
void flight_slow_end(uint64_t watch, uint64_t now_ns);

/* In a forked child: it has saved nothing yet. */
void flight_slow_forget(void);

#endif
