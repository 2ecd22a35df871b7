/* SPDX-License-Identifier: MIT */
/*
 * A page counts once it is whole: what a collector left of one when it died is cut off,
 * and the chunk is still marked in the segment.  Marks are taken away after a batch was
 * written; so the last batch of a dead collector may be in the file and marked as well.
 *
 * A chunk that is put there while it is open has a page of its own from then on, which is written
 * over as it grows.  The next collector does not know that page: then the chunk is in
 * the file twice, and the one with more events is the chunk.
 *
 * The name is not a secret, and the file may be anybody's: it is ours if we own it, nobody
 * else may write to it, and it says it is of this very image.
 *
 * Context: see trace_spool.h.
 */
#include "trace_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE CPROF_TRACE_CHUNK_BYTES
#define SPOOL_MAGIC UINT64_C(0x334c4f4f50535043) /* "CPSPOOL3" in memory */
#define FILE_MODE 0600
#define NAMES_TRIED 100u

union head {
	struct {
		uint64_t magic;
		uint32_t version; /* CPROF_SHM_VERSION */
		uint32_t pid;
		uint64_t start_monotonic_ns; /* of the image */
		uint64_t segment_bytes;
		struct trace_spool_note note;
	} says;
	unsigned char bytes[TRACE_SPOOL_HEAD_BYTES];
};
_Static_assert(PAGE + sizeof(struct cprof_control) <= TRACE_SPOOL_HEAD_BYTES, "the control block has room");

/* ---- reading and writing ----------------------------------------------------------------------- */

