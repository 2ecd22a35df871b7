/* SPDX-License-Identifier: MIT */
/*
 * Pages are kept by a direct-mapped cache: unwinding asks for a few pages of tables
 * over and over.
 *
 * Context: see remote_memory.h.
 */
#include "remote_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* Of one call: the kernel copies whole pieces only, so each piece is within a page. */
#define PIECES_MAX 64

void remote_memory_init(struct remote_memory *memory, pid_t pid)
{
	memory->pid = pid;
	memory->budget = 0;
	remote_memory_set_copy(memory, 0, NULL, 0);
	memset(memory->page_of, 0, sizeof memory->page_of);
}

ssize_t remote_memory_copy(pid_t pid, uint64_t address, unsigned char *bytes, size_t capacity)
{
	struct iovec local = {.iov_base = bytes, .iov_len = 0};
	struct iovec remote[PIECES_MAX];
	unsigned long count = 0;
	while (local.iov_len < capacity && count < PIECES_MAX) {
		uint64_t at = address + local.iov_len;
		size_t size = REMOTE_PAGE_BYTES - at % REMOTE_PAGE_BYTES;
		if (at < address)
			break; /* the end of all addresses */
		if (size > capacity - local.iov_len)
			size = capacity - local.iov_len;
		remote[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = size};
		local.iov_len += size;
	}
	ssize_t copied = process_vm_readv(pid, &local, 1, remote, count, 0);
	if (copied < 0 && errno == EFAULT)
		return 0;
	return copied < 0 ? -errno : copied;
}

int remote_memory_copy_all(pid_t pid, uint64_t address, void *bytes, size_t size)
{
	ssize_t copied = remote_memory_copy(pid, address, bytes, size);
	if (copied < 0)
		return (int)copied;
	return (size_t)copied == size ? 0 : -EFAULT;
}

void remote_memory_set_copy(struct remote_memory *memory, uint64_t start, unsigned char *bytes, size_t size)
{
	memory->copy_start = start;
	memory->copy = bytes;
	memory->copy_bytes = bytes ? size : 0;
}

/* The page at an address, or NULL with *out_error. */
static const unsigned char *kept_page(struct remote_memory *memory, uint64_t page, int *out_error)
{
	uint32_t slot = (uint32_t)(page / REMOTE_PAGE_BYTES) & (REMOTE_PAGES - 1);
	if (memory->page_of[slot] == page + 1)
		return memory->pages[slot];
	memory->page_of[slot] = 0;
	*out_error = remote_memory_copy_all(memory->pid, page, memory->pages[slot], REMOTE_PAGE_BYTES);
	if (*out_error)
		return NULL;
	memory->page_of[slot] = page + 1;
	return memory->pages[slot];
}

static int read_kept(struct remote_memory *memory, uint64_t address, unsigned char *bytes, size_t size)
{
	int error = 0;
	while (size) {
		uint64_t offset = address % REMOTE_PAGE_BYTES;
		size_t part = REMOTE_PAGE_BYTES - offset;
		const unsigned char *page = kept_page(memory, address - offset, &error);
		if (!page)
			return error;
		if (part > size)
			part = size;
		memcpy(bytes, page + offset, part);
		address += part;
		bytes += part;
		size -= part;
	}
	return 0;
}

int remote_memory_read(struct remote_memory *memory, uint64_t address, void *bytes, size_t size,
		       bool is_constant)
{
	if (memory->budget == 0)
		return -ELOOP;
	memory->budget--;
	if (address > UINT64_MAX - size)
		return -EFAULT;
	if (address >= memory->copy_start && address - memory->copy_start <= memory->copy_bytes &&
	    size <= memory->copy_bytes - (address - memory->copy_start)) {
		memcpy(bytes, memory->copy + (address - memory->copy_start), size);
		return 0;
	}
	if (is_constant)
		return read_kept(memory, address, bytes, size);
	return remote_memory_copy_all(memory->pid, address, bytes, size);
}
