/* SPDX-License-Identifier: MIT */
/*
 * A row is filled in place, in the segment: signal stacks are too small for what the
 * kernel wants to hand out (paths, struct stat), so the string arena serves as scratch.
 *
 * The path is that of the mapping, as in /proc/PID/maps: the loader's own name may be
 * a symbolic link, or relative to a directory that the program has left.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#include "module_rows.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "dwarf_cursor.h"
#include "modules.h"
#include "safe_read.h"
#include "segment.h"
#include "sys.h"
#include "text.h"

#define SCRATCH_BYTES (sizeof(struct stat) + PATH_MAX)
#define DELETED_SUFFIX " (deleted)"

/* Written by module_rows_init(), constant after. */
static uint64_t page_bytes;
/* Written by module_rows_keep_executable() before the program leaves its files behind; length first 0. */
static atomic_u32 executable_path_bytes;
static char executable_path[PATH_MAX];

/* ---- program headers ------------------------------------------------------------------------ */

static void read_build_id(struct cprof_module *module, struct dwarf_cursor notes, uint64_t align)
{
	const uint64_t mask = align == 8 ? 7 : 3;
	while (notes.at < notes.end) {
		uint32_t name_bytes = dwarf_u32(&notes);
		uint32_t description_bytes = dwarf_u32(&notes);
		uint32_t type = dwarf_u32(&notes);
		const uint8_t *name = notes.at;
		dwarf_skip(&notes, (name_bytes + mask) & ~mask);
		const uint8_t *description = notes.at;
		if (!dwarf_has(&notes, description_bytes))
			return;
		if (type == NT_GNU_BUILD_ID && name_bytes == sizeof(ELF_NOTE_GNU) &&
		    memcmp(name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0 &&
		    description_bytes <= CPROF_BUILD_ID_MAX) {
			memcpy(module->build_id, description, description_bytes);
			module->build_id_bytes = description_bytes;
			return;
		}
		/* The last description need not be padded. */
		uint64_t padded = (description_bytes + mask) & ~mask;
		dwarf_skip(&notes, dwarf_has(&notes, padded) ? padded : description_bytes);
	}
}

static NOINLINE void read_headers(struct cprof_module *module, const struct image *image)
{
	for (uint32_t i = 0; i < image->header_count; i++) {
		const ElfW(Phdr) *header = &image->headers[i];
		uint64_t start = image->bias + header->p_vaddr;
		uint64_t end = start + header->p_filesz;
		/* Of several executable segments (PLT apart, huge pages) the largest is the program's code. */
		if (header->p_type == PT_LOAD && (header->p_flags & PF_X) &&
		    header->p_filesz > module->text_end - module->text_start) {
			module->text_start = start & ~(page_bytes - 1);
			module->text_end = (end + page_bytes - 1) & ~(page_bytes - 1);
			module->text_offset = header->p_offset & ~(page_bytes - 1);
		}
		uint64_t low, high;
		if (header->p_type == PT_NOTE && !module->build_id_bytes &&
		    image_find_segment(image, start, &low, &high) && end >= start && end <= high)
			read_build_id(module,
				      dwarf_cursor_of((const uint8_t *)(uintptr_t)start,
						      (const uint8_t *)(uintptr_t)end),
				      header->p_align);
	}
}

/* ---- names ------------------------------------------------------------------------------------ */

static void text_add_address(struct text *text, uint64_t address)
{
	int shift = 60;
	while (shift > 0 && !(address >> shift & 15))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		text_add_bytes(text, &"0123456789abcdef"[address >> shift & 15], 1);
}

/* The path that the kernel shows for the object's code, or 0 if it cannot be asked. */
static uint32_t read_mapped_path(const struct cprof_module *module, char *path, uint32_t capacity)
{
	struct text link; /* at the start of the room for the path */
	if (!module->text_end || !safe_read_may_call())
		return 0;
	text_init(&link, path, capacity);
	text_add(&link, "/proc/self/map_files/");
	text_add_address(&link, module->text_start);
	text_add(&link, "-");
	text_add_address(&link, module->text_end);
	/* The kernel has read the name when it writes the answer over it. */
	long length = sys_call4(SYS_readlinkat, AT_FDCWD, (long)path, (long)path, capacity);
	return sys_is_error(length) || (uint32_t)length >= capacity ? 0 : (uint32_t)length;
}

static uint32_t copy_path(char *path, uint32_t capacity, const char *from, uint64_t bytes)
{
	if (bytes >= capacity)
		return 0;
	memcpy(path, from, bytes);
	return (uint32_t)bytes;
}

/* What was executed, by the name that the kernel was given. */
static uint32_t copy_executed_path(char *path, uint32_t capacity)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	struct text text;
	text_init(&text, path, capacity);
	if (name[0] != '/' && safe_read_may_call() &&
	    !sys_is_error(sys_call2(SYS_getcwd, (long)path, (long)capacity))) {
		while (path[text.length])
			text.length++;
		text_add(&text, "/");
	}
	text_add(&text, name);
	return text.is_cut ? 0 : (uint32_t)text.length;
}

