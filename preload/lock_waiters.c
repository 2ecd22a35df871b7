/* SPDX-License-Identifier: MIT */
/*
 * The word is number << 48 | S, with S in units of 16 ns, modulo 2^48: what is charged
 * at once may reach 26 days in sum.  It changes by CAS alone.
 *
 * An entry whose word is 0 may be given to another lock: under the bucket's insertion
 * mark its word is set to CLAIMED, then the key is changed.  A waiter that found the
 * entry by its old key either comes before that, and CLAIMED cannot be set, or finds
 * CLAIMED; in the time between, it sees the new key after its CAS and goes away again.
 * All this with signals blocked: a handler that jumped away would leave the bucket marked
 * for ever.  It is rare, as an entry stays with its lock until another one needs the place.
 *
 * Context: any (async-signal-safe).
 */
#include "lock_waiters.h"

#include <signal.h>
#include <stddef.h>

#include "process.h"
#include "segment.h"
#include "sys.h"

#define UNIT_SHIFT 4
#define NUMBER_SHIFT 48
#define NUMBER_CLAIMED UINT64_C(0xffff)
#define SUM_MASK ((UINT64_C(1) << NUMBER_SHIFT) - 1)
#define CLAIMED (NUMBER_CLAIMED << NUMBER_SHIFT)

/* Tries to begin an insertion before the table counts as full: somebody else's takes nanoseconds. */
#define INSERT_TRIES 64

/* The last release: its time in units of 1024 ns << 32 | the stack id, or one of these instead of an id. */
#define STACK_PENDING UINT32_C(0xffffffff)
#define STACK_NOT_SAMPLED UINT32_C(0xfffffffe)
#define TICKET_SHIFT 10

struct lock_waiters {
	atomic_u64 word;
	atomic_u64 released;    /* 0: never */
	atomic_u64 released_at; /* its time in whole; written before it */
	atomic_u64 how;  /* of the last sampled one: labels << 32 | scale; written before its stack id */
	atomic_u32 owed; /* waits that ended uncharged, written before the word that leaves their time */
	uint32_t filter; /* index; written with the key */
	atomic_u32 releases;
	atomic_u64 left; /* to the releaser: number << 48 | units */
};

static SPARSE struct bucket {
	atomic_u64 keys[LOCK_WAITERS_SLOTS];
	atomic_u32 inserting; /* odd while an entry gets another key */
	struct lock_waiters entries[LOCK_WAITERS_SLOTS];
} buckets[LOCK_WAITERS_BUCKETS];

SPARSE atomic_u16 lock_waiters_filter[LOCK_WAITERS_FILTER_WORDS];

static uint64_t number_of(uint64_t word)
{
	return word >> NUMBER_SHIFT;
}

static uint64_t word_of(uint64_t number, uint64_t sum)
{
	return number << NUMBER_SHIFT | (sum & SUM_MASK);
}

/* What the waiters have waited since they were last charged. Below 0: one joined after `now`. */
static int64_t uncharged_units(uint64_t word, uint64_t now)
{
	uint64_t units = number_of(word) * now - word;
	return (int64_t)(units << (64 - NUMBER_SHIFT)) >> (64 - NUMBER_SHIFT);
}

static uint64_t ns_of(int64_t units)
{
	return units > 0 ? (uint64_t)units << UNIT_SHIFT : 0;
}

static struct bucket *bucket_of(const void *lock)
{
	return &buckets[lock_waiters_hash(lock) >> 48 & (LOCK_WAITERS_BUCKETS - 1)];
}

/* What an entry with this word adds to its word of the filter. */
static uint16_t filter_part(uint64_t word)
{
	if (word == 0 || word == CLAIMED)
		return 0;
	return number_of(word) ? 1 : 1 + LOCK_WAITERS_LEFT;
}

/* Replaces the word; the filter follows it. */
static bool replace(struct lock_waiters *entry, uint64_t *expected, uint64_t word)
{
	if (!cas_acq_rel(&entry->word, expected, word))
		return false;
	uint16_t change = (uint16_t)(filter_part(word) - filter_part(*expected));
	if (change) /* relaxed: the filter may be late, see lock_waiters_look() */
		add_relaxed(&lock_waiters_filter[entry->filter], change);
	return true;
}

static struct lock_waiters *find(struct bucket *bucket, const void *lock)
{
	for (uint32_t i = 0; i < LOCK_WAITERS_SLOTS; i++)
		/* Acquire: pairs with the release of a new key, after its entry. */
		if (load_acquire(&bucket->keys[i]) == (uint64_t)(uintptr_t)lock)
			return &bucket->entries[i];
	return NULL;
}

