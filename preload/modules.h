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

#include "cprof_shm.h"

/* What an unwinder and a symboliser need of the object that contains a pc. */
struct module_ref {
	uint32_t row; /* module id, CPROF_MODULE_NONE if the table is full */
	bool is_cprof;
	uint64_t bias;
	uint64_t image_start;
	uint64_t image_end;
	uint64_t eh_frame_hdr; /* run-time address of PT_GNU_EH_FRAME, 0 if there is none */
};

/*
 * Finds the object that contains pc and makes sure that it has a row in the current
 * segment.  Returns false if pc lies in no object (JIT code, or garbage).
 */
bool modules_lookup(uint64_t pc, struct module_ref *out_ref);

/* Context: init.  Notes the executable's path and libcprof's own range. */
void modules_init(void);

/*
 * The segment was replaced (a forked child's first sample), or objects were
 * unloaded: rows and rules remembered by pc are no longer believed.
 */
void modules_forget(void);

/* After the real dlclose returned: marks the rows of objects that are gone. */
void modules_after_dlclose(void);

/* Changes whenever remembered rows and rules must not be believed any more. */
extern atomic_u32 modules_generation;

#endif
