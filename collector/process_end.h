/* SPDX-License-Identifier: MIT */
/*
 * How a process ended that is not our child, as far as the kernel tells strangers.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PROCESS_END_H
#define COLLECTOR_PROCESS_END_H

#include <stdbool.h>
#include <sys/types.h>

enum process_end {
	PROCESS_END_UNKNOWN,
	PROCESS_END_EXITED, /* it, or one of its threads, ended it */
	PROCESS_END_KILLED  /* a signal did */
};

/* Of a process that is gone.  pidfd or -1; `pid` as we see it, or 0: not visible from here. */
enum process_end process_end_of(int pidfd, pid_t pid);

/* The same from the text of /proc/PID/stat; is_shown: the kernel does not hide there how it ended. */
enum process_end process_end_of_stat(const char *stat, bool is_shown);

#endif
