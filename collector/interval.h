/* SPDX-License-Identifier: MIT */
/*
 * Files at regular intervals: of each process what happened in the interval (CPU, waits)
 * and what its heap holds, NAME.PID.KIND.TIME.pb.gz, the newest few of them.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_INTERVAL_H
#define COLLECTOR_INTERVAL_H

#include "client.h"

#define INTERVAL_ERROR_BYTES 256
#define INTERVAL_KEEP_DEFAULT 24

struct interval_config {
	int64_t period_ms; /* 0: no such files */
	unsigned keep;     /* of each kind and process; 0: all */
};

/* The values of CPROF_INTERVAL and CPROF_KEEP; NULL: not set.  0, or -EINVAL and one line. */
int interval_config_read(const char *interval, const char *keep, struct interval_config *out_config,
			 char out_error[INTERVAL_ERROR_BYTES]);

struct interval;

/* NULL: not asked for, or no memory. */
struct interval *interval_open(const struct interval_config *config);
void interval_close(struct interval *interval);

/* All of these accept NULL. */

/* Whether a process is new, or its files are due. */
bool interval_has_job(const struct interval *interval, struct client *clients, int64_t now_ms);

/* Serves one process.  May take long; tick(tick_arg) is called meanwhile. */
void interval_do_job(struct interval *interval, struct client *clients, int64_t now_ms, void (*tick)(void *),
		     void *tick_arg);

/* The process is about to be forgotten. */
void interval_end_client(struct interval *interval, const struct client *client);

/*
 * Of the files in a directory that are called `prefix`.KIND.TIME.pb.gz, TIME not before
 * `since`, removes all but the newest `keep` of each kind.
 */
void interval_prune(int dir_fd, const char *prefix, const char *since, unsigned keep);

#define INTERVAL_STAMP_BYTES 17

/* "20261122T084327Z": sorts as time does. */
void interval_stamp(int64_t realtime_ns, char out_stamp[INTERVAL_STAMP_BYTES]);

#endif
