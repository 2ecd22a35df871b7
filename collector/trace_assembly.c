/* SPDX-License-Identifier: MIT */
/*
 * Chunks that are open, or were closed a moment ago, are copied behind those of the spool
 * in memory only: they will come to the spool when they are whole.  Their beginnings may be
 * there already.
 *
 * Context: see trace_assembly.h.
 */
#include "trace_assembly.h"

#include <errno.h>
#include <stdlib.h>

#include "trace_reader.h"

uint64_t trace_assembly_lost(const struct writer *writer)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	return load_relaxed(&control->counters[CPROF_LOST_TRACE_EVENTS]); /* orders nothing */
}

/* Adds the chunks that are not in the spool yet.  What there is, in one number. */
static uint64_t add_open(const struct trace_spool *spool, const struct writer *writer,
			 struct trace_spool_map *map)
{
	uint64_t mark = cprof_mix64(map->page_count + 1);
	uint32_t end = trace_reader_chunk_count(writer->reader);
	uint32_t first, stop;
	for (uint32_t at = 0; trace_reader_next_run(writer->reader, at, end, &first, &stop); at = stop) {
		for (uint32_t i = first; i < stop && map->page_count < map->capacity; i++) {
			struct cprof_trace_chunk *chunk = trace_reader_chunk(writer->reader, i);
			struct cprof_trace_chunk *copy = &map->pages[map->page_count];
			/* Relaxed: it is loaded again, with order, to be copied. */
			uint64_t state = load_relaxed(&chunk->state);
			bool is_open = state & CPROF_CHUNK_OPEN;
			if (!is_open &&
			    (!(state & CPROF_CHUNK_UNREAD) || trace_spool_has_taken(spool, state)))
				continue;
			if (!trace_reader_copy_chunk(chunk, copy))
				continue;
			mark = cprof_mix64(mark ^ load_relaxed(&copy->state)); /* a private copy */
			mark = cprof_mix64(mark ^ load_relaxed(&copy->used));
			map->page_count++;
		}
	}
	return mark;
}

/*
 * A chunk that was copied open may be there again, longer: the shorter one is emptied.  Without
 * memory for that, -ENOMEM.
 */
static int drop_beginnings(struct trace_spool_map *map)
{
	struct u64_map pages = {0};
	int error = 0;
	for (uint32_t i = 0; i < map->page_count && !error; i++) {
		/* Relaxed: private copies. */
		uint64_t claim = load_relaxed(&map->pages[i].state) >> CPROF_CHUNK_CLAIM_SHIFT;
		uint32_t earlier;
		if (claim == 0)
			continue;
		if (!u64_map_find(&pages, claim, &earlier)) {
			error = u64_map_put(&pages, claim, i);
		} else if (load_relaxed(&map->pages[earlier].used) > load_relaxed(&map->pages[i].used)) {
			store_relaxed(&map->pages[i].used, UINT32_C(0));
		} else {
			store_relaxed(&map->pages[earlier].used, UINT32_C(0));
			error = u64_map_put(&pages, claim, i);
		}
	}
	u64_map_fini(&pages);
	return error;
}

/* When the last is that it tells. */
static uint64_t last_of(const struct trace_spool_map *map)
{
	const struct trace_reading reading = {map->pages, map->page_count};
	uint64_t last_ns = trace_reading_last_event(&reading, UINT64_MAX);
	struct trace_gap gap;
	for (size_t i = 0; i < map->page_count; i++)
		if (trace_spool_get_gap(&map->pages[i], &gap) && gap.until_ns > last_ns)
			last_ns = gap.until_ns;
	return last_ns;
}

/* Those in the spool, one that goes on, and what was cut off. */
static int list_gaps(const struct trace_spool *spool, const struct writer *writer, uint64_t lost,
		     struct trace_assembly *assembly)
{
	const struct trace_spool_map *map = &assembly->map;
	/* Relaxed: orders nothing here. */
	uint64_t since_ns = load_relaxed(&segment_reader_control(writer->reader)->trace_gap_since_ns);
	if (spool->note.until_ns)
		since_ns = 0;
	if (assembly->input.until_ns < since_ns)
		assembly->input.until_ns = since_ns;
	uint64_t until_ns = assembly->input.until_ns;
	struct trace_gap gap;
	size_t count = 0;
	for (size_t i = 0; i < map->page_count; i++)
		count += trace_spool_get_gap(&map->pages[i], &gap);
	assembly->gaps = calloc(count + 2, sizeof *assembly->gaps);
	if (!assembly->gaps)
		return -ENOMEM;
	count = 0;
	for (size_t i = 0; i < map->page_count; i++)
		count += trace_spool_get_gap(&map->pages[i], &assembly->gaps[count]);
	if (since_ns)
		assembly->gaps[count++] = (struct trace_gap){since_ns, until_ns,
							     trace_assembly_lost(writer) - lost};
	if (spool->note.cut_ns)
		assembly->gaps[count++] = (struct trace_gap){spool->note.cut_ns, until_ns, 0};
	assembly->input.gaps = assembly->gaps;
	assembly->input.gap_count = count;
	return 0;
}

int trace_assembly_make(const struct trace_spool *spool, uint32_t first_page, uint64_t lost,
			struct writer *writer, const struct writer_moment *moment, pid_t visible_pid,
			struct trace_assembly *out_assembly)
{
	struct trace_assembly assembly = {.gaps = NULL};
	int error = trace_spool_map(spool, first_page, trace_reader_chunk_count(writer->reader),
				    &assembly.map);
	if (error)
		return error;
	/* One that is closed has all that it is about. */
	if (!spool->note.until_ns)
		assembly.mark = add_open(spool, writer, &assembly.map);
	error = drop_beginnings(&assembly.map);
	if (!error)
		error = trace_file_surround(writer, moment, visible_pid, &assembly.surroundings,
					    &assembly.input);
	assembly.input.until_ns = spool->note.until_ns ? spool->note.until_ns : moment->end_monotonic_ns;
	if (!error && !spool->note.until_ns && !moment->end_monotonic_ns)
		assembly.input.until_ns = last_of(&assembly.map);
	if (!error)
		error = list_gaps(spool, writer, lost, &assembly);
	if (error) {
		trace_assembly_free(&assembly);
		return error;
	}
	assembly.input.chunks = assembly.map.pages;
	assembly.input.chunk_count = assembly.map.page_count;
	*out_assembly = assembly;
	return 0;
}

void trace_assembly_free(struct trace_assembly *assembly)
{
	trace_surroundings_free(&assembly->surroundings);
	free(assembly->gaps);
	trace_spool_unmap(&assembly->map);
	*assembly = (struct trace_assembly){0};
}
