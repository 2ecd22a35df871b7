/* SPDX-License-Identifier: MIT */
/*
 * The stack interning table: frames -> id, insert-only, lock-free.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_STACK_TABLE_H
#define PRELOAD_STACK_TABLE_H

#include "cprof_shm.h"

/*
 * Returns the id of the stack, interning it if it is new.  0: the table is full
 * (counted).  Equal stacks get equal ids except when two threads intern the same new
 * stack at the same moment into a full bucket; the reader merges those.
 */
uint32_t stack_table_intern(const uint64_t *frames, uint32_t frame_count, uint16_t flags);

#endif
