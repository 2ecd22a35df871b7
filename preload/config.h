/* SPDX-License-Identifier: MIT */
/*
 * The CPROF_ environment variables, read once when the library is loaded.  A value
 * that cannot be read gives one line on stderr (in the first process of a tree) and
 * the default is used.
 *
 * Context: init.  The result is read-only afterwards and may be read in any context.
 */
#ifndef PRELOAD_CONFIG_H
#define PRELOAD_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "cprof_shm.h"
#include "log.h"

enum config_segment { CONFIG_SEGMENT_AUTO, CONFIG_SEGMENT_MEMFD, CONFIG_SEGMENT_FILE };

struct config {
	char out_dir[CPROF_PATH_BYTES]; /* absolute */
	const char *collector;          /* CPROF_COLLECTOR or NULL */
	const char *match;              /* glob on NAME or NULL */
	const char *skip;
	const char *session; /* CPROF_SESSION or NULL */
	uint64_t heap_rate_bytes;
	uint64_t mem_bytes;
	bool mem_is_set;
	uint64_t exit_wait_ns;
	uint64_t block_rate_ns;
	uint32_t mutex_fraction;
	bool mutex_fraction_is_set;
	uint32_t cpu_hz;
	uint32_t trace; /* bits CPROF_TRACE_* */
	uint64_t flight_age_ns;
	uint64_t flight_bytes;
	bool flight_bytes_is_set;
	int snapshot_signal; /* 0: none */
	int flight_signal;   /* likewise */
	bool follow;
	bool debuginfod;
	bool is_served; /* CPROF_HTTP is set: the collector shows more than what is recorded */
	enum config_segment segment;
	enum log_level log_level;
};

extern struct config config;

/* Reads the variables from `environment`. */
void config_read(char *const *environment);

/* Whether any profile is asked for, or somebody may ask. */
bool config_has_profiles(void);

/* Shell-like pattern match: * ? [a-z] [!a-z] and backslash. */
bool config_glob_matches(const char *pattern, const char *name);

#endif
