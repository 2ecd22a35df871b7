/* SPDX-License-Identifier: MIT */
/*
 * The numbers of the items are sorted; then each item is moved once, along the cycles in
 * which they change places.
 *
 * Context: collector; see lean_sort.h.
 */
#include "lean_sort.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct order {
	const unsigned char *items;
	size_t item_bytes;
	int (*compare)(const void *, const void *);
};

static int by_item(const void *left, const void *right, void *argument)
{
	const struct order *order = argument;
	return order->compare(order->items + *(const uint32_t *)left * order->item_bytes,
			      order->items + *(const uint32_t *)right * order->item_bytes);
}

/* `from[i]`: which item is to be at i. */
static void move_all(unsigned char *items, size_t count, size_t item_bytes, uint32_t *from)
{
	unsigned char first[LEAN_SORT_ITEM_BYTES_MAX];
	for (uint32_t i = 0; i < count; i++) {
		uint32_t to = i;
		if (from[i] == i)
			continue;
		memcpy(first, items + i * item_bytes, item_bytes);
		while (from[to] != i) {
			uint32_t next = from[to];
			memcpy(items + to * item_bytes, items + next * item_bytes, item_bytes);
			from[to] = to;
			to = next;
		}
		memcpy(items + to * item_bytes, first, item_bytes);
		from[to] = to;
	}
}

int lean_sort(void *items, size_t count, size_t item_bytes, int (*compare)(const void *, const void *))
{
	struct order order = {items, item_bytes, compare};
	assert(item_bytes <= LEAN_SORT_ITEM_BYTES_MAX && "an item fits on the stack");
	if (count > UINT32_MAX)
		return -ENOMEM;
	uint32_t *from = malloc((count + 1) * sizeof *from);
	if (!from)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		from[i] = i;
	qsort_r(from, count, sizeof *from, by_item, &order);
	move_all(items, count, item_bytes, from);
	free(from);
	return 0;
}
