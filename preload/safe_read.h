/* SPDX-License-Identifier: MIT */
/*
 * Reads of stack memory that cannot fault.  What lies in the thread's known stack is
 * read directly; anything else (fibers, alternate signal stacks, threads whose stack
 * is not known) is copied by process_vm_readv on the process itself, which fails
 * where a load would fault.  Once the program is in a seccomp filter a system call
 * may kill it, so then such a read just fails.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_SAFE_READ_H
#define PRELOAD_SAFE_READ_H

#include "cprof_compiler.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SAFE_READ_CHUNK_BYTES 256u

/* Lives for one walk, on its stack. */
struct safe_reader {
	uint64_t low; /* words at [low, last] are directly readable; low > last if there are none */
	uint64_t last;
	uint64_t *chunk; /* SAFE_READ_CHUNK_BYTES lent by the caller, or NULL: word by word */
	uint64_t chunk_address;
	uint32_t chunk_bytes; /* of it that are valid */
};

/* Copies `bytes` from `address` if all of it is readable. */
bool safe_read_copy(uint64_t address, void *out_bytes, uint32_t bytes);

/* The same where calls are forbidden, for who knows that getpid and process_vm_readv are not. */
bool safe_read_copy_by_call(uint64_t address, void *out_bytes, uint32_t bytes);

/* The word at an address that is not directly readable. */
bool safe_read_far_word(struct safe_reader *reader, uint64_t address, uint64_t *out_word);

/* Whether system calls are (still) allowed. */
bool safe_read_may_call(void);

/* From now on no system call is made for a read, nor by those who ask above. */
void safe_read_forbid_calls(void);

/* `low` and `high` as in struct unwind_bounds; chunk may be NULL. */
static inline void safe_reader_init(struct safe_reader *reader, uint64_t low, uint64_t high, uint64_t *chunk)
{
	bool is_known = high > low && high - low >= sizeof(uint64_t);
	reader->low = is_known ? low : 1;
	reader->last = is_known ? high - sizeof(uint64_t) : 0;
	reader->chunk = chunk;
	reader->chunk_address = 0;
	reader->chunk_bytes = 0;
}

/* The lender wants the chunk's memory back. */
static inline void safe_reader_drop_chunk(struct safe_reader *reader)
{
	reader->chunk = NULL;
	reader->chunk_bytes = 0;
}

static inline bool safe_read_is_near(const struct safe_reader *reader, uint64_t address)
{
	return address >= reader->low && address <= reader->last;
}

static inline bool safe_read_word(struct safe_reader *reader, uint64_t address, uint64_t *out_word)
{
	if (likely(safe_read_is_near(reader, address))) {
		memcpy(out_word, (const void *)(uintptr_t)address, sizeof(*out_word));
		return true;
	}
	return safe_read_far_word(reader, address, out_word);
}

#endif
