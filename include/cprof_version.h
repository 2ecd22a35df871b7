/* SPDX-License-Identifier: MIT */
/*
 * The version of cprof as people see it.
 *
 * Context: any.
 */
#ifndef CPROF_VERSION_H
#define CPROF_VERSION_H

#define CPROF_VERSION "0.1.0"

#endif
