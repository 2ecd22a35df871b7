/* SPDX-License-Identifier: MIT */
/*
 * Context: collector, main thread; see push_queue.h.
 */
#include "push_queue.h"

#include <stdio.h>
#include <stdlib.h>

static size_t size_of(const struct push_request *request)
{
	return request->body_bytes;
}

static void take_out(struct push_queue *queue, struct push_job *before, struct push_job *job)
{
	if (before)
		before->next = job->next;
	else
		queue->first = job->next;
	if (queue->last == job)
		queue->last = before;
	queue->counts.queued--;
	queue->counts.queued_bytes -= size_of(&job->request);
	push_request_fini(&job->request);
	free(job);
}

/* Drops the oldest that is not being sent. */
static bool drop_oldest(struct push_queue *queue)
{
	struct push_job *before = queue->is_first_busy ? queue->first : NULL;
	struct push_job *oldest = before ? before->next : queue->first;
	if (!oldest)
		return false;
	take_out(queue, before, oldest);
	queue->counts.dropped[PUSH_DROP_FULL]++;
	return true;
}

bool push_queue_add(struct push_queue *queue, struct push_request *request, const char *what)
{
	size_t size = size_of(request);
	struct push_job *job = size <= PUSH_QUEUE_BYTES_MAX ? calloc(1, sizeof *job) : NULL;
	bool has_room = true;
	if (!job) {
		push_request_fini(request);
		queue->counts.dropped[PUSH_DROP_FULL]++;
		return false;
	}
	while (queue->counts.queued_bytes + size > PUSH_QUEUE_BYTES_MAX && drop_oldest(queue))
		has_room = false;
	job->request = *request;
	snprintf(job->what, sizeof job->what, "%s", what);
	if (queue->last)
		queue->last->next = job;
	else
		queue->first = job;
	queue->last = job;
	queue->counts.queued++;
	queue->counts.queued_bytes += size;
	return has_room;
}

void push_queue_sent(struct push_queue *queue)
{
	queue->counts.sent++;
	queue->counts.sent_bytes += size_of(&queue->first->request);
	take_out(queue, NULL, queue->first);
	queue->is_first_busy = false;
}

void push_queue_drop(struct push_queue *queue, enum push_drop why)
{
	queue->counts.dropped[why]++;
	take_out(queue, NULL, queue->first);
	queue->is_first_busy = false;
}

void push_queue_drop_all(struct push_queue *queue, enum push_drop why)
{
	while (queue->first)
		push_queue_drop(queue, why);
}
