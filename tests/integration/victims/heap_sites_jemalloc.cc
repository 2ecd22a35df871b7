/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls -DWITH_JEMALLOC
// ldflags: -ljemalloc
/* heap_sites linked with jemalloc, and its extended calls.  Context: test program. */
#include "heap_sites.h"
