/* SPDX-License-Identifier: MIT */
/*
 * A segment and the program behind it, for tests of the collector: it writes what a
 * profiled process would write, by the same protocol, but has no process.
 *
 * Context: tests.  Everything that fails ends the test process with a message.
 */
#ifndef TESTS_SUPPORT_FAKE_SEGMENT_H
#define TESTS_SUPPORT_FAKE_SEGMENT_H

#include "cprof_geometry.h"
#include "cprof_ring.h"
#include "cprof_wire.h"

struct fake_segment {
	int fd;
	unsigned char *base;
	struct cprof_geometry geometry;
};

/* A sealed memfd of `bytes` (a valid size), with a filled-in control block: name "fake", pid = ours. */
void fake_segment_create(struct fake_segment *fake, uint64_t bytes);

/* The same as a new file. */
void fake_segment_create_file(struct fake_segment *fake, const char *path, uint64_t bytes);

/* Unmaps and closes. */
void fake_segment_destroy(struct fake_segment *fake);

struct cprof_control *fake_control(const struct fake_segment *fake);
struct cprof_journal *fake_journal(const struct fake_segment *fake);
struct cprof_thread *fake_thread(const struct fake_segment *fake, uint32_t slot);
struct cprof_total_bucket *fake_total_bucket(const struct fake_segment *fake, uint32_t bucket);

/* Takes the next slot.  Returns its number. */
uint32_t fake_thread_start(struct fake_segment *fake);
void fake_thread_end(struct fake_segment *fake, uint32_t slot);

/* Stores a stack.  Returns its id. */
uint32_t fake_stack(struct fake_segment *fake, const uint64_t *frames, uint16_t frame_count, uint16_t flags);

/* A stack of one frame in module 0 at this offset. */
uint32_t fake_leaf(struct fake_segment *fake, uint64_t offset);

/* Stores a set of labels: one more on top of `outer`.  Returns its id. */
uint32_t fake_labels(struct fake_segment *fake, uint32_t outer, const char *key, const char *value);

/* Counts an event as the library does: in the ring, or, when that is full, in the totals. */
void fake_record(struct fake_segment *fake, uint32_t slot, uint32_t stack, uint32_t kind, uint64_t weight,
		 uint64_t value);

/* Adds to the producer half of a total.  False: no room. */
bool fake_total_add(struct fake_segment *fake, uint64_t key, uint64_t weight, uint64_t value);

/* Both halves of a total; 0, 0 if there is none. */
void fake_total_get(const struct fake_segment *fake, uint64_t key, uint64_t *out_weight, uint64_t *out_value);

/* Enters a sampled block into the live table; removes it. */
void fake_live_add(struct fake_segment *fake, uint64_t address, uint32_t stack, uint64_t weight,
		   uint64_t value);
void fake_live_add_labelled(struct fake_segment *fake, uint64_t address, uint32_t stack, uint32_t labels,
			    uint64_t weight, uint64_t value);
void fake_live_remove(struct fake_segment *fake, uint64_t address);

/* Publishes a module row for the file at `path` (by device and inode), loaded at bias. */
void fake_module(struct fake_segment *fake, uint32_t row, const char *path, uint64_t bias);

/* A session as the first process makes it. */
struct fake_session {
	int listen_fd;
	char name[CPROF_SESSION_HEX + 1];
	char token[CPROF_SESSION_HEX + 1];
	char text[128]; /* value of CPROF_SESSION, with our pid as the first process's */
};
void fake_session_create(struct fake_session *session);

/* Registers the segment for the calling process; pidfd -1: none is sent. */
void fake_register(const struct fake_session *session, const struct fake_segment *fake, int pidfd);

#endif
