/* SPDX-License-Identifier: MIT */
// cflags: -Icollector
/*
 * What it costs the collector to name addresses of an object with much debug
 * information: so many, evenly spread over its functions.  Prints
 *
 *     first_ms   the first address, which opens the object
 *     all_ms     all of them, the first included
 *     named      for how many a function was found, in percent
 *     rss_mb     the memory that took
 *
 *     symbolise FILE COUNT [LIST]     LIST: a file to which the addresses are written
 *
 * Context: benchmarks.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"

#include "clock.h"

static uint64_t text_start, text_bytes;

/* Finds .text in a 64-bit ELF file; the file is one of the system's own. */
static bool find_text(const char *path, struct stat *out_status)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, out_status))
		return false;
	const char *bytes = mmap(NULL, (size_t)out_status->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED)
		return false;
	const Elf64_Ehdr *header = (const void *)bytes;
	const Elf64_Shdr *sections = (const void *)(bytes + header->e_shoff);
	const char *names = bytes + sections[header->e_shstrndx].sh_offset;
	for (unsigned i = 0; i < header->e_shnum; i++)
		if (strcmp(names + sections[i].sh_name, ".text") == 0) {
			text_start = sections[i].sh_addr;
			text_bytes = sections[i].sh_size;
		}
	munmap((void *)(uintptr_t)bytes, (size_t)out_status->st_size);
	return text_bytes != 0;
}

int main(int argc, char **argv)
{
	struct image_line lines[IMAGE_LINES_MAX];
	struct rusage usage;
	struct stat status;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, named = 0;
	FILE *list = argc > 3 ? fopen(argv[3], "we") : NULL;
	if (!count || !find_text(argv[1], &status))
		return 2;
	struct image_source source = {
		.path = argv[1], .root_fd = -1, .device = status.st_dev, .inode = status.st_ino};
	uint64_t start_ns = bench_wall_ns();
	struct image *image = image_open(&source);
	if (!image)
		return 1;
	for (uint64_t i = 0; i < count; i++) {
		/* In an order that jumps about, as profiles do. */
		uint64_t address = text_start + text_bytes / count * (i * 7919 % count);
		if (list)
			fprintf(list, "0x%llx\n", (unsigned long long)address);
		named += image_symbolise(image, address, lines, IMAGE_LINES_MAX) > 0;
		if (i == 0)
			printf("first_ms %.2f\n", (double)(bench_wall_ns() - start_ns) / 1e6);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("all_ms %.2f\n", (double)(bench_wall_ns() - start_ns) / 1e6);
	printf("named %.2f\n", (double)named * 100 / (double)count);
	printf("rss_mb %.1f\n", (double)usage.ru_maxrss / 1024);
	if (list)
		fclose(list);
	image_close_all();
	return 0;
}
