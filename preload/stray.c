/* SPDX-License-Identifier: MIT */
/*
 * A small table of thread ids.  An entry is its thread's from stray_begin() to its
 * burial; whoever changes one first makes its tid BUSY, by CAS.
 *
 * Context: any (async-signal-safe).
 */
#include "stray.h"

#include <errno.h>

#include "cprof_atomic.h"
#include "process.h"
#include "sys.h"

#define FREE UINT32_C(0)
#define BUSY UINT32_MAX /* no thread id */
/* Looked at for each newcomer: more than one, so that the dead become fewer. */
#define LOOKED_AT 8

static struct {
	atomic_u32 tid;
	int32_t timer_id; /* of the entry's owner: who made it BUSY, or its living thread */
	struct cprof_thread *slot;
} strays[STRAYS_MAX];

/* Where to look next; a hint, any thread writes it. */
static atomic_u32 look_hint;
/* Whether any entry was ever used: most programs have no stray threads. */
static atomic_u32 has_strays;

/* Frees the entry if its thread is no more. */
static void bury(uint32_t at, uint32_t pid)
{
	uint32_t tid = load_acquire(&strays[at].tid); /* pairs with the release in stray_remember() */
	if (tid == FREE || tid == BUSY || sys_call3(SYS_tgkill, pid, tid, 0) != -ESRCH ||
	    !cas_acq_rel(&strays[at].tid, &tid, BUSY))
		return;
	if (strays[at].timer_id >= 0)
		(void)sys_call1(SYS_timer_delete, strays[at].timer_id);
	if (strays[at].slot)
		store_release(&strays[at].slot->state,
			      (uint32_t)CPROF_THREAD_ENDED); /* after its last record */
	store_release(&strays[at].tid, FREE);                /* the entry was read */
}

/* Takes the first free entry, or -1. */
static int take(void)
{
	for (uint32_t at = 0; at < STRAYS_MAX; at++) {
		uint32_t tid = FREE;
		if (load_relaxed(&strays[at].tid) == FREE && /* the CAS decides */
		    cas_acq_rel(&strays[at].tid, &tid, BUSY))
			return (int)at;
	}
	return -1;
}

int stray_begin(uint32_t tid)
{
	uint32_t pid = (uint32_t)sys_call0(SYS_getpid);
	uint32_t from = add_relaxed(&look_hint, LOOKED_AT); /* a hint */
	store_relaxed(&has_strays, UINT32_C(1));            /* for this thread, which alone must see it */
	for (uint32_t i = 0; i < LOOKED_AT; i++)
		bury((from + i) % STRAYS_MAX, pid);
	int at = take();
	for (uint32_t i = 0; i < STRAYS_MAX && at < 0; i++)
		bury(i, pid);
	if (at < 0)
		at = take();
	if (at >= 0) {
		strays[at].slot = NULL;
		strays[at].timer_id = -1;
		store_release(&strays[at].tid, tid); /* the entry is complete */
	}
	return at;
}

void stray_remember(int at, struct cprof_thread *slot, int32_t timer_id)
{
	strays[at].slot = slot;
	strays[at].timer_id = timer_id;
	/* Release: who finds the thread dead, by the tid, sees what it had. */
	store_release(&strays[at].tid, load_relaxed(&strays[at].tid)); /* its own */
}

void stray_leave(uint32_t tid)
{
	/* Relaxed: what this thread itself has stored. */
	for (uint32_t at = 0; load_relaxed(&has_strays) && at < STRAYS_MAX; at++) {
		if (load_relaxed(&strays[at].tid) != tid)
			continue;
		/* One from before the trampoline gave it its own. */
		if (strays[at].slot && strays[at].slot != thread_tls.slot)
			store_release(&strays[at].slot->state, (uint32_t)CPROF_THREAD_ENDED);
		store_release(&strays[at].tid, FREE); /* nobody buries a thread that lives */
	}
}

void stray_forget(void)
{
	for (uint32_t at = 0; at < STRAYS_MAX; at++)
		store_relaxed(&strays[at].tid, FREE); /* one thread so far */
	store_relaxed(&has_strays, UINT32_C(0));
}
