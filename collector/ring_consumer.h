/* SPDX-License-Identifier: MIT */
/*
 * Drains the rings of a segment into its totals, in batches that a redo journal in
 * the segment makes atomic: a collector killed at any instruction neither loses a
 * record nor counts it twice (see struct cprof_journal).
 *
 * Context: collector, main thread.  Never blocks, allocates nothing.
 */
#ifndef COLLECTOR_RING_CONSUMER_H
#define COLLECTOR_RING_CONSUMER_H

#include "segment_reader.h"

/* Whether somebody may still fill a hole in a ring. */
enum ring_owner {
	RING_OWNER_RUNNING, /* a record that is not whole yet will be: stop before it */
	RING_OWNER_DEAD     /* it never will be: skip it, counting CPROF_RECORDS_TORN */
};

struct ring_drained {
	uint64_t records; /* added to the totals */
	uint32_t fullest; /* records found in the fullest ring, before draining it */
	uint32_t corrupt; /* rings whose positions made no sense; they were emptied */
};

/*
 * Completes the batch that a dead collector left half done, if there is one.  To be
 * called once, before the first drain.  -EBADMSG: the journal was nonsense and was
 * thrown away.
 */
int ring_consumer_replay(const struct segment_reader *reader);

/* Drains all rings and frees the slots of ended threads. */
void ring_consumer_drain(const struct segment_reader *reader, enum ring_owner owner,
			 struct ring_drained *out_drained);

#endif
