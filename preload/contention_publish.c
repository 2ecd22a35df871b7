/* SPDX-License-Identifier: MIT */
/*
 * The writer's side of the sequence lock.  A handler that interrupts the writer finds
 * the sequence odd and shows nothing of its own waits.
 *
 * A wait that this one interrupted has its caller's frame above ours.  What was shown by
 * frames that are gone is known by lying below, or where we are; a wait that begins
 * deeper takes it for one that it interrupted, until one begins higher up.
 *
 * Context: any (async-signal-safe).
 */
#include "contention_publish.h"

#include <stddef.h>

#include "cprof_compiler.h"

static void read_shown(const struct cprof_waiting *shown, struct publication *out_publication)
{
	/* Relaxed: only this thread writes them. */
	out_publication->what = load_relaxed(&shown->what);
	out_publication->object = load_relaxed(&shown->object);
	out_publication->since_ns = load_relaxed(&shown->since_ns);
	out_publication->function = load_relaxed(&shown->function);
	out_publication->pc = load_relaxed(&shown->pc);
	out_publication->sp = load_relaxed(&shown->sp);
	out_publication->fp = load_relaxed(&shown->fp);
}

static void show(struct cprof_waiting *shown, const struct publication *publication)
{
	uint32_t sequence = load_relaxed(&shown->sequence); /* only this thread writes it */
	store_relaxed(&shown->sequence, sequence + 1);
	/* Release, each: a reader that sees the new field sees the odd sequence. */
	store_release(&shown->what, publication->what);
	store_release(&shown->object, publication->object);
	store_release(&shown->since_ns, publication->since_ns);
	store_release(&shown->function, publication->function);
	store_release(&shown->pc, publication->pc);
	store_release(&shown->sp, publication->sp);
	store_release(&shown->fp, publication->fp);
	store_release(&shown->sequence, sequence + 2);
}

static bool is_being_written(const struct cprof_waiting *shown)
{
	return load_relaxed(&shown->sequence) % 2 != 0; /* by the code that this handler interrupted */
}

void contention_publish(struct published *out_published, struct cprof_thread *slot,
			const struct publication *publication, struct publication *out_stale)
{
	out_published->slot = NULL;
	out_stale->what = CPROF_WAIT_NONE;
	if (!slot || is_being_written(&slot->waiting))
		return;
	out_published->slot = slot;
	out_published->outer.what = load_relaxed(&slot->waiting.what); /* as all of them */
	if (unlikely(out_published->outer.what != CPROF_WAIT_NONE)) {
		read_shown(&slot->waiting, &out_published->outer);
		if (out_published->outer.sp <= publication->sp) {
			*out_stale = out_published->outer;
			out_published->outer.what = CPROF_WAIT_NONE;
		}
	}
	show(&slot->waiting, publication);
}

void contention_withdraw(const struct published *published)
{
	if (!published->slot)
		return;
	struct cprof_waiting *shown = &published->slot->waiting;
	if (unlikely(published->outer.what != CPROF_WAIT_NONE)) {
		show(shown, &published->outer);
		return;
	}
	/* The other fields mean nothing without it, and one store needs no sequence. */
	store_release(&shown->what, (uint32_t)CPROF_WAIT_NONE);
}

void contention_withdraw_all(struct cprof_thread *slot, struct publication *out_stale)
{
	read_shown(&slot->waiting, out_stale);
	store_release(&slot->waiting.what, (uint32_t)CPROF_WAIT_NONE);
}
