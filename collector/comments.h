/* SPDX-License-Identifier: MIT */
/*
 * What a profile says about itself: how much of the process it covers and what was
 * lost on the way.  A comment with a leading "# " is shown by `pprof -comments`
 * only; one without heads every report.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_COMMENTS_H
#define COLLECTOR_COMMENTS_H

#include "aggregate.h"

#define COMMENTS_MAX 24
#define COMMENTS_LINE_BYTES 192

struct comments {
	char text[COMMENTS_MAX][COMMENTS_LINE_BYTES];
	const char *lines[COMMENTS_MAX]; /* pointers into text, for struct profile */
	size_t count;
};

/* CPU time of the process image. */
struct comments_clock {
	bool is_known;
	uint64_t clock_ns;
	uint64_t age_ns; /* how long before the profile's end it was read */
};

/*
 * Fills out_comments, which must stay where it is while its lines are used.  `sums`
 * are those of the kind, `cpu_clock` matters to CPU profiles.
 */
void comments_build(enum profile_kind kind, const struct cprof_control *control,
		    const struct aggregate_sums *sums, const struct comments_clock *cpu_clock,
		    struct comments *out_comments);

/* Only what every profile says: which run it belongs to. */
void comments_build_run(struct comments *out_comments);

#endif
