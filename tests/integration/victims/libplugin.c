/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * A library that is loaded, used and unloaded: plugin_work burns CPU, plugin_allocates
 * allocates.  Context: test program.
 */
#include "victim.h"

#include <stdlib.h>

int64_t plugin_work(int64_t ns);
void *plugin_allocates(size_t bytes);

static FRAME int64_t plugin_static_part(int64_t ns) { return spin_cpu_ns(ns); }

FRAME int64_t plugin_work(int64_t ns)
{
	const int64_t spent = plugin_static_part(ns);
	NO_TAIL_CALL();
	return spent;
}

FRAME void *plugin_allocates(size_t bytes) { return malloc(bytes); }
