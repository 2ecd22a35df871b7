/* SPDX-License-Identifier: MIT */
/*
 * An object file that a program has loaded: symbols, DWARF, .gnu_debugdata, the PLT.  It is
 * opened as it would be, by path, device and inode, and asked for addresses all over.
 *
 * Context: test program.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "image.h"

#define ADDRESSES 64

/*
 * elfutils (0.188) loses the path it made of a hostile .gnu_debuglink, in dwfl_standard_find_debuginfo(); that is
 * built without frame pointers, so its own name is not in the report.  Nothing of ours that this fuzzer reaches calls
 * vasprintf().
 */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:vasprintf\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_line lines[IMAGE_LINES_MAX];
	struct stat st;
	char path[64];
	int fd = memfd_create("fuzz-elf", MFD_CLOEXEC);
	fuzz_demand(fd >= 0 && write(fd, data, size) == (ssize_t)size && fstat(fd, &st) == 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	const struct image_source source = {
		.path = path, .root_fd = -1, .device = st.st_dev, .inode = st.st_ino};
	struct image *image = image_open(&source);
	for (uint64_t i = 0; image && i < ADDRESSES; i++) {
		uint64_t address = i < ADDRESSES / 2 ? 0x1000 + i * 8 : size * i / ADDRESSES * 2;
		size_t count = image_symbolise(image, address, lines, IMAGE_LINES_MAX);
		fuzz_demand(count <= IMAGE_LINES_MAX);
		for (size_t l = 0; l < count; l++)
			fuzz_demand(lines[l].name && lines[l].system_name);
		(void)image_symbol_start(image, address);
	}
	if (image)
		(void)image_has_lines(image);
	image_close_all();
	close(fd);
	return 0;
}
