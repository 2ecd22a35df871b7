/* SPDX-License-Identifier: MIT */
/*
 * Lines of /proc/PID/maps, and the objects of a process: our own.
 *
 * Context: tests.
 */
#include "remote_objects.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static bool parse(const char *text, struct remote_mapping *out_mapping)
{
	const char *at = text;
	return remote_objects_parse_line(&at, text + strlen(text), out_mapping);
}

Test(remote_objects, parses_a_line)
{
	struct remote_mapping m;
	cr_assert(parse("7f00a000-7f00b000 r-xp 0001c000 fd:01 1234                       /usr/lib/a b.so\n",
			&m));
	cr_expect_eq(m.start, 0x7f00a000);
	cr_expect_eq(m.end, 0x7f00b000);
	cr_expect_eq(m.offset, 0x1c000);
	cr_expect_eq(m.device, makedev(0xfd, 1));
	cr_expect_eq(m.inode, 1234);
	cr_expect(m.is_executable);
	cr_expect_eq(m.path_bytes, strlen("/usr/lib/a b.so"));
	cr_expect_eq(memcmp(m.path, "/usr/lib/a b.so", m.path_bytes), 0);
	cr_assert(parse("1000-2000 rw-p 00000000 00:00 0 ", &m));
	cr_expect(!m.is_executable);
	cr_expect_eq(m.path_bytes, 0);
}

Test(remote_objects, refuses_lines_that_make_no_sense)
{
	static const char *const lines[] = {"",
					    "\n",
					    "1000",
					    "1000-",
					    "1000-2000",
					    "1000-2000 r-x",
					    "2000-1000 r-xp 0 0:0 0\n",
					    "1000-1000 r-xp 0 0:0 0\n",
					    "1000-2000 r-xp\n",
					    "1000-2000 r-xp x 0:0 0\n",
					    "1000-2000 r-xp 0 00 0\n",
					    "1000-2000 r-xp 0 0:0 \n",
					    "11112222333344445-2 r-xp 0 0:0 0\n"};
	struct remote_mapping m = {.inode = 9};
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		cr_expect(!parse(lines[i], &m), "%s", lines[i]);
	cr_expect_eq(m.inode, 9, "untouched");
}

Test(remote_objects, survives_random_lines)
{
	static const char alphabet[] = "0123456789abcdef-: rwxp/\n";
	unsigned seed = 1;
	for (int round = 0; round < 20000; round++) {
		size_t size = (size_t)rand_r(&seed) % 100;
		char *text = malloc(size + 1);
		struct remote_mapping m;
		for (size_t i = 0; i < size; i++)
			text[i + 1] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
		for (const char *at = text + 1; at < text + 1 + size;)
			(void)remote_objects_parse_line(&at, text + 1 + size, &m);
		free(text);
	}
}

static struct remote_objects read_own(struct remote_memory **out_memory)
{
	struct remote_objects objects;
	*out_memory = malloc(sizeof **out_memory);
	remote_memory_init(*out_memory, getpid());
	cr_assert_eq(remote_objects_read(*out_memory, &objects), 0);
	return objects;
}

Test(remote_objects, finds_the_program_its_libraries_and_the_vdso)
{
	struct remote_memory *memory;
	struct remote_objects objects = read_own(&memory);
	char own[PATH_MAX] = "";
	cr_assert_gt(readlink("/proc/self/exe", own, sizeof own - 1), 0);
	const struct remote_object *us = remote_objects_find(&objects, (uint64_t)(uintptr_t)&parse);
	const struct remote_object *libc = remote_objects_find(&objects, (uint64_t)(uintptr_t)&getpid);
	const struct remote_object *vdso = remote_objects_find(&objects, getauxval(AT_SYSINFO_EHDR));
	cr_assert(us && libc);
	cr_expect(us->is_main);
	cr_expect_str_eq(us->path, own);
	cr_expect(!libc->is_main);
	cr_expect(strstr(libc->path, "/libc.so.6") != NULL || getenv("LD_PRELOAD"));
	cr_expect_gt(libc->build_id_bytes, 0);
	cr_expect_gt(libc->table_bytes, 0);
	cr_expect(us->text_start <= (uint64_t)(uintptr_t)&parse &&
		  (uint64_t)(uintptr_t)&parse < us->text_end);
	if (getauxval(AT_SYSINFO_EHDR)) {
		cr_assert(vdso);
		cr_expect(vdso->is_vdso);
		cr_expect_gt(vdso->table_bytes, 0);
	}
	cr_expect(remote_objects_is_code(&objects, (uint64_t)(uintptr_t)&parse));
	cr_expect(!remote_objects_is_code(&objects, (uint64_t)(uintptr_t)&objects));
	cr_expect_null(remote_objects_find(&objects, (uint64_t)(uintptr_t)&objects));
	cr_expect_null(remote_objects_find(&objects, 0));
	cr_expect_null(remote_objects_find(&objects, UINT64_MAX));
	remote_objects_free(&objects);
	free(memory);
}

/* An ELF file that a program has mapped to look at it is not loaded. */
Test(remote_objects, does_not_take_data_for_an_object)
{
	struct remote_memory *memory;
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	void *data = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
	cr_assert_neq(data, MAP_FAILED);
	struct remote_objects objects = read_own(&memory);
	const struct remote_object *found = remote_objects_find(&objects, (uint64_t)(uintptr_t)data);
	cr_expect(!found || found->start != (uint64_t)(uintptr_t)data);
	remote_objects_free(&objects);
	free(memory);
}

/* Nor if another object's code is where its own would be. */
Test(remote_objects, does_not_take_anothers_code_for_its_own)
{
	struct remote_memory *memory;
	const Elf64_Phdr *headers = (const void *)getauxval(AT_PHDR);
	uint64_t first = 0, text = 0;
	for (unsigned long i = getauxval(AT_PHNUM); i-- > 0;)
		if (headers[i].p_type == PT_LOAD && headers[i].p_flags & PF_X)
			text = headers[i].p_vaddr & ~UINT64_C(4095);
		else if (headers[i].p_type == PT_LOAD && headers[i].p_offset == 0)
			first = headers[i].p_vaddr & ~UINT64_C(4095);
	cr_assert_gt(text, first);
	int own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int other = open("/bin/sh", O_RDONLY | O_CLOEXEC);
	char *place = mmap(NULL, text - first + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(place, MAP_FAILED);
	cr_assert_neq(mmap(place, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, own, 0), MAP_FAILED);
	cr_assert_neq(
		mmap(place + (text - first), 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, other, 0),
		MAP_FAILED);
	struct remote_objects objects = read_own(&memory);
	const struct remote_object *found = remote_objects_find(&objects, (uint64_t)(uintptr_t)place);
	cr_expect(!found || found->start != (uint64_t)(uintptr_t)place);
	remote_objects_free(&objects);
	free(memory);
}

Test(remote_objects, says_that_a_process_is_gone)
{
	struct remote_memory *memory = malloc(sizeof *memory);
	struct remote_objects objects;
	remote_memory_init(memory, INT32_MAX);
	cr_expect_eq(remote_objects_read(memory, &objects), -ESRCH);
	free(memory);
}
