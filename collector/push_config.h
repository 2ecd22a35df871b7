/* SPDX-License-Identifier: MIT */
/*
 * What CPROF_PUSH and CPROF_LABELS ask for: a server to send profiles to, and what they
 * are to be found by there.
 *
 * Context: collector, before the worker.
 */
#ifndef COLLECTOR_PUSH_CONFIG_H
#define COLLECTOR_PUSH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUSH_URL_BYTES 1024
#define PUSH_LABELS_BYTES 2048
#define PUSH_LABELS_MAX 20 /* Pyroscope takes 30, and adds some of its own */
#define PUSH_SERVICE_BYTES 256
#define PUSH_ERROR_BYTES 512

struct push_config {
	bool is_on;
	char url[PUSH_URL_BYTES];         /* of the ingest API, perhaps with a password */
	char shown[PUSH_URL_BYTES];       /* of the server, without it */
	char service[PUSH_SERVICE_BYTES]; /* the label of that name, "": each program's own name */
	char labels[PUSH_LABELS_BYTES];   /* "service=checkout,region=eu", without spaces around */
	int64_t patience_ms;              /* for what is left when all processes have ended */
};

/* The variables' values; NULL: not set. */
struct push_settings {
	const char *push;
	const char *labels;
	const char *exit_wait;
};

/*
 * Judges the settings.  Returns 0, with out_config->is_on false if nothing is to be
 * sent; else -EINVAL and one line in out_error.  Labels that cannot be read leave
 * it on, without them.
 */
int push_config_read(const struct push_settings *settings, struct push_config *out_config,
		     char out_error[PUSH_ERROR_BYTES]);

/* The same from the environment. */
int push_config_read_environment(struct push_config *out_config, char out_error[PUSH_ERROR_BYTES]);

#endif