/* The path of the executable; 0 if it is not to be had. */
static uint32_t read_executable_path(char *path, uint32_t capacity)
{
	long bytes = -1;
	if (safe_read_may_call())
		bytes = sys_call4(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)path, capacity);
	return bytes > 0 && bytes < (long)capacity ? (uint32_t)bytes : copy_executed_path(path, capacity);
}

/* Returns the length of the path; it is NUL-terminated. */
static uint32_t find_path(const struct cprof_module *module, const char *name, char *path, uint32_t capacity)
{
	uint32_t bytes;
	if (module->flags & CPROF_MODULE_IS_VDSO) {
		bytes = copy_path(path, capacity, "[vdso]", strlen("[vdso]"));
	} else {
		bytes = read_mapped_path(module, path, capacity);
		/* Acquire: pairs with the release in module_rows_keep_executable(). */
		if (bytes == 0 && (module->flags & CPROF_MODULE_IS_MAIN))
			bytes = copy_path(path, capacity, executable_path,
					  load_acquire(&executable_path_bytes));
		if (bytes == 0 && (module->flags & CPROF_MODULE_IS_MAIN))
			bytes = read_executable_path(path, capacity);
		if (bytes == 0)
			bytes = copy_path(path, capacity, name, strlen(name));
	}
	path[bytes] = '\0';
	return bytes;
}

/* Cuts off what the kernel appends when the file is gone.  Returns the length that remains. */
static uint32_t without_deleted_suffix(char *path, uint32_t bytes)
{
	const uint32_t suffix_bytes = sizeof(DELETED_SUFFIX) - 1;
	if (bytes > suffix_bytes && memcmp(path + bytes - suffix_bytes, DELETED_SUFFIX, suffix_bytes) == 0) {
		bytes -= suffix_bytes;
		path[bytes] = '\0';
	}
	return bytes;
}

/* Reserves scratch at the end of the string arena.  Returns false if it is (nearly) full. */
static bool reserve_strings(uint64_t bytes, uint64_t *out_offset)
{
	struct cprof_control *control = segment_control();
	uint64_t used = load_relaxed(&control->strings_used); /* only whether there is room */
	if (used > segment.geometry.strings_bytes || segment.geometry.strings_bytes - used < bytes)
		return false;
	/* Pairs with the release in trim_strings(): who gave this back has written there. */
	uint64_t offset = add_acquire(&control->strings_used, bytes);
	if (offset > segment.geometry.strings_bytes || segment.geometry.strings_bytes - offset < bytes)
		return false;
	*out_offset = offset;
	return true;
}

/* Gives back [to, from) if nobody reserved meanwhile; otherwise it is lost. */
static void trim_strings(uint64_t from, uint64_t to)
{
	(void)cas_acq_rel(&segment_control()->strings_used, &from, to);
}

/* Fills in path, device and inode. */
static NOINLINE void read_names(struct cprof_module *module, const char *name)
{
	uint64_t offset;
	if (!reserve_strings(SCRATCH_BYTES, &offset))
		return;
	char *path = segment_strings() + offset;
	char *status_bytes = path + PATH_MAX;
	uint32_t bytes = find_path(module, name, path, PATH_MAX);
	uint32_t kept_bytes = without_deleted_suffix(path, bytes);
	bool is_there = kept_bytes == bytes && *path == '/' && safe_read_may_call();
	if (is_there &&
	    !sys_is_error(sys_call4(SYS_newfstatat, AT_FDCWD, (long)path, (long)status_bytes, 0))) {
		dev_t device;
		ino_t inode;
		memcpy(&device, status_bytes + offsetof(struct stat, st_dev), sizeof(device));
		memcpy(&inode, status_bytes + offsetof(struct stat, st_ino), sizeof(inode));
		module->device = device;
		module->inode = inode;
	}
	module->path_offset = (uint32_t)offset;
	module->path_bytes = kept_bytes;
	trim_strings(offset + SCRATCH_BYTES, offset + kept_bytes);
}

