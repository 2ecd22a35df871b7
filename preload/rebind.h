/* SPDX-License-Identifier: MIT */
/*
 * For an allocator that was preloaded in front of us (LD_PRELOAD="libtcmalloc.so
 * libcprof.so"): the program's calls are bound to it and would never reach us.
 *
 * Context: init.
 */
#ifndef PRELOAD_REBIND_H
#define PRELOAD_REBIND_H

/*
 * If the first malloc in the process is a library's in front of us: makes that
 * library's functions the real ones, and binds all loaded objects, and those loaded
 * later, to ours.  Nothing happens if malloc is ours already or the executable's own.
 */
void rebind_allocator_in_front(void);

#endif
