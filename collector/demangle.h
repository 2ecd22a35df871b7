/* SPDX-License-Identifier: MIT */
/*
 * Linkage names as people write them.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_DEMANGLE_H
#define COLLECTOR_DEMANGLE_H

#include <stddef.h>

/* The longest result; a name that would become longer stays mangled. */
#define DEMANGLE_MAX 8192

/*
 * C++ (Itanium ABI) and Rust (legacy and v0): writes the readable form, terminated,
 * and returns its length; returns 0 if the name is not mangled.
 *   _ZN2ns3fooIiE3barEi             ns::foo<int>::bar
 *   _ZN4core3fmt5Write17h0123456789abcdefE   core::fmt::Write
 */
size_t demangle(const char *name, char out_text[DEMANGLE_MAX]);

/*
 * How much of a linkage name is left without the suffixes that optimisers append to
 * their copies and parts of a function (.constprop.0, .isra.0, .part.0, .cold,
 * .lto_priv.0, .llvm.123) and without a symbol version (@@GLIBC_2.14).
 */
size_t demangle_base_length(const char *name);

#endif
