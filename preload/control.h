/* SPDX-License-Identifier: MIT */
/*
 * What a process says about itself in its control block.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_CONTROL_H
#define PRELOAD_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cprof_shm.h"

/*
 * Fills a new segment's control block, before the segment is handed over.
 * `clock_base_ns`: the process's CPU clock from which on it can be sampled, not 0.
 */
void control_fill(uint32_t pid, bool is_first, uint64_t clock_base_ns);

uint64_t control_clock_ns(clockid_t clock);

#endif