/* ---- rows ------------------------------------------------------------------------------------- */

uint32_t module_rows_limit(void)
{
	uint32_t room = segment.base ? segment.geometry.module_count : 0;
	return room < MODULES_ROWS_MAX ? room : MODULES_ROWS_MAX;
}

uint32_t module_rows_used(void)
{
	if (!segment.base)
		return 0;
	uint32_t used = load_relaxed(&segment_control()->modules_used); /* a row is valid by its state */
	return used < module_rows_limit() ? used : module_rows_limit();
}

/* Whether what the row says of itself lies within the tables: the program may have written over it. */
static bool is_sound(const struct cprof_module *module)
{
	return module->build_id_bytes <= CPROF_BUILD_ID_MAX &&
	       (uint64_t)module->path_offset + module->path_bytes <= segment.geometry.strings_bytes;
}

static bool is_same_image(const struct cprof_module *a, const struct cprof_module *b)
{
	return a->flags == b->flags && a->bias == b->bias && a->image_start == b->image_start &&
	       a->image_end == b->image_end && a->text_start == b->text_start && a->text_end == b->text_end &&
	       a->text_offset == b->text_offset && a->device == b->device && a->inode == b->inode &&
	       a->path_bytes == b->path_bytes && a->build_id_bytes == b->build_id_bytes && is_sound(a) &&
	       is_sound(b) && memcmp(a->build_id, b->build_id, a->build_id_bytes) == 0 &&
	       memcmp(segment_strings() + a->path_offset, segment_strings() + b->path_offset,
		      a->path_bytes) == 0;
}

/* An unloaded row of the very same image, made LOADED again; or CPROF_MODULE_NONE. */
static uint32_t revive(const struct cprof_module *module, uint32_t rows)
{
	for (uint32_t row = 0; row < rows; row++) {
		struct cprof_module *old = segment_module(row);
		uint32_t state = load_acquire(&old->state); /* pairs with the releases of state */
		if (state == CPROF_MODULE_UNLOADED && is_same_image(old, module) &&
		    cas_acq_rel(&old->state, &state, CPROF_MODULE_LOADED))
			return row;
	}
	return CPROF_MODULE_NONE;
}

/* Gives the last row back, if it still is the last; otherwise it stays unused. */
static void discard(uint32_t row)
{
	struct cprof_module *module = segment_module(row);
	uint32_t last = row + 1;
	trim_strings(module->path_offset + module->path_bytes, module->path_offset);
	memset((char *)module + sizeof(module->state), 0, sizeof(*module) - sizeof(module->state));
	store_release(&module->state, CPROF_MODULE_EMPTY); /* the next writer finds zeros */
	(void)cas_acq_rel(&segment_control()->modules_used, &last, row);
}

uint32_t module_rows_add(const struct image *image)
{
	if (module_rows_used() >= module_rows_limit())
		return CPROF_MODULE_NONE;
	/* Relaxed: a row is published by its state. */
	uint32_t row = add_relaxed(&segment_control()->modules_used, 1);
	if (row >= module_rows_limit())
		return CPROF_MODULE_NONE;
	struct cprof_module *module = segment_module(row);
	store_relaxed(&module->state, CPROF_MODULE_WRITING); /* tells the reader of a torn row, no more */
	module->bias = image->bias;
	module->image_start = image->start;
	module->image_end = image->end;
	module->flags = image->flags;
	read_headers(module, image);
	read_names(module, image->name);
	uint32_t old = revive(module, row);
	if (old != CPROF_MODULE_NONE) {
		discard(row);
		return old;
	}
	store_release(&module->state, CPROF_MODULE_LOADED); /* the reader's acquire sees the whole row */
	return row;
}

void module_rows_mark_unloaded(uint32_t row)
{
	uint32_t state = CPROF_MODULE_LOADED;
	(void)cas_acq_rel(&segment_module(row)->state, &state, CPROF_MODULE_UNLOADED);
}

void module_rows_keep_executable(void)
{
	static atomic_u32 was_called;
	uint32_t no = 0;
	if (cas_acq_rel(&was_called, &no, UINT32_C(1)))
		/* Release: pairs with the acquire in find_path(). */
		store_release(&executable_path_bytes,
			      read_executable_path(executable_path, sizeof(executable_path)));
}

void module_rows_init(void)
{
	const char *name = (const char *)getauxval(AT_EXECFN);
	page_bytes = getauxval(AT_PAGESZ);
	/* Where there is no /proc the name means something only until somebody changes the directory. */
	if (name[0] != '/')
		module_rows_keep_executable();
}
