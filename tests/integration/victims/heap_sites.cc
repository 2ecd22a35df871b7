/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/* heap_sites with libc's allocator.  Context: test program. */
#include "heap_sites.h"
