/* SPDX-License-Identifier: MIT */
// ldflags: -lz
/*
 * Module rows: what they say against /proc/self/maps and the file, that an object keeps
 * its row, that unloading is noticed, and that neither loops of dlopen nor a full table do harm.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modules.h"
#include "objects.h"
#include "own_segment.h"
#include "safe_read.h"

/* Small libraries that nothing else here has loaded. */
#define LIBRARY "libbz2.so.1.0"
#define OTHER_LIBRARY "liblzma.so.5"
#define LIBRARY_SYMBOL "BZ2_bzlibVersion"

static void set_up(void)
{
	own_segment_open(UINT64_C(16) << 20);
	modules_init();
	modules_forget();
}

TestSuite(modules, .init = set_up);

static struct module_ref look_up(const void *pc)
{
	struct module_ref ref;
	cr_assert(modules_lookup((uint64_t)(uintptr_t)pc, &ref));
	return ref;
}

static const struct cprof_module *row_of(const void *pc)
{
	return segment_module(look_up(pc).row);
}

static const char *path_of(const struct cprof_module *module)
{
	static char path[4096];
	memcpy(path, segment_strings() + module->path_offset, module->path_bytes);
	path[module->path_bytes] = '\0';
	return path;
}

static void *load(const char *name)
{
	void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	cr_assert(handle, "%s", dlerror());
	return handle;
}

/* The first executable line of /proc/self/maps at or around pc must say what the row says. */
static void expect_as_in_maps(const void *pc)
{
	const struct cprof_module *module = row_of(pc);
	char line[4352], path[4096];
	unsigned long start, end, offset, inode;
	bool is_found = false;
	FILE *maps = fopen("/proc/self/maps", "re");
	while (fgets(line, sizeof line, maps)) {
		path[0] = '\0';
		if (sscanf(line, "%lx-%lx r-xp %lx %*s %lu %4095s", &start, &end, &offset, &inode, path) <
			    4 ||
		    (uint64_t)(uintptr_t)pc < start || (uint64_t)(uintptr_t)pc >= end)
			continue;
		is_found = true;
		cr_assert_eq(module->text_start, start);
		cr_assert_eq(module->text_end, end);
		cr_assert_eq(module->text_offset, offset);
		cr_assert_eq(module->inode, inode);
		cr_assert_str_eq(path_of(module), path);
	}
	fclose(maps);
	cr_assert(is_found);
	struct stat status;
	if (module->inode) {
		cr_assert_eq(stat(path_of(module), &status), 0);
		cr_assert_eq(module->device, status.st_dev);
	}
}

static int look_at_object(void);

Test(modules, rows_say_what_the_kernel_says)
{
	expect_as_in_maps((const void *)(uintptr_t)look_at_object);
	expect_as_in_maps(dlsym(RTLD_DEFAULT, "qsort"));
	expect_as_in_maps(dlsym(load(LIBRARY), LIBRARY_SYMBOL));
	expect_as_in_maps((const void *)(getauxval(AT_BASE) + 0x2000));
}

static int compare_build_id(struct dl_phdr_info *info, size_t size, void *argument)
{
	const struct cprof_module *module = argument;
	(void)size;
	if (info->dlpi_addr != module->bias)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		if (header->p_type != PT_NOTE)
			continue;
		const uint32_t *note = (const uint32_t *)(info->dlpi_addr + header->p_vaddr);
		for (uint64_t at = 0; at + 16 <= header->p_memsz;
		     at += 12 + note[0] + ((note[1] + 3) & ~3u)) {
			note = (const uint32_t *)(info->dlpi_addr + header->p_vaddr + at);
			if (note[2] == NT_GNU_BUILD_ID && note[1] == module->build_id_bytes)
				return memcmp(note + 4, module->build_id, note[1]) == 0;
		}
	}
	return 0;
}

