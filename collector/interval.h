/* SPDX-License-Identifier: MIT */
/*
 * Cuts the life of each process into intervals, and at the end of each has what happened
 * in it written to files, sent to a server, or both.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_INTERVAL_H
#define COLLECTOR_INTERVAL_H

#include "client.h"
#include "push.h"

#define INTERVAL_ERROR_BYTES 256
#define INTERVAL_KEEP_DEFAULT 24
/* If nobody says how often profiles are to be sent: as Pyroscope's own clients do. */
#define INTERVAL_PUSH_DEFAULT_MS 15000

struct interval_config {
	int64_t period_ms; /* 0: no files */
	unsigned keep;     /* files of each kind and process; 0: all */
};

/* The values of CPROF_INTERVAL and CPROF_KEEP; NULL: not set.  0, or -EINVAL and one line. */
int interval_config_read(const char *interval, const char *keep, struct interval_config *out_config,
			 char out_error[INTERVAL_ERROR_BYTES]);

struct interval;

/* `push` is borrowed; NULL: nothing is sent.  NULL: not asked for, or no memory. */
struct interval *interval_open(const struct interval_config *config, struct push *push);
void interval_close(struct interval *interval);

/* All of these accept NULL. */

/* Whether a process is new, or its interval is over. */
bool interval_has_job(const struct interval *interval, struct client *clients, int64_t now_ms);

/* Serves one process.  May take long; tick(tick_arg) is called meanwhile. */
void interval_do_job(struct interval *interval, struct client *clients, int64_t now_ms, void (*tick)(void *),
		     void *tick_arg);

/*
 * The process is about to end, or has ended: what is left of its last interval is given
 * to be sent.  Files have it all anyhow.  May take long, as above.
 */
void interval_end_part(struct interval *interval, struct client *client, void (*tick)(void *),
		       void *tick_arg);

/* The process goes on as another client, with all that was counted. */
void interval_continue(struct interval *interval, const struct client *client,
		       const struct client *successor);

/* The process is about to be forgotten. */
void interval_forget_client(struct interval *interval, const struct client *client);

#endif
