/* SPDX-License-Identifier: MIT */
/* What waits to be sent: its order, its bound, and that what is dropped is counted. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "push_queue.h"

static struct push_queue queue;

static bool add(size_t size, const char *what)
{
	struct push_request request = {
		.url = strdup("u"), .content_type = strdup("c"), .body = malloc(1), .body_bytes = size};
	return push_queue_add(&queue, &request, what);
}

static void finish(void)
{
	push_queue_drop_all(&queue, PUSH_DROP_EXIT);
	cr_expect(eq(u64, queue.counts.queued, 0));
	cr_expect(eq(u64, queue.counts.queued_bytes, 0));
	cr_expect(queue.first == NULL && queue.last == NULL);
}

TestSuite(push_queue, .fini = finish);

Test(push_queue, gives_them_in_order)
{
	cr_expect(add(10, "a"));
	cr_expect(add(20, "b"));
	cr_expect(eq(u64, queue.counts.queued_bytes, 30));
	cr_expect(eq(str, queue.first->what, "a"));
	push_queue_sent(&queue);
	cr_expect(eq(str, queue.first->what, "b"));
	cr_expect(eq(u64, queue.counts.sent, 1));
	cr_expect(eq(u64, queue.counts.sent_bytes, 10));
	push_queue_drop(&queue, PUSH_DROP_REFUSED);
	cr_expect(eq(u64, queue.counts.dropped[PUSH_DROP_REFUSED], 1));
	cr_expect(add(5, "c"), "after it was empty");
	cr_expect(eq(str, queue.first->what, "c"));
}

Test(push_queue, drops_the_oldest_when_there_is_no_room)
{
	cr_expect(add(PUSH_QUEUE_BYTES_MAX / 2, "a"));
	cr_expect(add(PUSH_QUEUE_BYTES_MAX / 4, "b"));
	cr_expect(add(PUSH_QUEUE_BYTES_MAX / 4, "c"), "just fits");
	cr_expect(not(add(PUSH_QUEUE_BYTES_MAX / 4, "d")));
	cr_expect(eq(str, queue.first->what, "b"));
	cr_expect(eq(str, queue.last->what, "d"));
	cr_expect(eq(u64, queue.counts.queued, 3));
	cr_expect(eq(u64, queue.counts.dropped[PUSH_DROP_FULL], 1));
	cr_expect(not(add(PUSH_QUEUE_BYTES_MAX, "e")), "alone");
	cr_expect(eq(u64, queue.counts.queued, 1));
	cr_expect(eq(u64, queue.counts.dropped[PUSH_DROP_FULL], 4));
	cr_expect(eq(u64, queue.counts.queued_bytes, PUSH_QUEUE_BYTES_MAX));
}

Test(push_queue, keeps_what_is_being_sent)
{
	cr_expect(add(PUSH_QUEUE_BYTES_MAX / 2, "a"));
	cr_expect(add(PUSH_QUEUE_BYTES_MAX / 2, "b"));
	queue.is_first_busy = true;
	cr_expect(not(add(PUSH_QUEUE_BYTES_MAX / 2, "c")));
	cr_expect(eq(str, queue.first->what, "a"));
	cr_expect(eq(str, queue.first->next->what, "c"));
	cr_expect(queue.last == queue.first->next);
	cr_expect(eq(u64, queue.counts.dropped[PUSH_DROP_FULL], 1));
}

Test(push_queue, does_not_take_what_never_fits)
{
	cr_expect(add(1, "a"));
	cr_expect(not(add(PUSH_QUEUE_BYTES_MAX + 1, "huge")));
	cr_expect(eq(u64, queue.counts.dropped[PUSH_DROP_FULL], 1));
	cr_expect(eq(u64, queue.counts.queued, 1));
}
