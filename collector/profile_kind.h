/* SPDX-License-Identifier: MIT */
/*
 * What there is to know about each kind of profile, in one table: what its files are
 * called and what its samples measure.
 *
 * Context: any thread: constants.
 */
#ifndef COLLECTOR_PROFILE_KIND_H
#define COLLECTOR_PROFILE_KIND_H

#include "profile.h"

struct profile_value_type {
	const char *type, *unit;
};

struct profile_kind_info {
	const char *name; /* the KIND of NAME.PID.KIND.pb.gz */
	struct profile_value_type values[PROFILE_VALUES_MAX];
	size_t value_count;
	struct profile_value_type period;
	const char *default_type; /* NULL: the last of values */
	const char *drop_frames;  /* NULL: none */
};

extern const struct profile_kind_info profile_kinds[PROFILE_KIND_COUNT];

#endif
