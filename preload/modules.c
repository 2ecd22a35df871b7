/* SPDX-License-Identifier: MIT */
/*
 * Rows are found again by a small index from the object's start address, private to
 * the process; the segment's rows are only written.  The index is insert-only:
 *
 *     0 --claim--> BUSY --publish--> row + 1 --row was retired, claim--> BUSY --> ...
 *
 * Nobody waits for a BUSY slot, as its owner may be the code that a handler
 * interrupted: a second thread that meets the same new object at the same moment
 * claims the next slot and makes a second row, which the collector merges.
 *
 * What can go wrong: an object is used only after the loader said that it is there,
 * and a thread that executes its code, or will return to it, keeps it there.  The
 * exception is a walk that went astray (JIT code without frame pointers) into an object
 * that another thread is unloading at this very moment: between the loader's answer
 * and our reading of its headers it can vanish.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#include "modules.h"

#include "module_rows.h"
#include "objects.h"
#include "rule_cache.h"
#include "safe_read.h"
#include "segment.h"

/* What we remember of a row.  Written before its index slot is published. */
struct known {
	atomic_u64 start; /* 0: the row was retired; the rest is then not believed */
	atomic_u64 end;
	atomic_u64 eh_frame_hdr;
	atomic_u64 identity;
	uint64_t bias;
	struct cfi_table cfi;
	bool has_cfi;
	bool is_cprof;
};

#define INDEX_SLOTS 16384u
#define INDEX_PROBES 32u
#define INDEX_BUSY UINT32_MAX
/* A slot to be used again: it names an entry beyond all rows that is never alive. */
#define INDEX_RETIRED (MODULES_ROWS_MAX + 1)

/* Written by whoever looks up a new object; read by every lookup. */
static struct known known[MODULES_ROWS_MAX + 1];
static atomic_u32 index_slots[INDEX_SLOTS];
static atomic_u64 pinned_rows;

uint64_t modules_frame_base[MODULES_ROWS_MAX];
atomic_u32 modules_generation;

static uint32_t index_hash(uint64_t start)
{
	return (uint32_t)(cprof_mix64(start) % INDEX_SLOTS);
}

/* Relaxed throughout: the fields are ordered by the slot, and a mixture is no object's equal. */
static bool is_known_as(const struct known *k, const struct object *object)
{
	return load_relaxed(&k->start) == object->start && load_relaxed(&k->end) == object->end &&
	       load_relaxed(&k->eh_frame_hdr) == object->eh_frame_hdr &&
	       load_relaxed(&k->identity) == object->identity;
}

/* The row of an object, or CPROF_MODULE_NONE. */
static uint32_t index_find(const struct object *object)
{
	uint32_t hash = index_hash(object->start);
	for (uint32_t i = 0; i < INDEX_PROBES; i++) {
		/* (A) acquire: pairs with (B); else the row is seen before what we know of it. */
		uint32_t slot = load_acquire(&index_slots[(hash + i) % INDEX_SLOTS]);
		if (slot == 0)
			break;
		if (slot != INDEX_BUSY && is_known_as(&known[slot - 1], object))
			return slot - 1;
	}
	return CPROF_MODULE_NONE;
}

/* Takes a slot for an object that is not in the index; NULL if its neighbourhood is full. */
static atomic_u32 *index_claim(const struct object *object)
{
	uint32_t hash = index_hash(object->start);
	for (uint32_t i = 0; i < INDEX_PROBES; i++) {
		atomic_u32 *place = &index_slots[(hash + i) % INDEX_SLOTS];
		uint32_t slot = load_acquire(place);
		bool is_free = slot == 0 || (slot != INDEX_BUSY && load_relaxed(&known[slot - 1].start) == 0);
		if (is_free && cas_acq_rel(place, &slot, INDEX_BUSY))
			return place;
	}
	return NULL;
}

static void start_generation(void)
{
	/* Release: a walk that sees the new generation sees the retired rows. */
	uint32_t generation = add_release(&modules_generation, 1) + 1;
	if (generation % 65536 == 0)
		rule_cache_clear(); /* keys hold 16 bits of it */
}

/* Finds the call frame information of an object that was not seen before, or has no row. */
static bool open_cfi(const struct object *object, uint64_t bias, struct cfi_table *out_table)
{
	uint64_t low = object->start, high = object->end;
	if (!object->eh_frame_hdr)
		return false;
	module_rows_segment_of(object, bias, object->eh_frame_hdr, &low, &high);
	return cfi_open(object->eh_frame_hdr, low, high, out_table) == 0;
}

