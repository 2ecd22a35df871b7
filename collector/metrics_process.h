/* SPDX-License-Identifier: MIT */
/*
 * What the kernel knows of a process, as Prometheus's own client libraries report it.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_METRICS_PROCESS_H
#define COLLECTOR_METRICS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct metrics_process {
	double cpu_s; /* of all its threads, those that ended too */
	double start_time_s;
	uint64_t virtual_bytes;
	uint64_t resident_bytes;
	uint64_t thread_count;
	bool has_memory; /* of Linux 4.5 and newer */
	uint64_t anonymous_bytes, swap_bytes;
	uint64_t minor_faults, major_faults;
	bool has_limits;
	double virtual_max_bytes; /* +Inf: no limit */
	double fds_max;
	bool has_fds; /* needs the right to look into it */
	uint64_t open_fds;
};

/* Reads /proc/PID.  False: the process is gone, or cannot be seen from here. */
bool metrics_process_read(pid_t pid, struct metrics_process *out_process);

/* The parts, on the text of the files. */
bool metrics_process_parse_stat(const char *text, struct metrics_process *out_process);
bool metrics_process_parse_status(const char *text, struct metrics_process *out_process);
bool metrics_process_parse_limits(const char *text, struct metrics_process *out_process);

#endif
