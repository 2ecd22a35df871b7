/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
// ldflags: -Wl,--no-as-needed -l:libtcmalloc_minimal.so.4
/* heap_sites linked with tcmalloc.  Context: test program. */
#include "heap_sites.h"
