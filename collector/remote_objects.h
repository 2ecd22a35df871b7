/* SPDX-License-Identifier: MIT */
/*
 * What a process has loaded: the ELF objects in its memory with their places, build
 * ids and tables of unwind information, from /proc/PID/maps and from the headers that
 * are mapped with them.  Files are not opened: the memory is what runs.
 *
 * Context: any process of the collector.
 */
#ifndef COLLECTOR_REMOTE_OBJECTS_H
#define COLLECTOR_REMOTE_OBJECTS_H

#include "cprof_shm.h"
#include "remote_memory.h"

/* A line of /proc/PID/maps. */
struct remote_mapping {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t device;
	uint64_t inode;
	const char *path; /* in the text that was parsed, not terminated; "[vdso]" and the like too */
	size_t path_bytes;
	bool is_executable;
};

/* One loaded object. */
struct remote_object {
	uint64_t start; /* of the whole object in memory */
	uint64_t end;
	uint64_t bias;       /* run-time address = address in the ELF file + bias */
	uint64_t text_start; /* of the largest executable segment, page aligned */
	uint64_t text_end;
	uint64_t text_offset;
	uint64_t device;
	uint64_t inode;
	const char *path; /* terminated, without the kernel's " (deleted)" */
	uint8_t build_id[CPROF_BUILD_ID_MAX];
	uint32_t build_id_bytes;
	bool is_main;
	bool is_vdso;
	/* The binary search table of .eh_frame_hdr; 0 bytes: there is none that we can read. */
	uint64_t table_base;
	uint64_t table_start;
	uint64_t table_bytes;
};

struct remote_objects {
	pid_t pid;
	struct remote_object *items; /* sorted by start */
	size_t count;
	struct remote_mapping *mappings; /* sorted by start */
	size_t mapping_count;
	char *text;
};

/*
 * Parses the next line of [*at, end) and moves *at behind it.  False: it makes no
 * sense, or there is none.
 */
bool remote_objects_parse_line(const char **at, const char *end, struct remote_mapping *out_mapping);

/*
 * Reads what `memory`'s process has loaded.  0; -ESRCH: it is gone; -EACCES or -EPERM:
 * not for us; -ENOMEM.  Where only the memory cannot be read, there are mappings
 * without objects.
 */
int remote_objects_read(struct remote_memory *memory, struct remote_objects *out_objects);

/* The object whose image an address is in, or NULL. */
const struct remote_object *remote_objects_find(const struct remote_objects *objects, uint64_t address);

/* Whether an address lies in memory that can be executed. */
bool remote_objects_is_code(const struct remote_objects *objects, uint64_t address);

void remote_objects_free(struct remote_objects *objects);

#endif
