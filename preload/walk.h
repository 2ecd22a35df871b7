/* SPDX-License-Identifier: MIT */
/*
 * One walk in progress: the state that the unwinder's parts share.
 *
 *   unwind.c      the loop, and the frames whose rules are cached
 *   walk_cfi.c    a frame by its object's call frame information
 *   walk_guess.c  a frame without such information
 *
 * A walk lives on the stack of a signal handler, which may be tiny: the parts call each
 * other from the loop only, one after the other, and keep what is large in here.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_WALK_H
#define PRELOAD_WALK_H

#include "arch_x86_64.h"
#include "cfi.h"
#include "cprof_compiler.h"
#include "cprof_shm.h"
#include "dwarf_expression.h"
#include "rule_cache.h"
#include "safe_read.h"
#include "unwind.h"

/* What a part did, or what is to be done next. */
enum step {
	STEP_DONE,            /* the registers are those of a caller, which was not emitted yet */
	STEP_BY_ROW,          /* emitted; to be undone by w->row */
	STEP_WITHOUT_CFI,     /* emitted; its object has no call frame information for it */
	STEP_OUTSIDE_OBJECTS, /* in no object; not emitted */
	STEP_FROM_NOWHERE,    /* cannot be code; not emitted */
	STEP_IS_OUTERMOST,    /* from here on: the walk has ended */
	STEP_IS_BROKEN,
	STEP_IS_TRUNCATED
};

struct walk {
	struct dwarf_machine machine; /* the current frame's registers */
	struct safe_reader reader;
	const struct unwind_regs *start;
	uint64_t *first;        /* of the caller's buffer */
	uint64_t *frame;        /* where the next one is written */
	uint64_t *frames_end;   /* of the room for frames: the reader's chunk may lie behind it */
	uint64_t *frames_limit; /* of the caller's buffer */
	uint64_t verified_rows; /* bits of rows below 64 whose objects were seen to be loaded */
	uint64_t cfa_low;       /* the cached walk handles a CFA in [cfa_low, cfa_low + cfa_span] */
	uint64_t cfa_span;
	const struct cfi_table *table; /* what w->row refers to */
	struct cfi_row row;
	uint32_t object_row; /* of the module that w->row is of */
	uint32_t generation; /* of all rules used */
	bool is_hidden;      /* that module is cprof itself */
	bool is_exact;       /* machine.pc is an interrupted instruction */
};

static ALWAYS_INLINE bool walk_is_code_address(uint64_t pc)
{
	return pc - ARCH_CODE_START < ARCH_CODE_END - ARCH_CODE_START;
}

/* Ends the use of the buffer's tail as scratch, if it still is.  Returns false if the buffer is full. */
static inline bool walk_make_room(struct walk *w)
{
	if (!w->reader.chunk)
		return false;
	safe_reader_drop_chunk(&w->reader);
	w->frames_end = w->frames_limit;
	return true;
}

/* Returns STEP_DONE or STEP_IS_TRUNCATED. */
static inline enum step walk_emit(struct walk *w, uint64_t frame)
{
	if (w->frame == w->frames_end && !walk_make_room(w))
		return STEP_IS_TRUNCATED;
	*w->frame++ = w->is_exact ? frame | CPROF_FRAME_EXACT : frame;
	return STEP_DONE;
}

/* Moves to a caller that was found at a return address. */
static inline enum step walk_move(struct walk *w, uint64_t pc, uint64_t sp, uint64_t fp, uint64_t bx)
{
	/* Only an interrupted function may have popped its return address. */
	bool is_up = sp > w->machine.sp || (w->is_exact && sp == w->machine.sp);
	w->machine.pc = pc;
	w->machine.sp = sp;
	w->machine.fp = fp;
	w->machine.bx = bx;
	w->machine.context = NULL;
	w->is_exact = false;
	return is_up ? STEP_DONE : STEP_IS_BROKEN;
}

/* Emits the frame at a pc that no cached rule covers and finds its row. */
enum step walk_read_cfi(struct walk *w);

/* Caches w->row, if a rule can say it. */
void walk_learn_row(struct walk *w);

/* Undoes a frame by w->row. */
enum step walk_apply_row(struct walk *w);

/* Undoes a frame in an object, but without call frame information. */
enum step walk_guess_in_object(struct walk *w);

/* Emits and undoes a frame outside all objects: code made at run time, or a wrong turn. */
enum step walk_guess_outside(struct walk *w);

/* For a pc that cannot be code: a call through a null pointer, or a wrong turn, or the end. */
enum step walk_guess_from_nowhere(struct walk *w);

#endif
