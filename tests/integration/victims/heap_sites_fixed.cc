/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls -fno-pie -no-pie
/*
 * heap_sites at a fixed address, where taking malloc's address makes the executable's
 * own PLT entry the function.  Context: test program.
 */
#include "heap_sites.h"