/* Gives a new object a row.  Returns CPROF_MODULE_NONE if there is no room. */
static NOINLINE uint32_t add_row(const struct object *object)
{
	if (!segment.base || !module_rows_has_room())
		return CPROF_MODULE_NONE;
	atomic_u32 *place = index_claim(object);
	if (!place)
		return CPROF_MODULE_NONE;
	uint32_t row = module_rows_add(object);
	if (row == CPROF_MODULE_NONE) {
		/* Not back to 0, which could end another object's probing too early. */
		store_release(place, INDEX_RETIRED);
		return CPROF_MODULE_NONE;
	}
	const struct cprof_module *module = segment_module(row);
	struct known *k = &known[row];
	k->bias = module->bias;
	k->is_cprof = module->flags & CPROF_MODULE_IS_CPROF;
	k->has_cfi = open_cfi(object, k->bias, &k->cfi);
	modules_frame_base[row] = cprof_frame(row, 0) - k->bias;
	store_relaxed(&k->end, object->end);
	store_relaxed(&k->eh_frame_hdr, object->eh_frame_hdr);
	store_relaxed(&k->identity, object->identity);
	store_relaxed(&k->start, object->start);
	if (row < 64 && module_rows_is_pinned(object))
		or_relaxed(&pinned_rows, UINT64_C(1) << row); /* only saves work: orders nothing */
	store_release(place, row + 1); /* (B) release: pairs with (A) */
	return row;
}

bool modules_lookup(uint64_t pc, struct module_ref *out_ref)
{
	struct object object;
	if (!objects_find(pc, &object))
		return false;
	uint32_t row = index_find(&object);
	if (unlikely(row == CPROF_MODULE_NONE))
		row = add_row(&object);
	out_ref->row = row;
	out_ref->image_start = object.start;
	out_ref->image_end = object.end;
	out_ref->eh_frame_hdr = object.eh_frame_hdr;
	if (likely(row != CPROF_MODULE_NONE)) {
		const struct known *k = &known[row];
		out_ref->bias = k->bias;
		out_ref->is_cprof = k->is_cprof;
		out_ref->has_cfi = k->has_cfi;
		out_ref->cfi = k->cfi;
		return true;
	}
	const char *name;
	segment_count(CPROF_MODULES_FULL, 1);
	objects_describe(&object, &out_ref->bias, &name);
	out_ref->is_cprof = module_rows_is_cprof(&object);
	out_ref->has_cfi = open_cfi(&object, out_ref->bias, &out_ref->cfi);
	return true;
}

uint64_t modules_pinned_rows(void)
{
	return load_relaxed(&pinned_rows); /* a stale value only costs a revalidation */
}

static bool is_loaded(const struct known *k)
{
	struct object object;
	return objects_find(load_relaxed(&k->start), &object) && is_known_as(k, &object);
}

static void retire(uint32_t row)
{
	/* First this, then the state: a revival starts from UNLOADED and sets it again. */
	store_release(&known[row].start, 0);
	module_rows_mark_unloaded(row);
}

bool modules_revalidate(uint32_t row)
{
	if (likely(is_loaded(&known[row])))
		return true;
	retire(row);
	start_generation();
	return false;
}

void modules_after_dlclose(void)
{
	if (!segment.base)
		return;
	objects_refresh();
	bool is_any_gone = false;
	uint32_t rows = module_rows_used();
	for (uint32_t row = 0; row < rows; row++) {
		if (load_relaxed(&known[row].start) != 0 && !is_loaded(&known[row])) {
			retire(row);
			is_any_gone = true;
		}
	}
	if (is_any_gone)
		start_generation();
}

void modules_forget(void)
{
	for (uint32_t i = 0; i < INDEX_SLOTS; i++) {
		uint32_t slot = load_relaxed(&index_slots[i]); /* no other thread records now */
		if (slot == 0)
			continue;
		if (slot != INDEX_BUSY)
			store_relaxed(&known[slot - 1].start, 0);
		store_relaxed(&index_slots[i], 0);
	}
	store_relaxed(&pinned_rows, 0);
	start_generation();
}

void modules_init(void)
{
	objects_refresh();
	module_rows_init();
}
