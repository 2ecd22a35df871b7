/* SPDX-License-Identifier: MIT */
/*
 * The snapshot has two halves: readers use one while a refresh fills the other, so a
 * handler that interrupts a refresh still finds everything.  A reader that sleeps
 * through two refreshes could see a half being rewritten; the version tells.
 *
 * Context: any (async-signal-safe), objects_refresh() excepted.
 */
#include "objects.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "cprof_atomic.h"
#include "cprof_compiler.h"

#if __GLIBC_PREREQ(2, 35)
#pragma weak _dl_find_object
#define HAS_FIND_OBJECT (_dl_find_object != NULL)
#else
#define HAS_FIND_OBJECT false
#endif

#define SNAPSHOT_OBJECTS 512

struct snapshot_object {
	struct object object;
	uint64_t bias;
};

struct snapshot {
	uint32_t count;
	struct snapshot_object objects[SNAPSHOT_OBJECTS]; /* sorted by start */
};

/* Written by objects_refresh(), one at a time; read by any thread. */
static SPARSE struct snapshot snapshots[2];
static atomic_u32 snapshot_version; /* the low bit names the half to read */
static atomic_u32 refresh_is_running;

#ifdef CPROF_TEST
static bool snapshot_is_wanted;

void objects_use_snapshot(bool is_wanted)
{
	snapshot_is_wanted = is_wanted;
	objects_refresh();
}
#else
#define snapshot_is_wanted false
#endif

/* The entry that contains pc, or NULL. */
static const struct snapshot_object *search(const struct snapshot *snapshot, uint64_t pc)
{
	uint32_t low = 0, high = snapshot->count;
	if (high > SNAPSHOT_OBJECTS) /* seen while it is rewritten */
		return NULL;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		const struct snapshot_object *at = &snapshot->objects[middle];
		if (pc < at->object.start)
			high = middle;
		else if (pc >= at->object.end)
			low = middle + 1;
		else
			return at;
	}
	return NULL;
}

static bool find_in_snapshot(uint64_t pc, struct object *out_object, uint64_t *out_bias)
{
	/* (A) acquire: pairs with (B); else the half is seen before its contents. */
	uint32_t version = load_acquire(&snapshot_version);
	const struct snapshot_object *found = search(&snapshots[version & 1], pc);
	if (!found)
		return false;
	struct snapshot_object copy = *found;
	/* The copy above comes before the check below. */
	atomic_thread_fence(memory_order_acquire);
	/* Relaxed: ordered by the fence.  One refresh meanwhile wrote the other half only. */
	if (load_relaxed(&snapshot_version) - version > 1 || pc < copy.object.start || pc >= copy.object.end)
		return false;
	*out_object = copy.object;
	*out_bias = copy.bias;
	return true;
}

static int add_object(struct dl_phdr_info *info, size_t size UNUSED, void *argument)
{
	struct snapshot *snapshot = argument;
	struct snapshot_object entry = {.bias = info->dlpi_addr};
	entry.object.identity = (uint64_t)(uintptr_t)info->dlpi_name;
	entry.object.start = UINT64_MAX;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + segment->p_vaddr;
		if (segment->p_type == PT_GNU_EH_FRAME)
			entry.object.eh_frame_hdr = start;
		if (segment->p_type != PT_LOAD)
			continue;
		if (start < entry.object.start)
			entry.object.start = start;
		if (start + segment->p_memsz > entry.object.end)
			entry.object.end = start + segment->p_memsz;
	}
	if (entry.object.start >= entry.object.end)
		return 0;
	if (snapshot->count == SNAPSHOT_OBJECTS)
		return 1;
	uint32_t at = snapshot->count++;
	for (; at > 0 && snapshot->objects[at - 1].object.start > entry.object.start; at--)
		snapshot->objects[at] = snapshot->objects[at - 1];
	snapshot->objects[at] = entry;
	return 0;
}

void objects_refresh(void)
{
	if (HAS_FIND_OBJECT && !snapshot_is_wanted)
		return;
	/* Another thread's refresh may have begun before our object went: it will be found by revalidation. */
	if (exchange_acquire(&refresh_is_running, 1))
		return;
	uint32_t version = load_relaxed(&snapshot_version) + 1; /* written by the holder of the flag only */
	struct snapshot *next = &snapshots[version & 1];
	next->count = 0;
	dl_iterate_phdr(add_object, next);
	/* (B) release: pairs with (A). */
	store_release(&snapshot_version, version);
	store_release(&refresh_is_running, 0); /* pairs with the exchange of the next refresh */
}

bool objects_find(uint64_t pc, struct object *out_object)
{
#if __GLIBC_PREREQ(2, 35)
	if (HAS_FIND_OBJECT && !snapshot_is_wanted) {
		struct dl_find_object found;
		if (_dl_find_object((void *)(uintptr_t)pc, &found) != 0)
			return false;
		out_object->start = (uint64_t)(uintptr_t)found.dlfo_map_start;
		out_object->end = (uint64_t)(uintptr_t)found.dlfo_map_end;
		out_object->eh_frame_hdr = (uint64_t)(uintptr_t)found.dlfo_eh_frame;
		out_object->identity = (uint64_t)(uintptr_t)found.dlfo_link_map;
		return true;
	}
#endif
	uint64_t bias;
	return find_in_snapshot(pc, out_object, &bias);
}

void objects_describe(const struct object *object, uint64_t *out_bias, const char **out_name)
{
#if __GLIBC_PREREQ(2, 35)
	if (HAS_FIND_OBJECT && !snapshot_is_wanted) {
		const struct link_map *map = (const struct link_map *)(uintptr_t)object->identity;
		*out_bias = map->l_addr;
		*out_name = map->l_name ? map->l_name : "";
		return;
	}
#endif
	struct object same;
	*out_name = "";
	*out_bias = 0;
	if (find_in_snapshot(object->start, &same, out_bias))
		*out_name = (const char *)(uintptr_t)same.identity;
}