/* Before the word is replaced: an entry whose word is 0 may be another lock's. */
static uint32_t take_owed(struct lock_waiters *entry)
{
	if (likely(load_relaxed(&entry->owed) == 0))
		return 0;
	/* Relaxed: a count; one that is missed is taken the next time. */
	return atomic_exchange_explicit(&entry->owed, UINT32_C(0), memory_order_relaxed);
}

/* Whether anybody is in an entry with this word. */
static bool has_waiters(uint64_t word)
{
	return number_of(word) != 0 && number_of(word) != NUMBER_CLAIMED;
}

/* Takes one out who leaves uncharged what was waited from `since` on. */
static void leave(struct lock_waiters *entry, uint64_t since)
{
	uint64_t word = load_acquire(&entry->word);
	uint64_t next;
	do {
		if (unlikely(!has_waiters(word)))
			return;
		next = word_of(number_of(word) - 1, word - since);
		/* A wait that is owed keeps the entry, even if it took no time. */
		if (next == 0 && load_relaxed(&entry->owed) != 0)
			next = word_of(0, UINT64_MAX);
	} while (!replace(entry, &word, next));
}

/* Adds one to an entry that had this key. False: it has another one now, or no room. */
static bool enter(struct lock_waiters *entry, const atomic_u64 *key, const void *lock, uint64_t now)
{
	uint64_t word = load_acquire(&entry->word);
	do {
		if (number_of(word) >= NUMBER_CLAIMED - 1)
			return false;
	} while (!replace(entry, &word, word_of(number_of(word) + 1, word + now)));
	if (likely(load_acquire(key) == (uint64_t)(uintptr_t)lock))
		return true;
	leave(entry, now);
	return false;
}

/*
 * Takes an entry of the bucket for itself.  If none is idle, one whose lock nobody waits
 * for, though not all waits were charged: it may have been destroyed.
 */
static struct lock_waiters *seize(struct bucket *bucket)
{
	for (uint32_t i = 0; i < LOCK_WAITERS_SLOTS; i++) {
		uint64_t idle = 0;
		if (cas_acq_rel(&bucket->entries[i].word, &idle, CLAIMED))
			return &bucket->entries[i];
	}
	for (uint32_t i = 0; i < LOCK_WAITERS_SLOTS; i++) {
		struct lock_waiters *entry = &bucket->entries[i];
		uint64_t word = load_acquire(&entry->word);
		if (number_of(word) == 0 && replace(entry, &word, CLAIMED))
			return entry;
	}
	return NULL;
}

/* When the last release was, in units of a ticket: in full, whatever its 32 bits in `released` are. */
static uint64_t time_of_release(const struct lock_waiters *entry, uint64_t released)
{
	/* Relaxed: written before `released`; that of a later release is less than 36 minutes away. */
	uint64_t later = load_relaxed(&entry->released_at);
	return later - (uint64_t)(int64_t)(int32_t)((uint32_t)later - (uint32_t)(released >> 32));
}

/* Takes what is left to a releaser. */
static struct lock_charge take_left(struct lock_waiters *entry)
{
	/* Acquire and release: of two who look, the later one sees what the earlier one did before. */
	uint64_t left = atomic_exchange_explicit(&entry->left, UINT64_C(0), memory_order_acq_rel);
	return (struct lock_charge){.waits = number_of(left), .delay_ns = (left & SUM_MASK) << UNIT_SHIFT};
}

/* Gives an entry of the bucket to the lock, with its first waiter. */
static struct lock_waiters *claim(struct bucket *bucket, const void *lock, uint64_t now)
{
	struct lock_waiters *entry = seize(bucket);
	if (!entry)
		return NULL;
	/* What was for the former lock's releases is not this one's. */
	uint64_t lost = take_owed(entry) + take_left(entry).waits;
	if (unlikely(lost))
		segment_count(CPROF_WAITS_UNTRACKED, lost);
	entry->filter = (uint32_t)(lock_waiters_hash(lock) >> 32) & (LOCK_WAITERS_FILTER_WORDS - 1);
	store_relaxed(&entry->released, UINT64_C(0)); /* published by the key */
	/* Release: pairs with find(). */
	store_release(&bucket->keys[entry - bucket->entries], (uint64_t)(uintptr_t)lock);
	uint64_t claimed = CLAIMED;
	(void)replace(entry, &claimed, word_of(1, now)); /* nobody else touches a claimed one */
	return entry;
}

/* The kernel's signal masks. */
static uint64_t set_mask(uint64_t mask)
{
	uint64_t before = mask;
	if (process_may_call())
		(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, (long)&before, sizeof mask);
	return before;
}

