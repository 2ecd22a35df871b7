/* SPDX-License-Identifier: MIT */
/*
 * A segment that its program has written nonsense into.  The input is a list of patches on a
 * sound one: where, how long, and the bytes.  All that a collector does with a segment is done,
 * in turns with the patches, since a program writes while it is read.
 *
 * Context: test program.
 */
#include <fcntl.h>
#include <unistd.h>

#include "fake_segment.h"
#include "fuzz.h"
#include "ring_consumer.h"
#include "segment_reader.h"
#include "trace_flight.h"
#include "writer.h"

static void fill(struct fake_segment *fake)
{
	fake_module(fake, 0, "/proc/self/exe", 0x400000);
	fake_module(fake, 1, "/lib/x86_64-linux-gnu/libz.so.1", 0x7f0000000000);
	uint32_t thread = fake_thread_start(fake);
	uint32_t ended = fake_thread_start(fake);
	for (uint64_t i = 1; i < 40; i++) {
		uint32_t stack = fake_leaf(fake, 0x1000 * i);
		fake_record(fake, thread, stack, 1 + i % (CPROF_KIND_COUNT - 1), CPROF_WEIGHT_ONE, 100 * i);
		fake_record(fake, ended, stack, CPROF_KIND_ALLOC, 3 * CPROF_WEIGHT_ONE, 64 * i);
		fake_total_add(fake, cprof_total_key(stack, CPROF_KIND_ALLOC, 0), CPROF_WEIGHT_ONE, i);
		fake_live_add(fake, 0x5000 + 64 * i, stack, CPROF_WEIGHT_ONE, 64 * i);
	}
	(void)fake_labels(fake, 0, "key", "value");
	fake_thread_end(fake, ended);
}

/* Where patches hit something: tables are mostly empty. */
static uint64_t area_of(const struct cprof_geometry *g, uint8_t which)
{
	const uint64_t areas[] = {g->control_offset, g->control_offset + 4096, g->journal_offset,
				  g->modules_offset, g->strings_offset,        g->stack_index_offset,
				  g->frames_offset,  g->totals_offset,         g->live_offset,
				  g->threads_offset, g->threads_offset + 8192, 0};
	return areas[which % (sizeof areas / sizeof *areas)];
}

/* The next patch: which area, offset in 16 bits, length, bytes. */
static bool patch(struct fake_segment *fake, const uint8_t **data, size_t *size)
{
	if (*size < 5)
		return false;
	uint64_t at = area_of(&fake->geometry, (*data)[0]) + (uint64_t)(*data)[1] * 256 + (*data)[2];
	if ((*data)[0] & 0x80)
		at = ((uint64_t)(*data)[1] << 16 | (uint64_t)(*data)[2] << 8) % fake->geometry.segment_bytes;
	size_t bytes = 1 + (*data)[3] % 64;
	*data += 4;
	*size -= 4;
	if (bytes > *size)
		bytes = *size;
	if (at + bytes <= fake->geometry.segment_bytes)
		memcpy(fake->base + at, *data, bytes);
	*data += bytes;
	*size -= bytes;
	return true;
}

static void encode_all(struct writer *writer, const struct writer_moment *moment)
{
	struct aggregate aggregate;
	if (writer_take(writer, moment, &aggregate))
		return;
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		unsigned char *bytes = NULL;
		size_t size = 0;
		if (kind != PROFILE_THREADS && writer_has_kind(writer, &aggregate, kind) &&
		    writer_encode(writer, &aggregate, kind, moment, &bytes, &size) == 0)
			fuzz_demand(bytes && size > 0);
		free(bytes);
	}
	aggregate_free(&aggregate);
	for (int format = 0; format < TRACE_FORMAT_COUNT; format++) {
		void *bytes = NULL;
		size_t size = 0;
		if (trace_flight_encode(writer, moment, 0, format, &bytes, &size) == 0)
			free(bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct writer_dir dir = {.fd = -1};
	static struct writer writer;
	struct fake_segment fake;
	struct segment_reader reader;
	struct module_rows rows = {0};
	struct ring_drained drained;
	if (size > 4096)
		return 0;
	fake_segment_create(&fake, CPROF_SEGMENT_BYTES_MIN);
	fill(&fake);
	for (size_t half = size / 2; size > half && patch(&fake, &data, &size);)
		;
	if (segment_reader_open(fcntl(fake.fd, F_DUPFD_CLOEXEC, 3), &reader) == 0) {
		struct writer_moment moment = {.owner = RING_OWNER_RUNNING, .root_fd = -1};
		(void)ring_consumer_replay(&reader);
		writer_init(&writer, &reader, &rows, &dir, true);
		ring_consumer_drain(&reader, RING_OWNER_RUNNING, &drained);
		encode_all(&writer, &moment);
		while (patch(&fake, &data, &size))
			ring_consumer_drain(&reader, RING_OWNER_RUNNING, &drained);
		moment.owner = RING_OWNER_DEAD;
		encode_all(&writer, &moment);
		module_rows_free(&rows);
		segment_reader_close(&reader);
	}
	fake_segment_destroy(&fake);
	return 0;
}
