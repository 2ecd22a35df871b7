/* SPDX-License-Identifier: MIT */
/*
 * What the pages of a spool hold, and all of them in memory.  A page that is no chunk has no claim, as no chunk
 * has that was copied, and says in the place of the slot what it is.
 *
 * Context: see trace_spool.h.
 */
#include "trace_spool.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "sigbus_guard.h"

#define PAGE CPROF_TRACE_CHUNK_BYTES
#define PAGE_OF_GAP 1u
#define PAGE_OF_TABLES 2u

static uint32_t kind_of(const struct cprof_trace_chunk *page)
{
	bool is_chunk = load_relaxed(&page->state) >> CPROF_CHUNK_CLAIM_SHIFT; /* a private copy */
	return is_chunk ? 0 : page->slot;
}

void trace_spool_put_gap(struct cprof_trace_chunk *page, const struct trace_gap *gap)
{
	memset(page, 0, sizeof *page);
	page->slot = PAGE_OF_GAP;
	page->events[0].time_ns = gap->from_ns;
	page->events[0].a = gap->until_ns;
	page->events[0].b = gap->events;
}

bool trace_spool_get_gap(const struct cprof_trace_chunk *page, struct trace_gap *out_gap)
{
	if (kind_of(page) != PAGE_OF_GAP)
		return false;
	*out_gap = (struct trace_gap){.from_ns = page->events[0].time_ns,
				      .until_ns = page->events[0].a,
				      .events = page->events[0].b};
	return true;
}

void trace_spool_put_tables(struct cprof_trace_chunk *page)
{
	memset(page, 0, sizeof *page);
	page->slot = PAGE_OF_TABLES;
}

size_t trace_spool_payload_size(const struct cprof_trace_chunk *page)
{
	return kind_of(page) == PAGE_OF_TABLES ? page->generation : 0;
}

void trace_spool_set_payload_size(struct cprof_trace_chunk *page, size_t size)
{
	page->generation = size;
}

/* ---- in memory --------------------------------------------------------------------------------- */

int trace_spool_map(const struct trace_spool *spool, uint32_t first_page, uint32_t extra,
		    struct trace_spool_map *out_map)
{
	uint32_t count = spool->page_count > first_page ? spool->page_count - first_page : 0;
	size_t in_file = (size_t)count * PAGE;
	size_t size = in_file + (size_t)extra * PAGE;
	struct trace_spool_map map = {.byte_count = size ? size : PAGE, .page_count = count};
	map.base = mmap(NULL, map.byte_count, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map.base == MAP_FAILED)
		return -errno;
	if (in_file &&
	    mmap(map.base, in_file, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
		 spool->fd, (off_t)trace_spool_offset(first_page)) == MAP_FAILED) {
		int error = -errno;
		munmap(map.base, map.byte_count);
		return error;
	}
	/* Somebody may cut the file short. */
	map.guard = sigbus_guard_add(map.base, map.byte_count);
	if (map.guard < 0) {
		munmap(map.base, map.byte_count);
		return map.guard;
	}
	map.pages = map.base;
	map.capacity = count + (size_t)extra;
	*out_map = map;
	return 0;
}

void trace_spool_unmap(struct trace_spool_map *map)
{
	sigbus_guard_remove(map->guard);
	munmap(map->base, map->byte_count);
	*map = (struct trace_spool_map){0};
}

int trace_spool_sum_gaps(const struct trace_spool *spool, uint64_t *out_count, uint64_t *out_events)
{
	struct trace_spool_map map = {0};
	struct trace_gap gap;
	uint64_t count = 0, events = 0;
	int error = trace_spool_map(spool, 0, 0, &map);
	if (error)
		return error;
	for (size_t i = 0; i < map.page_count; i++) {
		if (!trace_spool_get_gap(&map.pages[i], &gap))
			continue;
		count++;
		events += gap.events;
	}
	trace_spool_unmap(&map);
	*out_count = count;
	*out_events = events;
	return 0;
}