/* False: somebody else has inserted since `inserting` was read. */
static NOINLINE bool insert(struct bucket *bucket, uint32_t inserting, const void *lock, uint64_t now,
			    struct lock_waiters **out_entry)
{
	uint64_t mask = set_mask(~UINT64_C(0));
	bool is_mine = cas_acq_rel(&bucket->inserting, &inserting, inserting + 1);
	if (is_mine) {
		*out_entry = claim(bucket, lock, now);
		store_release(&bucket->inserting, inserting + 2); /* after the key */
	}
	(void)set_mask(mask);
	return is_mine;
}

struct lock_waiters *lock_waiters_join(const void *lock, uint64_t now_ns)
{
	struct bucket *bucket = bucket_of(lock);
	uint64_t now = now_ns >> UNIT_SHIFT;
	for (uint32_t tries = 0; tries < INSERT_TRIES; tries++) {
		uint32_t inserting = load_acquire(&bucket->inserting); /* before the keys are read */
		struct lock_waiters *entry = find(bucket, lock);
		if (entry) {
			if (enter(entry, &bucket->keys[entry - bucket->entries], lock, now))
				return entry;
			continue;
		}
		if (inserting % 2 != 0 || !insert(bucket, inserting, lock, now, &entry))
			continue;
		if (unlikely(!entry))
			break;
		return entry;
	}
	segment_count(CPROF_WAITS_UNTRACKED, 1);
	return NULL;
}

/* Takes out one who has the lock, with all that is uncharged. False: nobody was in. */
static bool take_out(struct lock_waiters *entry, uint64_t now, int64_t *out_units)
{
	uint64_t word = load_acquire(&entry->word);
	uint64_t next;
	do {
		if (unlikely(!has_waiters(word)))
			return false;
		*out_units = uncharged_units(word, now);
		uint64_t others = number_of(word) - 1;
		next = word_of(others, *out_units >= 0 ? others * now : word - now);
	} while (!replace(entry, &word, next));
	return true;
}

/*
 * How the release that `released` tells of is recorded.  If there was another one since, its
 * scale is the same but at a change of the fraction; its labels may not be.
 */
static struct lock_releaser releaser_of(const struct lock_waiters *entry, uint64_t released)
{
	/* Acquire: written before `released`, and before a later release writes that. */
	uint64_t how = load_acquire(&entry->how);
	if ((uint32_t)released == STACK_NOT_SAMPLED)
		return (struct lock_releaser){.stack = 0};
	bool is_its = load_relaxed(&entry->released) == released;
	return (struct lock_releaser){.stack = (uint32_t)released,
				      .scale = (uint32_t)how,
				      .labels = is_its ? (uint32_t)(how >> 32) : 0};
}

bool lock_waiters_acquire(struct lock_waiters *entry, uint64_t start_ns, uint64_t now_ns,
			  struct lock_charge *out_charge, struct lock_releaser *out_releaser)
{
	uint64_t now = now_ns >> UNIT_SHIFT;
	uint64_t released = load_acquire(&entry->released); /* pairs with lock_waiters_release_end() */
	if (released == 0 || time_of_release(entry, released) < start_ns >> TICKET_SHIFT) {
		lock_waiters_give_up(entry, now_ns);
		return false;
	}
	uint64_t waits = 1 + take_owed(entry);
	int64_t units;
	if (unlikely(!take_out(entry, now, &units))) {
		segment_count(CPROF_WAITS_UNTRACKED, waits);
		return false;
	}
	*out_charge = (struct lock_charge){.waits = waits, .delay_ns = ns_of(units)};
	if ((uint32_t)released == STACK_PENDING) {
		uint64_t left = word_of(waits, units > 0 ? (uint64_t)units : 0);
		/* (C) acquire and release: see lock_waiters.h. */
		(void)atomic_fetch_add_explicit(&entry->left, left, memory_order_acq_rel);
		released = load_acquire(&entry->released);
		if ((uint32_t)released == STACK_PENDING)
			return false;
		*out_charge = take_left(entry);
	}
	*out_releaser = releaser_of(entry, released);
	return true;
}

uint32_t lock_waiters_releases(const struct lock_waiters *entry)
{
	return load_relaxed(&entry->releases); /* the lock itself orders a release before what follows it */
}

uint64_t lock_waiters_uncharged_ns(const struct lock_waiters *entry, uint64_t now_ns)
{
	return ns_of(uncharged_units(load_acquire(&entry->word), now_ns >> UNIT_SHIFT));
}

