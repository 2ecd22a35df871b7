/* SPDX-License-Identifier: MIT */
/*
 * Known objects are found by a small index from the loader's identity, private to
 * the process; the segment's rows are only written.  The index is insert-only:
 *
 *     0 --claim--> BUSY --publish--> entry + 1 --entry was retired, claim--> BUSY --> ...
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

#include "image.h"
#include "module_rows.h"
#include "objects.h"
#include "rule_cache.h"
#include "safe_read.h"
#include "segment.h"

/*
 * What we remember of an object.  Written before its index slot is published.  The first
 * entries are those of the segment's rows; objects that find no row use those behind.
 */
struct known {
	atomic_u64 start; /* 0: the entry was retired; the rest is then not believed */
	atomic_u64 end;
	atomic_u64 eh_frame_hdr;
	atomic_u64 identity;
	uint64_t bias;
	struct cfi_table cfi;
	bool has_cfi;
	bool is_cprof;
};

#define ENTRY_NONE UINT32_MAX

#define INDEX_SLOTS 16384u
#define INDEX_PROBES 32u
#define INDEX_BUSY UINT32_MAX
/* A slot to be used again: it names an entry beyond all rows that is never alive. */
#define INDEX_RETIRED (MODULES_ROWS_MAX + 1)

/* Written by whoever looks up a new object; read by every lookup. */
static SPARSE struct known known[MODULES_ROWS_MAX + 1];
static SPARSE atomic_u32 index_slots[INDEX_SLOTS];
static atomic_u64 pinned_rows;
static atomic_u32 rowless_entries;

SPARSE uint64_t modules_frame_base[MODULES_ROWS_MAX];
atomic_u32 modules_generation;

static uint32_t index_hash(const struct object *object)
{
	return (uint32_t)(cprof_mix64(object->identity) % INDEX_SLOTS);
}

/*
 * Whether that is the same object, or a segment of it.  Relaxed throughout: the fields are
 * ordered by the slot, and a mixture is no object's equal.
 */
static bool is_known_as(const struct known *k, const struct object *object)
{
	return load_relaxed(&k->identity) == object->identity &&
	       load_relaxed(&k->eh_frame_hdr) == object->eh_frame_hdr &&
	       object->start >= load_relaxed(&k->start) && object->end <= load_relaxed(&k->end) &&
	       load_relaxed(&k->start) != 0;
}

/* The entry of an object, or ENTRY_NONE. */
static uint32_t index_find(const struct object *object)
{
	uint32_t hash = index_hash(object);
	for (uint32_t i = 0; i < INDEX_PROBES; i++) {
		/* (A) acquire: pairs with (B); else the slot is seen before its entry. */
		uint32_t slot = load_acquire(&index_slots[(hash + i) % INDEX_SLOTS]);
		if (slot == 0)
			break;
		if (slot != INDEX_BUSY && is_known_as(&known[slot - 1], object))
			return slot - 1;
	}
	return ENTRY_NONE;
}

/* Takes a slot for an object that is not in the index; NULL if its neighbourhood is full. */
static atomic_u32 *index_claim(const struct object *object)
{
	uint32_t hash = index_hash(object);
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

/* Finds an object's call frame information. */
static bool open_cfi(const struct object *object, const struct image *image, struct cfi_table *out_table)
{
	uint64_t low = image->start, high = image->end;
	if (!object->eh_frame_hdr)
		return false;
	image_find_segment(image, object->eh_frame_hdr, &low, &high);
	return cfi_open(object->eh_frame_hdr, low, high, out_table) == 0;
}

/* An entry for an object that finds no row, or ENTRY_NONE. */
static uint32_t add_rowless(void)
{
	uint32_t first = module_rows_limit();
	/* Relaxed, here and below: an entry is published by its slot. */
	if (load_relaxed(&rowless_entries) >= MODULES_ROWS_MAX - first)
		return ENTRY_NONE;
	uint32_t entry = first + add_relaxed(&rowless_entries, 1);
	return entry < MODULES_ROWS_MAX ? entry : ENTRY_NONE;
}

/* Makes a new object known, with a row if there is room. */
static NOINLINE uint32_t add_object(const struct object *object)
{
	struct image image;
	atomic_u32 *place = index_claim(object);
	if (!place)
		return ENTRY_NONE;
	image_open(object, &image);
	uint32_t entry = module_rows_add(&image);
	if (entry == CPROF_MODULE_NONE)
		entry = add_rowless();
	if (entry == ENTRY_NONE) {
		/* Not back to 0, which could end another object's probing too early. */
		store_release(place, INDEX_RETIRED);
		return ENTRY_NONE;
	}
	struct known *k = &known[entry];
	k->bias = image.bias;
	k->is_cprof = image.flags & CPROF_MODULE_IS_CPROF;
	k->has_cfi = open_cfi(object, &image, &k->cfi);
	modules_frame_base[entry] = cprof_frame(entry, 0) - k->bias;
	store_relaxed(&k->end, image.end);
	store_relaxed(&k->eh_frame_hdr, object->eh_frame_hdr);
	store_relaxed(&k->identity, object->identity);
	store_relaxed(&k->start, image.start);
	if (entry < 64 && image_is_pinned(&image))
		or_relaxed(&pinned_rows, UINT64_C(1) << entry); /* only saves work: orders nothing */
	store_release(place, entry + 1);                        /* (B) release: pairs with (A) */
	return entry;
}

bool modules_lookup(uint64_t pc, struct module_ref *out_ref)
{
	struct object object;
	if (!objects_find(pc, &object))
		return false;
	uint32_t entry = index_find(&object);
	if (unlikely(entry == ENTRY_NONE))
		entry = add_object(&object);
	if (unlikely(entry == ENTRY_NONE))
		return false;
	const struct known *k = &known[entry];
	out_ref->row = entry;
	out_ref->is_cprof = k->is_cprof;
	out_ref->bias = k->bias;
	out_ref->image_start = load_relaxed(&k->start); /* as the slot was: see index_find() */
	out_ref->image_end = load_relaxed(&k->end);
	out_ref->cfi = k->has_cfi ? &k->cfi : NULL;
	if (unlikely(entry >= module_rows_limit())) {
		out_ref->row = CPROF_MODULE_NONE;
		segment_count(CPROF_MODULES_FULL, 1);
	}
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

static void retire(uint32_t entry)
{
	/* First this, then the state: a revival starts from UNLOADED and sets it again. */
	store_release(&known[entry].start, 0);
	if (entry < module_rows_limit())
		module_rows_mark_unloaded(entry);
}

bool modules_revalidate(uint32_t row)
{
	if (likely(is_loaded(&known[row])))
		return true;
	retire(row);
	start_generation();
	return false;
}

/* Returns whether there was any. */
static bool retire_all_gone(uint32_t first, uint32_t count)
{
	bool is_any_gone = false;
	for (uint32_t entry = first; entry < first + count && entry < MODULES_ROWS_MAX; entry++) {
		if (load_relaxed(&known[entry].start) != 0 && !is_loaded(&known[entry])) {
			retire(entry);
			is_any_gone = true;
		}
	}
	return is_any_gone;
}

void modules_after_dlclose(void)
{
	objects_refresh();
	bool is_row_gone = retire_all_gone(0, module_rows_used());
	bool is_rowless_gone = retire_all_gone(module_rows_limit(), load_relaxed(&rowless_entries));
	if (is_row_gone || is_rowless_gone)
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
	store_relaxed(&rowless_entries, 0);
	start_generation();
}

void modules_init(void)
{
	objects_refresh();
	image_init();
	module_rows_init();
}