Test(modules, build_id_is_that_of_the_object)
{
	const struct cprof_module *module = row_of(dlsym(RTLD_DEFAULT, "qsort"));
	cr_assert_eq(module->build_id_bytes, 20);
	cr_assert_eq(dl_iterate_phdr(compare_build_id, (void *)(uintptr_t)module), 1);
}

static int look_at_object(void)
{
	return 0;
}

Test(modules, executable_and_vdso_are_marked)
{
	char path[4096] = "";
	const struct cprof_module *module = row_of((const void *)(uintptr_t)look_at_object);
	cr_assert_eq(module->flags, CPROF_MODULE_IS_MAIN);
	cr_assert_gt(readlink("/proc/self/exe", path, sizeof path - 1), 0);
	cr_assert_str_eq(path_of(module), path);
	module = row_of((const void *)(getauxval(AT_SYSINFO_EHDR) + 0x600));
	cr_assert_eq(module->flags, CPROF_MODULE_IS_VDSO);
	cr_assert_eq(module->inode, 0);
	cr_assert_str_eq(path_of(module), "[vdso]");
	cr_assert_gt(module->build_id_bytes, 0);
}

Test(modules, an_object_keeps_its_row)
{
	const char *start = dlsym(RTLD_DEFAULT, "qsort");
	uint32_t row = look_up(start).row;
	cr_assert_eq(look_up(start + 100).row, row);
	cr_assert_neq(look_up((const void *)(uintptr_t)look_at_object).row, row);
	cr_assert_eq(look_up(start).row, row);
	cr_assert_eq(load_relaxed(&segment_control()->modules_used), 2);
	cr_assert_eq(load_relaxed(&segment_module(row)->state), CPROF_MODULE_LOADED);
	cr_assert_eq((uint64_t)(uintptr_t)start + modules_frame_base[row],
		     cprof_frame(row, (uint64_t)(uintptr_t)start - segment_module(row)->bias));
}

Test(modules, memory_that_is_no_object_has_no_module)
{
	struct module_ref ref;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_not(modules_lookup((uint64_t)(uintptr_t)page, &ref));
	cr_assert_not(modules_lookup(0, &ref));
	cr_assert_not(modules_lookup(UINT64_MAX, &ref));
	cr_assert_not(modules_lookup((uint64_t)(uintptr_t)&ref, &ref));
}

Test(modules, unloading_marks_the_row_and_starts_a_generation)
{
	void *handle = load(LIBRARY);
	uint32_t row = look_up(dlsym(handle, LIBRARY_SYMBOL)).row;
	uint32_t generation = load_relaxed(&modules_generation);
	modules_after_dlclose(); /* of something else */
	cr_assert_eq(load_relaxed(&segment_module(row)->state), CPROF_MODULE_LOADED);
	cr_assert_eq(load_relaxed(&modules_generation), generation);
	dlclose(handle);
	modules_after_dlclose();
	cr_assert_eq(load_relaxed(&segment_module(row)->state), CPROF_MODULE_UNLOADED);
	cr_assert_neq(load_relaxed(&modules_generation), generation);
}

Test(modules, an_unload_behind_our_back_is_found_by_revalidation)
{
	void *handle = load(LIBRARY);
	uint32_t row = look_up(dlsym(handle, LIBRARY_SYMBOL)).row;
	cr_assert(modules_revalidate(row));
	uint32_t generation = load_relaxed(&modules_generation);
	dlclose(handle);
	cr_assert_not(modules_revalidate(row));
	cr_assert_eq(load_relaxed(&segment_module(row)->state), CPROF_MODULE_UNLOADED);
	cr_assert_neq(load_relaxed(&modules_generation), generation);
}

Test(modules, another_object_at_the_same_place_gets_another_row)
{
	void *handle = load(LIBRARY);
	const struct module_ref first = look_up(dlsym(handle, LIBRARY_SYMBOL));
	dlclose(handle);
	load(OTHER_LIBRARY);
	for (uint64_t pc = first.image_start; pc < first.image_end; pc += 4096) {
		struct module_ref ref;
		if (modules_lookup(pc, &ref))
			cr_assert_neq(ref.row, first.row);
	}
}

