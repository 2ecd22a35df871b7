/* SPDX-License-Identifier: MIT */
/*
 * The program's environment as its descendants shall see it: with CPROF_SESSION, and
 * with an LD_PRELOAD that works from any directory.
 *
 * Context: init.
 */
#ifndef PRELOAD_ENVIRONMENT_H
#define PRELOAD_ENVIRONMENT_H

/*
 * Replaces `environ` by a copy in memory of our own with `session_entry`
 * ("CPROF_SESSION=...") in it.  The strings that stay are the old ones, so programs that
 * overwrite their environment's memory (setproctitle) are not disturbed.  If there is
 * no memory the environment stays as it is: descendants then are trees of their own.
 */
void environment_publish(const char *session_entry);

#endif
