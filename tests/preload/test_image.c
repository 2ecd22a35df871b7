/* SPDX-License-Identifier: MIT */
// ldflags: -Wl,-z,max-page-size=0x200000
/*
 * Images with holes between their segments: this program is linked so, and a library that
 * is built here.  For an executable the loader then answers for each segment apart.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "image.h"
#include "modules.h"
#include "own_segment.h"

static void set_up(void)
{
	own_segment_open(UINT64_C(16) << 20);
	modules_init();
	modules_forget();
}

TestSuite(image, .init = set_up);

static int variable = 1;
static const char text[] = "constant";

/* All addresses are in one module, whose call frame information covers `function`. */
static uint32_t expect_one_module(const void *function, const void *constant, const void *data)
{
	struct object in_text, in_data;
	struct module_ref first, second;
	struct cfi_row row;
	const uint64_t pc = (uint64_t)(uintptr_t)function;
	cr_assert(objects_find(pc, &in_text));
	cr_assert(objects_find((uint64_t)(uintptr_t)data, &in_data));
	cr_assert(modules_lookup((uint64_t)(uintptr_t)data, &first));
	cr_assert(modules_lookup(pc, &second));
	cr_assert_eq(first.row, second.row);
	cr_assert(modules_lookup((uint64_t)(uintptr_t)constant, &second));
	cr_assert_eq(first.row, second.row);
	cr_assert_not_null(first.cfi);
	cr_assert_eq(cfi_find_row(first.cfi, pc, &row), 0);
	cr_assert(modules_revalidate(first.row));
	const struct cprof_module *module = segment_module(first.row);
	cr_assert_eq(module->bias, first.bias);
	cr_assert_leq(module->image_start, in_text.start);
	cr_assert_geq(module->image_end, in_data.end);
	cr_assert(pc >= module->text_start && pc < module->text_end);
	cr_assert_gt(module->build_id_bytes, 0);
	return first.row;
}

Test(image, executable_with_holes_is_one_module)
{
	struct object in_text, in_data;
	cr_assert(objects_find((uint64_t)(uintptr_t)expect_one_module, &in_text));
	cr_assert(objects_find((uint64_t)(uintptr_t)&variable, &in_data));
	cr_assert_neq(in_text.start, in_data.start, "the image has no holes: nothing is tested");
	uint32_t row = expect_one_module((const void *)(uintptr_t)expect_one_module, text, &variable);
	cr_assert_eq(segment_module(row)->flags, CPROF_MODULE_IS_MAIN);
}

Test(image, library_with_holes_is_one_module_until_it_is_unloaded)
{
	char path[] = "/tmp/test_image.XXXXXX", command[300];
	close(mkstemp(path));
	snprintf(command, sizeof command,
		 "echo 'int data = 1; const char constant[] = \"x\"; int function(void) { return data; }' |"
		 " gcc -xc -shared -fPIC -O -Wl,--build-id,-z,max-page-size=0x200000 -o %s -",
		 path);
	cr_assert_eq(system(command), 0);
	void *handle = dlopen(path, RTLD_NOW);
	cr_assert(handle, "%s", dlerror());
	unlink(path);
	uint32_t row = expect_one_module(dlsym(handle, "function"), dlsym(handle, "constant"),
					 dlsym(handle, "data"));
	dlclose(handle);
	cr_assert_not(modules_revalidate(row));
	cr_assert_eq(load_relaxed(&segment_module(row)->state), CPROF_MODULE_UNLOADED);
}

Test(image, what_never_goes_away_is_pinned)
{
	const void *const pinned[] = {(const void *)(uintptr_t)expect_one_module,
				      dlsym(RTLD_DEFAULT, "gnu_get_libc_version")};
	struct object object;
	struct image image;
	for (int i = 0; i < 2; i++) {
		cr_assert(objects_find((uint64_t)(uintptr_t)pinned[i], &object));
		image_open(&object, &image);
		cr_assert(image_is_pinned(&image));
	}
	cr_assert(objects_find((uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, "criterion_initialize"), &object));
	image_open(&object, &image);
	cr_assert_not(image_is_pinned(&image));
}
