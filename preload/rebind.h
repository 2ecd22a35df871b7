/* SPDX-License-Identifier: MIT */
/*
 * For an allocator that was preloaded in front of us (LD_PRELOAD="libtcmalloc.so
 * libcprof.so"): the program's calls are bound to it and would never reach us.
 *
 * Context: init.
 */
#ifndef PRELOAD_REBIND_H
#define PRELOAD_REBIND_H

#include <stdbool.h>

/*
 * Sees to it that the program's allocations come to us.  If a library in front of us
 * defines malloc, its functions become the real ones, and all loaded objects, and those
 * loaded later, are bound to ours.  False: the executable defines malloc itself, and the
 * heap cannot be profiled.
 */
bool rebind_malloc(void);

#endif
