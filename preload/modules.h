/* SPDX-License-Identifier: MIT */
/*
 * Loaded objects: from a pc to its row in the segment's module table, and to the
 * object's call frame information.  A new object gets its row when its first pc is
 * looked up.  Nothing here takes the dynamic linker's lock.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#ifndef PRELOAD_MODULES_H
#define PRELOAD_MODULES_H

#include "cfi.h"
#include "cprof_shm.h"

/* What an unwinder and a symboliser need of the object that contains a pc. */
struct module_ref {
	uint32_t row; /* module id, CPROF_MODULE_NONE if the table is full */
	bool is_cprof;
	uint64_t bias;
	uint64_t image_start;
	uint64_t image_end;
	const struct cfi_table *cfi; /* NULL: none that can be searched; lives as long as the process */
};

/*
 * Finds the object that contains pc and makes sure that it has a row in the current
 * segment.  Returns false if pc lies in no object (JIT code, or garbage).
 */
bool modules_lookup(uint64_t pc, struct module_ref *out_ref);

/* Context: init.  Notes the executable's path and libcprof's own range. */
void modules_init(void);

/*
 * The segment was made or replaced (a forked child's first sample): rows and rules
 * remembered by pc are no longer believed.  While no other thread records.
 */
void modules_forget(void);

/* After the real dlclose returned: marks the rows of objects that are gone. */
void modules_after_dlclose(void);

/* Changes whenever remembered rows and rules must not be believed any more. */
extern atomic_u32 modules_generation;

/* At most so many rows are handed out, whatever the segment has room for. */
#define MODULES_ROWS_MAX 8192u

/*
 * For a row that a lookup returned: pc + frame base is the frame word of a pc in it.
 * Written before the row is returned, not changed after.
 */
extern uint64_t modules_frame_base[MODULES_ROWS_MAX] __attribute__((visibility("hidden")));

/* The rows below 64, as bits, whose objects are never unloaded (the executable, libc, ...). */
uint64_t modules_pinned_rows(void);

/*
 * Whether the row's object is still the one that is loaded there.  If not, its row is
 * marked and the generation changes.  For unloads that dlclose's caller does not see:
 * those inside libc (gconv), and a dlopen that failed half way.
 */
bool modules_revalidate(uint32_t row);

#endif
