/* SPDX-License-Identifier: MIT */
/*
 * A spool that somebody has changed.  The input is where it ends, and patches on a sound one: offset
 * in three bytes, length, and the bytes.
 *
 * Context: test program.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_tracer.h"
#include "fuzz.h"
#include "image.h"
#include "log.h"
#include "recover.h"
#include "trace_stream.h"

#define SPOOL_BYTES_MAX 65536u

static char directory[] = "/tmp/cprof-fuzz-spool.XXXXXX";
static uint8_t sound[SPOOL_BYTES_MAX];
static size_t sound_size;

static void remove_directory(void)
{
	rmdir(directory);
}

/* What a thread of a program left: each kind of event, each with a stack. */
static void record(struct fake_segment *fake, uint64_t start_ns)
{
	struct fake_tracer thread = fake_tracer_begin(fake, 100);
	fake_module(fake, 0, "/proc/self/exe", 0x400000);
	for (uint32_t i = 0; i < 5 * CPROF_TRACE_CHUNK_EVENTS; i++) {
		fake_tracer_event(&thread, 1 + i % (CPROF_EVENT_COUNT - 1), start_ns + i, 1 + i % 7, i % 5);
		fake_chunk(fake, thread.chunk - 1)->events[i % CPROF_TRACE_CHUNK_EVENTS].stack =
			fake_leaf(fake, 0x1000 + 16 * (uint64_t)i % 64);
	}
	fake_tracer_end(&thread);
}

static void make_sound(void)
{
	static struct writer_dir dir;
	struct fake_segment fake;
	struct segment_reader reader;
	struct module_rows rows = {0};
	struct writer writer;
	struct trace_stream stream = {0};
	fuzz_demand(mkdtemp(directory) != NULL && writer_dir_open(&dir, directory) == 0);
	atexit(remove_directory);
	fake_segment_create(&fake, CPROF_SEGMENT_BYTES_MIN);
	fuzz_demand(segment_reader_open(fcntl(fake.fd, F_DUPFD_CLOEXEC, 3), &reader) == 0);
	writer_init(&writer, &reader, &rows, &dir, true);
	fake_tracer_on(&fake, 8, CPROF_TRACE_STREAM);
	trace_stream_tick(&stream, &writer);
	record(&fake, fake_control(&fake)->start_monotonic_ns);
	trace_stream_tick(&stream, &writer);
	ssize_t size = pread(stream.spool.fd, sound, sizeof sound, 0);
	fuzz_demand(size > (ssize_t)TRACE_SPOOL_HEAD_BYTES && (size_t)size < sizeof sound);
	sound_size = (size_t)size;
	unlinkat(dir.fd, stream.spool.name, 0);
	trace_spool_close(&stream.spool);
	trace_tables_free(&stream.tables);
	module_rows_free(&rows);
	segment_reader_close(&reader);
	fake_segment_destroy(&fake);
	close(dir.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[SPOOL_BYTES_MAX];
	char path[64];
	struct recovered recovered = {.pid = 0};
	if (!sound_size)
		make_sound();
	if (size < 2 || size > 4096)
		return 0;
	memcpy(bytes, sound, sound_size);
	/* Mostly whole. */
	size_t end = data[0] & 1 ? sound_size : (size_t)(data[0] << 8 | data[1]) % sound_size;
	for (data += 2, size -= 2; size > 4;) {
		size_t at = (size_t)(data[0] << 16 | data[1] << 8 | data[2]) % sound_size;
		size_t count = 1 + data[3] % 64;
		data += 4;
		size -= 4;
		if (count > size)
			count = size;
		if (count > sound_size - at)
			count = sound_size - at;
		memcpy(bytes + at, data, count);
		data += count;
		size -= count;
	}
	int fd = memfd_create("spool", MFD_CLOEXEC);
	fuzz_demand(fd >= 0 && write(fd, bytes, end) == (ssize_t)end);
	log_open(-1, LOG_LEVEL_ERROR);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (recover_file(path, directory, &recovered) == 0) {
		for (int format = 0; format < TRACE_FORMAT_COUNT; format++) {
			char file[400];
			snprintf(file, sizeof file, "%s/%s", directory, recovered.trace.names[format]);
			fuzz_demand(recovered.trace.names[format][0] && unlink(file) == 0);
		}
	}
	close(fd);
	image_close_all();
	return 0;
}