static void load_and_unload_at_two_places(int rounds)
{
	uint64_t last_start = 0, last_bytes = 0;
	for (int i = 0; i < rounds; i++) {
		/* What is in the way at the last place makes the loader choose another one. */
		void *obstacle = NULL;
		if (i % 2 && last_start)
			obstacle = mmap((void *)(uintptr_t)last_start, last_bytes, PROT_NONE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		void *handle = load(LIBRARY);
		struct module_ref ref = look_up(dlsym(handle, LIBRARY_SYMBOL));
		cr_assert_neq(ref.row, CPROF_MODULE_NONE);
		cr_assert_eq(load_relaxed(&segment_module(ref.row)->state), CPROF_MODULE_LOADED);
		cr_assert_eq(segment_module(ref.row)->bias, ref.bias);
		if (obstacle)
			cr_assert_neq(ref.image_start, last_start);
		if (i % 2 == 0) {
			last_start = ref.image_start;
			last_bytes = ref.image_end - ref.image_start;
		}
		dlclose(handle);
		modules_after_dlclose();
		if (obstacle)
			munmap(obstacle, last_bytes);
	}
}

Test(modules, ten_thousand_loads_at_alternating_places_use_few_rows)
{
	load_and_unload_at_two_places(10);
	uint32_t rows = load_relaxed(&segment_control()->modules_used);
	uint64_t strings = load_relaxed(&segment_control()->strings_used);
	load_and_unload_at_two_places(10000);
	cr_assert_leq(load_relaxed(&segment_control()->modules_used), rows + 2);
	cr_assert_leq(load_relaxed(&segment_control()->strings_used), strings + 512);
}

Test(modules, a_full_table_gives_no_row_but_still_unwinds)
{
	store_relaxed(&segment_control()->modules_used, segment.geometry.module_count);
	struct module_ref ref = look_up(dlsym(RTLD_DEFAULT, "qsort"));
	cr_assert_eq(ref.row, CPROF_MODULE_NONE);
	cr_assert_not_null(ref.cfi);
	cr_assert_eq(look_up(dlsym(RTLD_DEFAULT, "qsort")).cfi, ref.cfi);
	cr_assert_eq(load_relaxed(&segment_control()->counters[CPROF_MODULES_FULL]), 2);
	cr_assert_eq(load_relaxed(&segment_control()->modules_used), segment.geometry.module_count);
}

Test(modules, a_new_segment_gets_rows_of_its_own)
{
	cr_assert_eq(look_up(dlsym(RTLD_DEFAULT, "qsort")).row, 0);
	cr_assert_eq(look_up((const void *)(uintptr_t)look_at_object).row, 1);
	own_segment_open(UINT64_C(16) << 20);
	modules_forget();
	cr_assert_eq(look_up((const void *)(uintptr_t)look_at_object).row, 0);
	cr_assert_eq(load_relaxed(&segment_module(0)->state), CPROF_MODULE_LOADED);
}

static pthread_barrier_t together;
static void *libraries[3];
static uint32_t rows_seen[4][3];

static void *look_up_together(void *argument)
{
	uint32_t *rows = argument;
	for (int i = 0; i < 3; i++) {
		pthread_barrier_wait(&together);
		rows[i] = look_up(libraries[i]).row;
	}
	return NULL;
}

Test(modules, threads_that_meet_at_a_new_object_agree_in_the_end)
{
	pthread_t threads[4];
	libraries[0] = dlsym(RTLD_DEFAULT, "qsort");
	libraries[1] = dlsym(load(LIBRARY), LIBRARY_SYMBOL);
	libraries[2] = dlsym(RTLD_DEFAULT, "zlibVersion");
	pthread_barrier_init(&together, NULL, 4);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, look_up_together, rows_seen[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++) {
		struct module_ref ref = look_up(libraries[i]);
		for (int j = 0; j < 4; j++) {
			/* A duplicate says the same as the row that is found from now on. */
			const struct cprof_module *seen = segment_module(rows_seen[j][i]);
			cr_assert_eq(seen->bias, ref.bias);
			cr_assert_eq(load_relaxed(&seen->state), CPROF_MODULE_LOADED);
		}
		cr_assert_eq(look_up(libraries[i]).row, ref.row);
	}
	cr_assert_leq(load_relaxed(&segment_control()->modules_used), 12);
}

/* What one gives back of the string arena the other may get at once: by tsan. */
Test(modules, threads_that_write_names_at_a_time_do_not_meet)
{
	libraries[0] = dlsym(RTLD_DEFAULT, "qsort");
	libraries[1] = dlsym(load(LIBRARY), LIBRARY_SYMBOL);
	libraries[2] = dlsym(RTLD_DEFAULT, "zlibVersion");
	for (int round = 0; round < 30; round++) {
		pthread_t threads[4];
		own_segment_open(UINT64_C(16) << 20);
		modules_forget();
		pthread_barrier_init(&together, NULL, 4);
		for (int i = 0; i < 4; i++)
			pthread_create(&threads[i], NULL, look_up_together, rows_seen[i]);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		for (int i = 0; i < 4; i++)
			cr_assert(strstr(path_of(segment_module(rows_seen[i][1])), LIBRARY));
	}
}

Test(modules, without_system_calls_the_loader_name_is_taken)
{
	safe_read_forbid_calls();
	const struct cprof_module *module = row_of(dlsym(load(LIBRARY), LIBRARY_SYMBOL));
	cr_assert_eq(module->inode, 0);
	cr_assert(strstr(path_of(module), LIBRARY));
	cr_assert_gt(module->build_id_bytes, 0);
	char path[4096] = "";
	module = row_of((const void *)(uintptr_t)look_at_object);
	cr_assert_gt(readlink("/proc/self/exe", path, sizeof path - 1), 0);
	cr_assert_str_eq(path_of(module), path);
}

Test(modules, a_replaced_file_is_not_taken_for_the_loaded_one)
{
	char copy[] = "/tmp/test_modules.XXXXXX", command[256];
	struct link_map *map;
	cr_assert_eq(dlinfo(load(LIBRARY), RTLD_DI_LINKMAP, &map), 0);
	close(mkstemp(copy));
	snprintf(command, sizeof command, "cp %s %s", map->l_name, copy);
	cr_assert_eq(system(command), 0);
	void *symbol = dlsym(load(copy), LIBRARY_SYMBOL);
	cr_assert_eq(unlink(copy), 0);
	const struct cprof_module *module = row_of(symbol);
	cr_assert_str_eq(path_of(module), copy); /* without the kernel's " (deleted)" */
	cr_assert_eq(module->inode, 0);
}

Test(modules, snapshot_of_an_old_libc_finds_what_was_loaded_then)
{
	void *handle = load(LIBRARY);
	const void *symbol = dlsym(handle, LIBRARY_SYMBOL);
	const struct module_ref now = look_up(symbol);
	objects_use_snapshot(true);
	modules_forget();
	struct module_ref ref = look_up(symbol);
	cr_assert_eq(ref.image_start, now.image_start);
	cr_assert_eq(ref.bias, now.bias);
	cr_assert_not_null(ref.cfi);
	expect_as_in_maps(symbol);
	expect_as_in_maps((const void *)(uintptr_t)look_at_object);
	look_up((const void *)(getauxval(AT_SYSINFO_EHDR) + 0x600));
	struct module_ref none;
	cr_assert_not(modules_lookup((uint64_t)(uintptr_t)&none, &none));
	dlclose(handle);
	modules_after_dlclose();
	cr_assert_not(modules_lookup((uint64_t)(uintptr_t)symbol, &none));
	load(OTHER_LIBRARY);
	objects_refresh();
	look_up(dlsym(dlopen(OTHER_LIBRARY, RTLD_NOW | RTLD_NOLOAD), "lzma_version_number"));
}
