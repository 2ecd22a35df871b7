/* SPDX-License-Identifier: MIT */
/*
 * Which loaded object contains an address.  glibc 2.35 and newer answer that without
 * a lock (_dl_find_object); on older ones a snapshot of the loaded objects is used,
 * taken at start and after each dlclose, so that objects loaded later by dlopen are
 * not known there.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#ifndef PRELOAD_OBJECTS_H
#define PRELOAD_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>

/* Two objects with equal contents here are the same one. */
struct object {
	uint64_t start; /* of its image in memory: [start, end) */
	uint64_t end;
	uint64_t eh_frame_hdr; /* run-time address of PT_GNU_EH_FRAME; 0 if there is none */
	uint64_t identity;     /* the loader's own record of it */
};

bool objects_find(uint64_t pc, struct object *out_object);

/*
 * Its load bias and its name as the loader knows it ("" for the executable).  Only
 * while the object is loaded: the name is the loader's.
 */
void objects_describe(const struct object *object, uint64_t *out_bias, const char **out_name);

/* Context: init, or a call of the program into the loader.  Takes the loader's lock. */
void objects_refresh(void);

#ifdef CPROF_TEST
/* Makes objects_find() do as on a glibc without _dl_find_object. */
void objects_use_snapshot(bool is_wanted);
#endif

#endif
