/* SPDX-License-Identifier: MIT */
/*
 * The live table: a levelled hash table whose only shared state is the address word
 * of each slot.  An entry belongs to whoever may free the block.
 *
 *   0 --insert: CAS--> BUSY --payload written, release--> address
 *   address --remove--> 0
 *   address --detach--> address|DETACHED --drop--> 0, or --reattach--> address
 *
 * A key lies in its bucket of some level, so emptied slots need no tombstones.
 *
 * Context: any (async-signal-safe).
 */
#include "live.h"

#include "segment.h"

SPARSE atomic_u8 live_filter[LIVE_FILTER_COUNTERS];

static bool is_every_block_recorded(void)
{
	/* Relaxed: where the rate changes meanwhile, one block more or less is treated as before. */
	return load_relaxed(&segment_control()->heap_rate_bytes) == 1;
}

static void filter_raise(const void *block)
{
	atomic_u8 *counter = &live_filter[live_filter_index(block)];
	uint8_t seen = load_relaxed(counter); /* the counter publishes nothing but itself */
	/* When every block is recorded no free is spared its look-up: counting would only cost. */
	if (is_every_block_recorded()) {
		if (seen != LIVE_FILTER_STICKY)
			store_relaxed(counter, (uint8_t)LIVE_FILTER_STICKY);
		return;
	}
	while (seen != LIVE_FILTER_STICKY && !cas_acq_rel(counter, &seen, (uint8_t)(seen + 1)))
		;
}

static void filter_lower(const void *block)
{
	atomic_u8 *counter = &live_filter[live_filter_index(block)];
	uint8_t seen = load_relaxed(counter); /* as above */
	while (seen != LIVE_FILTER_STICKY && seen != 0 && !cas_acq_rel(counter, &seen, (uint8_t)(seen - 1)))
		;
}

void live_filter_pin(const void *start, size_t bytes)
{
	const char *p = start;
	const size_t granule = (size_t)1 << LIVE_FILTER_GRANULE_SHIFT;
	for (size_t at = 0; at < bytes + granule; at += granule)
		store_relaxed(&live_filter[live_filter_index(p + at)], (uint8_t)LIVE_FILTER_STICKY);
}

/*
 * In this level a bucket holds what lies in 256 bytes of the heap, and the blocks of any 1 MB lie
 * where no other of them does: those of glibc, 32 bytes apart, have a slot each.  So the table's
 * lines and pages are in use together, as the heap's are, and a slot is found at the first look.
 * Every 64 MB, as far apart as glibc's arenas, the buckets are in another order.
 */
#define LOCAL_LEVEL 2u
#define LOCAL_BLOCK_SHIFT 5
#define LOCAL_BUCKET_SHIFT 8
#define LOCAL_REGION_SHIFT 26

static ALWAYS_INLINE struct cprof_live_bucket *bucket_at(uint32_t level, uint64_t address)
{
	const struct cprof_levels *levels = &segment.geometry.live;
	if (level != LOCAL_LEVEL)
		return segment_live_bucket(cprof_levels_bucket(levels, level, cprof_mix64(address)));
	uint64_t region = address >> LOCAL_REGION_SHIFT;
	uint64_t hash = address >> LOCAL_BUCKET_SHIFT ^ region * UINT64_C(0x9e3779b97f4a7c15) >> 40;
	return segment_live_bucket(levels->first_bucket[level] +
				   ((uint32_t)hash & levels->bucket_mask[level]));
}

/* The nth slot to look at. */
static ALWAYS_INLINE uint32_t slot_at(uint64_t address, uint32_t n)
{
	return (uint32_t)((address >> LOCAL_BLOCK_SHIFT) + n) % CPROF_BUCKET_SLOTS;
}

bool live_insert(const void *block, uint32_t stack, uint32_t labels, uint64_t weight, uint64_t value)
{
	const uint64_t address = (uint64_t)(uintptr_t)block;
	const uint32_t level_count = segment.geometry.live.level_count;
	uint32_t level = is_every_block_recorded() && level_count > LOCAL_LEVEL ? LOCAL_LEVEL : 0;
	for (uint32_t n = 0; n < level_count; n++) {
		struct cprof_live_bucket *bucket = bucket_at(level, address);
		for (uint32_t k = 0; k < CPROF_BUCKET_SLOTS; k++) {
			uint32_t i = slot_at(address, k);
			uint64_t empty = load_relaxed(&bucket->address[i]); /* the CAS decides */
			if (empty != 0 || !cas_acq_rel(&bucket->address[i], &empty, CPROF_LIVE_BUSY))
				continue;
			struct cprof_live_payload *payload = &bucket->payload[i];
			store_relaxed(&payload->weight, weight); /* ordered by the release below */
			store_relaxed(&payload->value, value);
			store_relaxed(&payload->stack_label, (uint64_t)stack << 32 | labels);
			segment_raise(&segment_control()->live_levels_used, level + 1);
			filter_raise(block);
			/* Release: pairs with the reader's acquire; else it counts an old payload. */
			store_release(&bucket->address[i], address);
			return true;
		}
		if (++level == level_count)
			level = 0;
	}
	segment_count(CPROF_LOST_LIVE_BLOCKS, 1);
	return false;
}

/* Replaces the block's address word by `replacement`, if it is there. */
static ALWAYS_INLINE struct live_entry replace(const void *block, uint64_t replacement)
{
	const uint64_t address = (uint64_t)(uintptr_t)block;
	/* free(NULL) is common, and an empty slot's address is 0. */
	if (!block)
		return (struct live_entry){.found = false};
	/* Relaxed: raised before the block was handed out to whoever frees it. */
	uint32_t used = load_relaxed(&segment_control()->live_levels_used);
	if (used > segment.geometry.live.level_count)
		used = segment.geometry.live.level_count;
	for (uint32_t level = used; level-- > 0;) {
		struct cprof_live_bucket *bucket = bucket_at(level, address);
		for (uint32_t k = 0; k < CPROF_BUCKET_SLOTS; k++) {
			uint32_t i = slot_at(address, k);
			/* Relaxed: whoever passed us the block ordered its insertion before this. */
			if (load_relaxed(&bucket->address[i]) != address)
				continue;
			/*
			 * No CAS: the block is this thread's to free, so nobody else changes the word.
			 * Release: whoever takes the slot next writes its payload after this.
			 */
			store_release(&bucket->address[i], replacement);
			return (struct live_entry){.bucket = (uint32_t)(bucket - segment_live_bucket(0)),
						   .slot = i,
						   .found = true};
		}
	}
	return (struct live_entry){.found = false};
}

void live_remove(const void *block)
{
	if (replace(block, 0).found)
		filter_lower(block);
}

struct live_entry live_detach(const void *block)
{
	return replace(block, (uint64_t)(uintptr_t)block | CPROF_LIVE_DETACHED);
}

uint64_t live_value(struct live_entry entry)
{
	if (!entry.found)
		return 0;
	/* Relaxed: whoever passed us the block ordered its insertion before this. */
	return load_relaxed(&segment_live_bucket(entry.bucket)->payload[entry.slot].value);
}

void live_drop(struct live_entry entry, const void *block)
{
	if (!entry.found)
		return;
	/* Release: whoever takes the slot next writes its payload after this. */
	store_release(&segment_live_bucket(entry.bucket)->address[entry.slot], UINT64_C(0));
	filter_lower(block);
}

void live_reattach(struct live_entry entry, const void *block)
{
	if (entry.found)
		store_release(&segment_live_bucket(entry.bucket)->address[entry.slot],
			      (uint64_t)(uintptr_t)block); /* release: as at the insertion */
}
