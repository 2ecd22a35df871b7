/* SPDX-License-Identifier: MIT */
/*
 * What waits to be sent, in the order in which it was made, bounded: when there is no room
 * the oldest goes.  What is dropped is counted by reason.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PUSH_QUEUE_H
#define COLLECTOR_PUSH_QUEUE_H

#include "push_request.h"

/* A profile of a large program takes 100 KB or so, at most a few MB. */
#define PUSH_QUEUE_BYTES_MAX ((size_t)32 << 20)

enum push_drop {
	PUSH_DROP_FULL,    /* no room */
	PUSH_DROP_REFUSED, /* the server does not want it */
	PUSH_DROP_EXIT,    /* all processes have ended, and patience as well */
	PUSH_DROP_COUNT
};

struct push_counts {
	uint64_t sent;
	uint64_t sent_bytes;
	uint64_t failures; /* attempts */
	uint64_t dropped[PUSH_DROP_COUNT];
	uint64_t queued;
	uint64_t queued_bytes;
};

struct push_job {
	struct push_job *next;
	struct push_request request;
	char what[160]; /* "cpu profile of app (42)" */
	unsigned refusals;
};

/* All zero is empty. */
struct push_queue {
	struct push_job *first;
	struct push_job *last;
	bool is_first_busy; /* is being sent: is not dropped for want of room */
	struct push_counts counts;
};

/* Takes a request over.  Whether nothing had to be dropped for it. */
bool push_queue_add(struct push_queue *queue, struct push_request *request, const char *what);

/* The first was taken by the server. */
void push_queue_sent(struct push_queue *queue);

/* The first will never be. */
void push_queue_drop(struct push_queue *queue, enum push_drop why);

void push_queue_drop_all(struct push_queue *queue, enum push_drop why);

#endif
