/* SPDX-License-Identifier: MIT */
/*
 * Asking for the flight recorder's window to be saved.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_FLIGHT_H
#define PRELOAD_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

/* `reason`: CPROF_FLIGHT_BY_*.  False: no flight recorder runs. */
bool flight_request(uint32_t reason);

#endif
