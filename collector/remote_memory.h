/* SPDX-License-Identifier: MIT */
/*
 * The memory of another process, read without stopping it (process_vm_readv).
 *
 * Three kinds of it: the copy of a stack that was taken at one moment; objects that
 * were loaded from files, which do not change and are read by pages that are kept;
 * and everything else, read when it is asked for.
 *
 * A budget bounds how much may be asked for, so that call frame information that was
 * made to run in circles ends.
 *
 * Context: any process of the collector.
 */
#ifndef COLLECTOR_REMOTE_MEMORY_H
#define COLLECTOR_REMOTE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define REMOTE_PAGE_BYTES 4096u
#define REMOTE_PAGES 64u /* kept at a time; a power of two */

struct remote_memory {
	pid_t pid;
	uint32_t budget; /* reads that are left */
	uint64_t copy_start;
	size_t copy_bytes;
	unsigned char *copy; /* borrowed; NULL: none */
	/* Address + 1 of the page, 0: none. */
	uint64_t page_of[REMOTE_PAGES];
	unsigned char pages[REMOTE_PAGES][REMOTE_PAGE_BYTES];
};

/* A large object: not for the stack.  The budget is 0 at first. */
void remote_memory_init(struct remote_memory *memory, pid_t pid);

/* Copies at most `capacity` bytes from `address` on.  Their number, 0 if none can be read, or -errno. */
ssize_t remote_memory_copy(pid_t pid, uint64_t address, unsigned char *bytes, size_t capacity);

/* Copies exactly `size` bytes, at most 63 pages.  0, -EFAULT, -EPERM or -ESRCH. */
int remote_memory_copy_all(pid_t pid, uint64_t address, void *bytes, size_t size);

/* From now on reads within the copy are answered from it; NULL: there is none any more. */
void remote_memory_set_copy(struct remote_memory *memory, uint64_t start, unsigned char *bytes, size_t size);

/*
 * Reads exactly `size` bytes: from the copy, else (`is_constant`) by kept pages, else
 * directly.  0, -EFAULT, -EPERM, -ESRCH, or -ELOOP when the budget is used up.
 */
int remote_memory_read(struct remote_memory *memory, uint64_t address, void *bytes, size_t size,
		       bool is_constant);

#endif
