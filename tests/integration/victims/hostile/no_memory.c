/* SPDX-License-Identifier: MIT */
/*
 * Memory that is refused: sizes that cannot be, and an address space that is used up.
 *
 * Context: test program.
 */
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "hostile.h"

static const char *pointer_outcome(void *block)
{
	const char *text = block ? "a block" : strerrorname_np(errno);
	free(block);
	errno = 0;
	return text;
}

static size_t mapped_bytes(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (!file || fscanf(file, "%zu", &pages) != 1)
		exit(CANNOT_RUN);
	fclose(file);
	return pages * 4096;
}

int main(void)
{
	volatile size_t huge = SIZE_MAX - 4096, half = (size_t)PTRDIFF_MAX + 1, big = (size_t)1 << 62;
	void *block = (void *)1;
	say("malloc %s %s\n", pointer_outcome(malloc(huge)), pointer_outcome(malloc(half)));
	say("calloc %s\n", pointer_outcome(calloc(big, 8)));
	say("realloc %s\n", pointer_outcome(realloc(NULL, huge)));
	say("reallocarray %s\n", pointer_outcome(reallocarray(NULL, big, 8)));
	say("posix_memalign %d %d, untouched %d\n", posix_memalign(&block, 3, 100), posix_memalign(&block, 64, huge), block == (void *)1);
	say("memalign %s\n", pointer_outcome(memalign(4096, huge)));
	say("aligned_alloc %s\n", pointer_outcome(aligned_alloc(64, half)));
	say("valloc %s pvalloc %s\n", pointer_outcome(valloc(huge)), pointer_outcome(pvalloc(huge)));
	char *kept = (char *)malloc(100);
	strcpy(kept, "kept");
	say("realloc that fails: %s, the block is as it was: %s\n", pointer_outcome(realloc(kept, huge)), kept);
	free(kept);
	say("malloc(0) %d\n", (block = malloc(0)) != NULL);
	free(block);

	const struct rlimit limit = {mapped_bytes() + (64 << 20), RLIM_INFINITY};
	setrlimit(RLIMIT_AS, &limit);
	int got = 0;
	void *blocks[200];
	while (got < 200 && (blocks[got] = malloc(1 << 20)))
		got++;
	say("blocks until memory is out, right within three: %d, %s\n", got >= 60 && got <= 64, strerrorname_np(errno));
	int refused = 0;
	for (int i = 0; i < 1000; i++) {
		void *more = malloc(2 << 20);
		refused += !more && errno == ENOMEM;
		free(more);
	}
	say("refused %d\n", refused);
	for (int i = 0; i < got; i++)
		free(blocks[i]);
	say("malloc again %s\n", pointer_outcome(malloc(1 << 20)));
	say("mmap %s\n", outcome((long)mmap(NULL, (size_t)1 << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)));
	hostile_works();
	return 0;
}
