/* SPDX-License-Identifier: MIT */
/*
 * Sends profiles to a Pyroscope server, one after the other, in the order in which they
 * were made.  It has no thread: the loop polls one descriptor and lets it move bytes.  A
 * profile stays in the queue until the server has said that it has it; if that word is
 * lost it is sent again.
 *
 *     IDLE --profile--> SENDING --2xx--> IDLE
 *                        |   ^
 *                failure |   | retry_ms
 *                        v   |
 *                       RESTING
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PUSH_H
#define COLLECTOR_PUSH_H

#include "push_config.h"
#include "push_queue.h"

/* A server that takes no byte and sends none for so long is given up, for this time. */
#define PUSH_SILENCE_S 10
#define PUSH_REST_MIN_MS 1000
#define PUSH_REST_MAX_MS 30000
/* While the last profiles wait for the server. */
#define PUSH_REST_FAREWELL_MS 500
#define PUSH_RETRY_AFTER_MAX_S 300
/* So often a profile may be refused as such. */
#define PUSH_REFUSALS_MAX 3

struct push;

/* NULL: not asked for, or it cannot (said why). */
struct push *push_open(const struct push_config *config);
void push_close(struct push *push);

/* All of these accept NULL, as one that nothing is given to. */

/* Copies a profile of the process `pid`, to be sent. */
void push_add(struct push *push, const struct push_profile *profile, uint32_t pid);

/* To be polled for POLLIN; -1: none. */
int push_fd(const struct push *push);

/* How long a poll may take, at most `limit_ms`. */
int push_patience_ms(const struct push *push, int64_t now_ms, int limit_ms);

/* Connects, sends, receives; takes no time worth mentioning. */
void push_run(struct push *push, int64_t now_ms);

/* Whether everything is sent. */
bool push_is_idle(const struct push *push);

/*
 * A program, or the last of them, waits for what is left to be sent.  True when there is
 * no more to wait for: all is sent, or time is up.  The time begins with the first call.
 */
bool push_is_done(struct push *push, int64_t now_ms);

/* Nothing more will come, and nobody waits for what is left. */
void push_give_up(struct push *push);

void push_count(const struct push *push, struct push_counts *out_counts);

#endif
