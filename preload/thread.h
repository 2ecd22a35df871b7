/* SPDX-License-Identifier: MIT */
/*
 * The calling thread as cprof sees it: its thread-local state, its slot in the
 * segment, and the guard under which anything is recorded.
 *
 * Life of a thread:
 *
 *   NEW --pthread_create's trampoline, or first sample--> LIVE --last TSD round--> GONE
 *
 * In GONE (the last instants of a thread) and when no slot is free, samples are
 * recorded all the same: with a scratch buffer borrowed from a small common pool,
 * straight into the totals.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_THREAD_H
#define PRELOAD_THREAD_H

#include "cprof_compiler.h"
#include "cprof_shm.h"
#include "unwind.h"

enum thread_state {
	THREAD_NEW = 0, /* what a new thread's zeroed TLS says */
	THREAD_LIVE,
	THREAD_GONE
};

/* Initial-exec TLS, reserved by the loader at start; keep it under 64 bytes. */
struct thread_tls {
	uint64_t
		countdown_bytes; /* allocation bytes until the next heap sample; the fast path's only state */
	struct cprof_thread *slot;
	uint64_t random_state;
	uint64_t drawn_rate_bytes; /* the heap rate that countdown_bytes was drawn with; 0: off */
	int32_t timer_id;
	uint8_t nesting;
	uint8_t state; /* enum thread_state */
	bool has_timer;
	uint8_t sigprof_witness;  /* the program believes SIGPROF blocked: see signal_mask.h; 0: open */
	bool sigprof_is_programs; /* given up to the program: as above */
	uint8_t exit_rounds;
	uint16_t timer_hz;           /* the rate that the CPU timer was armed with; 0: at rest */
	uint32_t labels;             /* id of the label set in force; 0: none */
	struct unwind_bounds bounds; /* of the thread's stack; both 0 if not known */
};
_Static_assert(sizeof(struct thread_tls) <= 64, "static TLS is scarce");

extern __thread struct thread_tls thread_tls __attribute__((visibility("hidden"), tls_model("initial-exec")));

/* What a recording needs: given out by guard_enter(), taken back by guard_leave(). */
struct guard {
	struct cprof_thread *slot; /* NULL: record straight into the totals */
	uint64_t *frames;          /* CPROF_STACK_FRAMES_MAX words, or NULL: record without a stack */
	struct unwind_bounds bounds;
	int32_t pool_index; /* of the borrowed scratch, or -1 */
	uint32_t level;     /* how many guards this one interrupted */
};

/*
 * Begins a recording on this thread: makes sure that the process has a segment and
 * the thread a slot.  False: nothing may be recorded (no segment, cprof is off, or
 * still starting).  Nests: a handler may enter while the thread is inside.  If it jumps
 * out of there, its level is free again once the thread has left that part of its stack.
 */
bool guard_enter(struct guard *out_guard);
void guard_leave(struct guard *guard);

/* Takes a free slot for a thread that is about to start; NULL if there is none. */
struct cprof_thread *thread_slot_take(void);
/* Gives back a slot whose thread did not start. */
void thread_slot_untake(struct cprof_thread *slot);

/*
 * Makes the calling thread LIVE with this slot, or with a slot of its own if `slot` is
 * NULL, and starts its CPU timer.  `bounds` are those of its stack, or both 0.
 */
void thread_attach(struct cprof_thread *slot, const struct unwind_bounds *bounds);

/* The calling thread ends: its timer is deleted, its slot left to the collector. */
void thread_detach(void);

/* In a forked child, before its first recording: forgets what belongs to the parent. */
void thread_forget(void);

/*
 * Whether code that runs at the stack address `here` shows that a frame at `frame` is gone,
 * as after a jump: it has not interrupted that.  For rare cases: may ask the kernel.
 */
bool thread_has_left(uint64_t frame, uint64_t here, const struct unwind_bounds *bounds);

/* The main thread's stack, measured at start. */
extern struct unwind_bounds thread_main_bounds;

/* Kernel thread id of the caller. */
uint32_t thread_id(void);

/* Draws 64 random bits from the thread's generator. */
uint64_t thread_random(void);

#endif
