/* SPDX-License-Identifier: MIT */
// cflags: -O0 -fno-omit-frame-pointer
/* The same as most programs are built for debugging: frames can only be found by rbp. */
#include "thread_waits.c"
