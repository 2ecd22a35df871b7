/* SPDX-License-Identifier: MIT */
/*
 * What a seccomp filter that the program is about to enter will say to a system call.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_SECCOMP_FILTER_H
#define PRELOAD_SECCOMP_FILTER_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Whether the filter at `program` (a struct sock_fprog; any address, read by system calls) allows this
 * call.  One that the kernel will refuse allows everything.
 */
bool seccomp_filter_allows(uint64_t program, const struct seccomp_data *call);

#endif
