/* SPDX-License-Identifier: MIT */
/*
 * The chunk that a far read brings is kept for the walk: the next frames are a few
 * words up, and one system call costs as much as fifty cached frames.
 *
 * Context: any (async-signal-safe).
 */
#include "safe_read.h"

#include <sys/uio.h>

#include "cprof_atomic.h"
#include "sys.h"

/* The smallest page of any supported kernel. */
#define SAFE_READ_PAGE_BYTES 4096u

/* Written once, by the thread that enters a seccomp filter; read by every far read. */
static atomic_u32 calls_are_forbidden;

bool safe_read_may_call(void)
{
	return load_relaxed(&calls_are_forbidden) == 0; /* a flag of its own: orders nothing */
}

void safe_read_forbid_calls(void)
{
	store_relaxed(&calls_are_forbidden, 1); /* the caller's next system call is the seccomp call itself */
}

/* Returns the number of bytes that were readable from `address` on. */
static uint32_t copy_by_call(uint64_t address, void *out_bytes, uint32_t bytes)
{
	struct iovec local = {.iov_base = out_bytes, .iov_len = bytes};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = bytes};
	/* The process's id is asked for each time: a forked child has another one. */
	long copied = sys_call6(SYS_process_vm_readv, sys_call0(SYS_getpid), (long)&local, 1, (long)&remote,
				1, 0);
	return sys_is_error(copied) ? 0 : (uint32_t)copied;
}

static uint32_t copy_readable(uint64_t address, void *out_bytes, uint32_t bytes)
{
	return safe_read_may_call() ? copy_by_call(address, out_bytes, bytes) : 0;
}

bool safe_read_copy_by_call(uint64_t address, void *out_bytes, uint32_t bytes)
{
	return copy_by_call(address, out_bytes, bytes) == bytes;
}

bool safe_read_copy(uint64_t address, void *out_bytes, uint32_t bytes)
{
	return copy_readable(address, out_bytes, bytes) == bytes;
}

bool safe_read_far_word(struct safe_reader *reader, uint64_t address, uint64_t *out_word)
{
	if (!reader->chunk)
		return safe_read_copy(address, out_word, sizeof(*out_word));
	uint64_t at = address - reader->chunk_address; /* wraps to a huge number below the chunk */
	if (at >= reader->chunk_bytes || reader->chunk_bytes - at < sizeof(*out_word)) {
		/* Not into the next page, which may be unreadable: the kernel copies all or nothing. */
		uint32_t wanted = (uint32_t)(SAFE_READ_PAGE_BYTES - address % SAFE_READ_PAGE_BYTES);
		if (wanted > SAFE_READ_CHUNK_BYTES || wanted < sizeof(*out_word))
			wanted = SAFE_READ_CHUNK_BYTES;
		reader->chunk_bytes = copy_readable(address, reader->chunk, wanted);
		reader->chunk_address = address;
		at = 0;
		if (reader->chunk_bytes < sizeof(*out_word))
			return false;
	}
	memcpy(out_word, (const char *)reader->chunk + at, sizeof(*out_word));
	return true;
}