void lock_waiters_acquire_unseen(struct lock_waiters *entry, uint64_t now_ns)
{
	int64_t units;
	segment_count(CPROF_WAITS_UNTRACKED, UINT64_C(1) + take_owed(entry));
	(void)take_out(entry, now_ns >> UNIT_SHIFT, &units);
}

void lock_waiters_give_up(struct lock_waiters *entry, uint64_t now_ns)
{
	add_relaxed(&entry->owed, UINT32_C(1)); /* ordered by the CAS that follows */
	leave(entry, now_ns >> UNIT_SHIFT);
}

void lock_waiters_cancel(struct lock_waiters *entry, uint64_t start_ns)
{
	leave(entry, start_ns >> UNIT_SHIFT);
}

void lock_waiters_abandon(const void *lock, uint64_t start_ns)
{
	struct lock_waiters *entry = find(bucket_of(lock), lock);
	if (entry)
		leave(entry, start_ns >> UNIT_SHIFT);
}

bool lock_waiters_release_begin(const void *lock, uint64_t now_ns, uint64_t delay_ns_min,
				struct lock_release *out_release)
{
	struct lock_waiters *entry = find(bucket_of(lock), lock);
	if (!entry)
		return false;
	uint64_t now = now_ns >> UNIT_SHIFT;
	uint64_t word = load_acquire(&entry->word);
	uint64_t number;
	uint32_t owed = 0;
	int64_t units;
	if (has_waiters(word))
		add_relaxed(&entry->releases, UINT32_C(1)); /* see lock_waiters_releases() */
	do {
		number = number_of(word);
		units = uncharged_units(word, now);
		if (word == 0 || number == NUMBER_CLAIMED ||
		    (number > 0 && (units <= 0 || ns_of(units) < delay_ns_min))) {
			if (unlikely(owed))
				add_relaxed(&entry->owed, owed); /* put back */
			return false;
		}
		owed += take_owed(entry);
	} while (!replace(entry, &word, word_of(number, number * now)));
	out_release->entry = entry;
	out_release->charge = (struct lock_charge){.waits = owed, .delay_ns = ns_of(units)};
	out_release->waiters = (uint32_t)number;
	out_release->ticket = now_ns >> TICKET_SHIFT << 32 | STACK_PENDING;
	if (number > 0) {
		store_relaxed(&entry->released_at, now_ns >> TICKET_SHIFT); /* published by `released` */
		store_release(&entry->released, out_release->ticket); /* a stack of before is no longer it */
	}
	return true;
}

struct lock_charge lock_waiters_release_end(const struct lock_release *release, struct lock_releaser releaser)
{
	struct lock_waiters *entry = release->entry;
	uint64_t ticket = release->ticket;
	if (release->waiters == 0)
		return (struct lock_charge){.waits = 0, .delay_ns = 0};
	/* Of another release that was sampled since: who acquires meanwhile notices, see releaser_of(). */
	if (releaser.scale)
		store_release(&entry->how, (uint64_t)releaser.labels << 32 | releaser.scale); /* by the CAS */
	uint32_t stack = releaser.scale ? releaser.stack : STACK_NOT_SAMPLED;
	/* (A) */
	(void)cas_acq_rel(&entry->released, &ticket, (ticket & ~UINT64_C(0xffffffff)) | stack);
	return take_left(entry); /* (B) */
}

void lock_waiters_release_undo(const struct lock_release *release)
{
	struct lock_waiters *entry = release->entry;
	uint64_t units = release->charge.delay_ns >> UNIT_SHIFT;
	uint64_t word = load_acquire(&entry->word);
	/* Without a waiter it may be another lock's by now; then nobody is left to be charged. */
	while (has_waiters(word) && !replace(entry, &word, word_of(number_of(word), word - units)))
		;
	add_relaxed(&entry->owed, (uint32_t)release->charge.waits); /* a count */
}

void lock_waiters_forget(void)
{
	/* No other thread is here yet. */
	for (uint32_t b = 0; b < LOCK_WAITERS_BUCKETS; b++) {
		store_relaxed(&buckets[b].inserting, UINT32_C(0));
		for (uint32_t i = 0; i < LOCK_WAITERS_SLOTS; i++) {
			store_relaxed(&buckets[b].entries[i].word, UINT64_C(0));
			store_relaxed(&buckets[b].entries[i].owed, UINT32_C(0));
			store_relaxed(&buckets[b].entries[i].left, UINT64_C(0));
			store_relaxed(&buckets[b].keys[i], UINT64_C(0));
		}
	}
	for (uint32_t i = 0; i < LOCK_WAITERS_FILTER_WORDS; i++)
		store_relaxed(&lock_waiters_filter[i], (uint16_t)0);
}
