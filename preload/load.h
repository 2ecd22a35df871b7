/* SPDX-License-Identifier: MIT */
/*
 * What happens when the library is loaded into a process image.
 *
 * Context: see each.
 */
#ifndef PRELOAD_LOAD_H
#define PRELOAD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

/* Fills a new segment's control block.  Context: any (async-signal-safe). */
void load_fill_control(uint32_t pid, bool is_first);

#endif