static int write_at(int fd, const void *bytes, size_t size, uint64_t offset)
{
	const unsigned char *at = bytes;
	while (size) {
		ssize_t n = pwrite(fd, at, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static bool read_at(int fd, void *bytes, size_t size, uint64_t offset)
{
	return pread(fd, bytes, size, (off_t)offset) == (ssize_t)size;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static int write_head(const struct writer *writer, const struct trace_spool *spool)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	union head head = {.says = {.magic = SPOOL_MAGIC,
				    .version = CPROF_SHM_VERSION,
				    .pid = writer->pid,
				    .start_monotonic_ns = control->start_monotonic_ns,
				    .segment_bytes = writer->reader->geometry.segment_bytes,
				    .note = spool->note}};
	memcpy(head.bytes + PAGE, control, sizeof *control);
	return write_at(spool->fd, &head, sizeof head, 0);
}

/* Reads the head of a file, and where it stands.  0 or -errno. */
static int read_head(int fd, struct trace_spool *spool, union head *out_head)
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || !read_at(fd, out_head, sizeof *out_head, 0) ||
	    out_head->says.magic != SPOOL_MAGIC || (uint64_t)st.st_size / PAGE > UINT32_MAX)
		return -EINVAL;
	if (out_head->says.version != CPROF_SHM_VERSION)
		return -EPROTONOSUPPORT;
	spool->note = out_head->says.note;
	spool->segment_bytes = out_head->says.segment_bytes;
	spool->page_count = (uint32_t)(((uint64_t)st.st_size - TRACE_SPOOL_HEAD_BYTES) / PAGE);
	return 0;
}

/* Whether a file is this image's spool; then where it stands. */
static bool is_own(const struct writer *writer, int fd, struct trace_spool *spool)
{
	union head head = {.bytes = {0}};
	struct stat st;
	struct trace_spool found = *spool;
	if (fstat(fd, &st) || st.st_uid != geteuid() || st.st_nlink != 1 ||
	    (st.st_mode & 07777) != FILE_MODE || read_head(fd, &found, &head) ||
	    head.says.pid != writer->pid ||
	    head.says.start_monotonic_ns != segment_reader_control(writer->reader)->start_monotonic_ns)
		return false;
	*spool = found;
	return true;
}

static void read_taken(struct trace_spool *spool)
{
	uint32_t first = spool->page_count > TRACE_SPOOL_BATCH ? spool->page_count - TRACE_SPOOL_BATCH : 0;
	for (uint32_t page = first; page < spool->page_count; page++) {
		uint64_t state;
		if (read_at(spool->fd, &state, sizeof state, trace_spool_offset(page)) &&
		    !(state & CPROF_CHUNK_OPEN))
			spool->taken_claims[spool->taken_count++] = state >> CPROF_CHUNK_CLAIM_SHIFT;
	}
}

static void format_name(const struct writer *writer, unsigned attempt, char out_name[OUTPUT_NAME_MAX])
{
	char suffix[16] = "";
	if (attempt > 1)
		snprintf(suffix, sizeof suffix, "-%u", attempt);
	snprintf(out_name, OUTPUT_NAME_MAX, ".%s.%u%s.trace-spool", writer->name, writer->pid, suffix);
}

/* A named file, new or this image's own.  Descriptor or -errno. */
static int open_named(const struct writer *writer, struct trace_spool *spool, bool *out_is_new)
{
	for (unsigned attempt = 1; attempt <= NAMES_TRIED; attempt++) {
		format_name(writer, attempt, spool->name);
		int fd = openat(writer->dir->fd, spool->name,
				O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
		*out_is_new = fd >= 0;
		if (fd >= 0)
			return fchmod(fd, FILE_MODE) ? -errno : fd;
		if (errno != EEXIST)
			return -errno;
		fd = openat(writer->dir->fd, spool->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0 && is_own(writer, fd, spool))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -EEXIST;
}

static int open_nameless(const struct writer *writer)
{
	int fd = -1;
	if (writer->dir->fd >= 0)
		fd = openat(writer->dir->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, FILE_MODE);
	if (fd < 0)
		fd = memfd_create("cprof-trace", MFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int trace_spool_open(const struct writer *writer, const struct trace_spool_note *note, bool is_kept,
		     struct trace_spool *out_spool)
{
	struct trace_spool spool = {.is_open = true, .fd = -1, .note = *note};
	bool is_new = true;
	spool.pending = malloc(TRACE_SPOOL_BATCH * sizeof *spool.pending);
	if (!spool.pending)
		return -ENOMEM;
	if (is_kept && writer->dir->fd >= 0)
		spool.fd = open_named(writer, &spool, &is_new);
	if (spool.fd < 0) {
		spool.name[0] = '\0';
		spool.fd = open_nameless(writer);
	}
	int error = spool.fd < 0 ? spool.fd : 0;
	if (!error && is_new)
		error = write_head(writer, &spool);
	else if (!error)
		read_taken(&spool);
	if (error) {
		trace_spool_remove(writer, &spool);
		return error;
	}
	*out_spool = spool;
	return 0;
}

int trace_spool_open_part(const struct writer *writer, const char *name, struct trace_spool *out_spool)
{
	struct trace_spool spool = {.is_open = true};
	spool.fd = openat(writer->dir->fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (spool.fd < 0)
		return -errno;
	if (!is_own(writer, spool.fd, &spool)) {
		close(spool.fd);
		return -EPERM;
	}
	snprintf(spool.name, sizeof spool.name, "%s", name);
	*out_spool = spool;
	return 0;
}

bool trace_spool_is_one(int fd)
{
	uint64_t magic;
	return read_at(fd, &magic, sizeof magic, 0) && magic == SPOOL_MAGIC;
}

int trace_spool_read(int fd, struct trace_spool *out_spool, struct cprof_control *out_control)
{
	struct trace_spool spool = {.is_open = true, .fd = fd};
	union head head = {.bytes = {0}};
	int error = read_head(fd, &spool, &head);
	if (error)
		return error;
	memcpy(out_control, head.bytes + PAGE, sizeof *out_control);
	read_taken(&spool);
	*out_spool = spool;
	return 0;
}

bool trace_spool_has_taken(const struct trace_spool *spool, uint64_t state)
{
	for (uint32_t i = 0; i < spool->taken_count; i++)
		if (spool->taken_claims[i] == state >> CPROF_CHUNK_CLAIM_SHIFT)
			return true;
	return false;
}

/* ---- filling ----------------------------------------------------------------------------------- */

struct cprof_trace_chunk *trace_spool_room(struct trace_spool *spool)
{
	return spool->pending_count < TRACE_SPOOL_BATCH ? &spool->pending[spool->pending_count] : NULL;
}

void trace_spool_keep(struct trace_spool *spool)
{
	spool->pending_count++;
}

int trace_spool_append(struct trace_spool *spool, const struct cprof_trace_chunk *pages, uint32_t count)
{
	int error = write_at(spool->fd, pages, count * sizeof *pages, trace_spool_offset(spool->page_count));
	if (!error)
		spool->page_count += count;
	else if (ftruncate(spool->fd, (off_t)trace_spool_offset(spool->page_count)))
		error = -errno;
	return error;
}

void trace_spool_drop(struct trace_spool *spool)
{
	spool->pending_count = 0;
}

/* Writes those that have a page already, and leaves the others; their number. */
static int write_homes(struct trace_spool *spool, uint32_t *out_left)
{
	uint32_t left = 0;
	int error = 0;
	for (uint32_t i = 0; i < spool->pending_count && !error; i++) {
		const struct cprof_trace_chunk *chunk = &spool->pending[i];
		uint64_t claim = load_relaxed(&chunk->state) >> CPROF_CHUNK_CLAIM_SHIFT; /* a private copy */
		uint32_t page;
		if (claim && u64_map_find(&spool->homes, claim, &page))
			error = write_at(spool->fd, chunk, sizeof *chunk, trace_spool_offset(page));
		else if (left++ != i)
			spool->pending[left - 1] = *chunk;
	}
	*out_left = left;
	return error;
}

int trace_spool_flush(struct trace_spool *spool)
{
	uint32_t first = spool->page_count;
	uint32_t count = 0;
	int error = write_homes(spool, &count);
	if (!error && count)
		error = trace_spool_append(spool, spool->pending, count);
	for (uint32_t i = 0; i < count && !error; i++) {
		uint64_t state = load_relaxed(&spool->pending[i].state); /* as above */
		/* Without memory it gets another page when it is closed: who reads that takes the last. */
		if (state & CPROF_CHUNK_OPEN)
			(void)u64_map_put(&spool->homes, state >> CPROF_CHUNK_CLAIM_SHIFT, first + i);
	}
	trace_spool_drop(spool);
	return error;
}

void trace_spool_forget_homes(struct trace_spool *spool)
{
	u64_map_fini(&spool->homes);
}

int trace_spool_write_control(const struct trace_spool *spool, const struct cprof_control *control)
{
	return write_at(spool->fd, control, sizeof *control, PAGE);
}

int trace_spool_write_note(const struct trace_spool *spool)
{
	return write_at(spool->fd, &spool->note, sizeof spool->note, offsetof(union head, says.note));
}

void trace_spool_cut_to(struct trace_spool *spool, uint32_t page_count)
{
	trace_spool_forget_homes(spool);
	if (ftruncate(spool->fd, (off_t)trace_spool_offset(page_count)) == 0)
		spool->page_count = page_count;
}

void trace_spool_empty(struct trace_spool *spool)
{
	spool->note.is_given_up = 1;
	(void)trace_spool_write_note(spool); /* in place: it has its room */
	trace_spool_cut_to(spool, 0);
}

/* ---- closing ----------------------------------------------------------------------------------- */

void trace_spool_close(struct trace_spool *spool)
{
	if (spool->is_open && spool->fd >= 0)
		close(spool->fd);
	free(spool->pending);
	u64_map_fini(&spool->homes);
	*spool = (struct trace_spool){0};
}

void trace_spool_remove(const struct writer *writer, struct trace_spool *spool)
{
	if (spool->is_open && spool->name[0])
		unlinkat(writer->dir->fd, spool->name, 0);
	trace_spool_close(spool);
}
