/* SPDX-License-Identifier: MIT */
/*
 * Running another program and waiting for it.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_SPAWN_H
#define TOOLS_PGO_SPAWN_H

/*
 * Runs a command, found in PATH, with `input` (or nothing) on its standard input.  0;
 * -ENOENT: there is no such program; -ECHILD: it failed; another -errno.
 */
int pgo_spawn(char *const command[], const char *input);

#endif
