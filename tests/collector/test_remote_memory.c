/* SPDX-License-Identifier: MIT */
/*
 * Memory of "another" process: our own, through the same calls.
 *
 * Context: tests.
 */
#include "remote_memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE REMOTE_PAGE_BYTES

/* Three pages of which the last cannot be read. */
static unsigned char *make_pages(void)
{
	unsigned char *pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				    0);
	cr_assert_neq(pages, MAP_FAILED);
	for (size_t i = 0; i < 2 * PAGE; i++)
		pages[i] = (unsigned char)(i % 251);
	cr_assert_eq(mprotect(pages + 2 * PAGE, PAGE, PROT_NONE), 0);
	return pages;
}

static struct remote_memory *make_memory(uint32_t budget)
{
	struct remote_memory *memory = malloc(sizeof *memory);
	cr_assert(memory);
	remote_memory_init(memory, getpid());
	memory->budget = budget;
	return memory;
}

Test(remote_memory, copies_as_far_as_it_can)
{
	unsigned char *pages = make_pages();
	unsigned char bytes[3 * PAGE];
	cr_expect_eq(remote_memory_copy(getpid(), (uint64_t)(uintptr_t)pages + 100, bytes, sizeof bytes),
		     2 * PAGE - 100);
	cr_expect_eq(memcmp(bytes, pages + 100, 2 * PAGE - 100), 0);
	cr_expect_eq(remote_memory_copy(getpid(), (uint64_t)(uintptr_t)pages + 2 * PAGE, bytes, 8), 0);
	cr_expect_eq(remote_memory_copy(getpid(), UINT64_MAX - 3, bytes, 8), 0);
	cr_expect_eq(remote_memory_copy(INT32_MAX, (uint64_t)(uintptr_t)pages, bytes, 8), -ESRCH);
}

Test(remote_memory, reads_all_or_nothing)
{
	unsigned char *pages = make_pages();
	uint64_t base = (uint64_t)(uintptr_t)pages;
	struct remote_memory *memory = make_memory(100);
	unsigned char bytes[64];
	for (int is_constant = 0; is_constant < 2; is_constant++) {
		cr_expect_eq(remote_memory_read(memory, base + PAGE - 20, bytes, 64, is_constant), 0);
		cr_expect_eq(memcmp(bytes, pages + PAGE - 20, 64), 0);
		cr_expect_eq(remote_memory_read(memory, base + 2 * PAGE - 32, bytes, 64, is_constant),
			     -EFAULT);
		cr_expect_eq(remote_memory_read(memory, UINT64_MAX - 8, bytes, 64, is_constant), -EFAULT);
		cr_expect_eq(remote_memory_read(memory, 0, bytes, 8, is_constant), -EFAULT);
	}
	free(memory);
}

Test(remote_memory, keeps_constant_pages_only)
{
	unsigned char *pages = make_pages();
	uint64_t base = (uint64_t)(uintptr_t)pages;
	struct remote_memory *memory = make_memory(100);
	unsigned char before = pages[5];
	unsigned char byte = 0;
	cr_expect_eq(remote_memory_read(memory, base + 5, &byte, 1, true), 0);
	pages[5] = (unsigned char)~before;
	cr_expect_eq(remote_memory_read(memory, base + 5, &byte, 1, true), 0);
	cr_expect_eq(byte, before);
	cr_expect_eq(remote_memory_read(memory, base + 5, &byte, 1, false), 0);
	cr_expect_eq(byte, (unsigned char)~before);
	free(memory);
}

Test(remote_memory, answers_from_the_copy)
{
	unsigned char *pages = make_pages();
	uint64_t base = (uint64_t)(uintptr_t)pages;
	struct remote_memory *memory = make_memory(100);
	unsigned char copy[16] = "the copied bytes";
	unsigned char bytes[16];
	remote_memory_set_copy(memory, base + 32, copy, sizeof copy);
	cr_expect_eq(remote_memory_read(memory, base + 32, bytes, 16, false), 0);
	cr_expect_eq(memcmp(bytes, copy, 16), 0);
	/* What is not wholly in it is read as if there were none. */
	cr_expect_eq(remote_memory_read(memory, base + 40, bytes, 16, false), 0);
	cr_expect_eq(memcmp(bytes, pages + 40, 16), 0);
	remote_memory_set_copy(memory, 0, NULL, 0);
	cr_expect_eq(remote_memory_read(memory, base + 32, bytes, 16, false), 0);
	cr_expect_eq(memcmp(bytes, pages + 32, 16), 0);
	free(memory);
}

Test(remote_memory, stops_when_the_budget_is_used_up)
{
	unsigned char *pages = make_pages();
	struct remote_memory *memory = make_memory(2);
	unsigned char byte;
	cr_expect_eq(remote_memory_read(memory, (uint64_t)(uintptr_t)pages, &byte, 1, true), 0);
	cr_expect_eq(remote_memory_read(memory, (uint64_t)(uintptr_t)pages, &byte, 1, false), 0);
	cr_expect_eq(remote_memory_read(memory, (uint64_t)(uintptr_t)pages, &byte, 1, true), -ELOOP);
	free(memory);
}
