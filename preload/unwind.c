/* SPDX-License-Identifier: MIT */
/*
 * Two loops in one: while the rules of the pcs are in the cache, walk_cached() goes
 * from frame to frame with everything in registers.  At a pc that is new, or whose rule
 * is too unusual to be cached, one step is taken by the call frame information itself
 * (walk_cfi.c), or by guessing where there is none (walk_guess.c).
 *
 * Every step moves the stack pointer up, except out of a signal handler, which may run
 * on another stack; and a walk is as long as its buffer at most.
 *
 * Context: any (async-signal-safe).
 */
#include "unwind.h"

#include "modules.h"
#include "walk.h"

void unwind_forbid_syscalls(void)
{
	safe_read_forbid_calls();
}

void unwind_regs_from_context(const ucontext_t *context, struct unwind_regs *out_regs)
{
	out_regs->pc = arch_context_pc(context);
	out_regs->sp = arch_context_sp(context);
	out_regs->fp = arch_context_fp(context);
	out_regs->bx = arch_context_bx(context);
	out_regs->pc_is_exact = true;
	out_regs->bx_is_known = true;
	out_regs->context = context;
}

static ALWAYS_INLINE bool is_verified(const struct walk *w, uint32_t row)
{
	return row < 64 && (w->verified_rows >> row & 1);
}

/* Whether the row's object is still loaded.  If not, the walk goes on in the new generation. */
static NOINLINE bool verify_row(struct walk *w, uint32_t row)
{
	bool is_loaded = modules_revalidate(row);
	if (is_loaded && row < 64)
		w->verified_rows |= UINT64_C(1) << row;
	if (!is_loaded)
		w->generation = load_acquire(&modules_generation); /* pairs with the release at its change */
	return is_loaded;
}

/*
 * The frame of a cached rule after which the walk cannot go on by rules.  Returns how it
 * ends or goes on; STEP_DONE if the rule cannot be used because its object is gone.
 */
static NOINLINE enum step end_cached(struct walk *w, uint64_t rule)
{
	uint32_t row = rule_row(rule);
	if (!is_verified(w, row) && !verify_row(w, row))
		return STEP_DONE;
	enum step step = rule & RULE_HIDDEN ? STEP_DONE
					    : walk_emit(w, w->machine.pc + modules_frame_base[row]);
	if (step != STEP_DONE)
		return step;
	return rule_shape(rule) == RULE_OUTERMOST ? STEP_IS_OUTERMOST : STEP_WITHOUT_CFI;
}

/* The state of a walk by cached rules: in registers, since stores through `frame` might alias *w. */
struct cached {
	uint64_t pc, sp, fp, bx;
	uint64_t *frame;
	uint64_t *frames_end;
	uint64_t frame_base; /* of the row that is verified */
	uint32_t verified;   /* as rule_row_bits() */
};

enum undone { UNDONE, UNDONE_NOT, UNDONE_IS_LAST, UNDONE_IS_FULL };

/* Goes from a frame to its caller by the rule of its pc, if it is one by which that can be. */
static ALWAYS_INLINE enum undone undo_cached(struct walk *w, struct cached *at, uint64_t rule)
{
	uint64_t offset = (uint64_t)rule_offset(rule);
	uint64_t cfa = at->sp + offset, saved_base = cfa;
	bool is_ordinary = rule_is_ordinary_in(rule, at->verified);
	if (unlikely(!is_ordinary)) {
		enum rule_shape shape = rule_shape(rule);
		if (shape == RULE_BY_FP || shape == RULE_BY_BX) {
			saved_base = cfa = (shape == RULE_BY_FP ? at->fp : at->bx) + offset;
		} else if (shape == RULE_REALIGNED) {
			uint64_t place = at->fp + offset;
			saved_base = at->fp + 16;
			if (at->fp - w->cfa_low > w->cfa_span || !safe_read_is_near(&w->reader, place))
				return UNDONE_NOT;
			cfa = *(const uint64_t *)(uintptr_t)place;
			if (cfa < saved_base)
				return UNDONE_NOT;
		} else if (shape != RULE_BY_SP) {
			return UNDONE_IS_LAST;
		}
		if (cfa <= at->sp)
			return UNDONE_NOT;
		if (rule_row_bits(rule) != at->verified) {
			uint32_t row = rule_row(rule);
			if (unlikely(!is_verified(w, row)) && !verify_row(w, row))
				return UNDONE_NOT;
			at->verified = rule_row_bits(rule);
			at->frame_base = modules_frame_base[row];
		}
	}
	if (unlikely(cfa - w->cfa_low > w->cfa_span))
		return UNDONE_NOT;
	if (likely(is_ordinary) || !(rule & RULE_HIDDEN)) {
		if (unlikely(at->frame == at->frames_end)) {
			if (!walk_make_room(w))
				return UNDONE_IS_FULL;
			at->frames_end = w->frames_end;
		}
		*at->frame++ = at->pc + at->frame_base;
	}
	uint64_t saved_fp = *(const uint64_t *)(uintptr_t)(saved_base + (uint64_t)rule_fp(rule) * 8);
	uint64_t saved_bx = *(const uint64_t *)(uintptr_t)(saved_base + (uint64_t)rule_bx(rule) * 8);
	at->fp = rule_fp(rule) == RULE_UNCHANGED ? at->fp : saved_fp;
	at->bx = rule_bx(rule) == RULE_UNCHANGED ? at->bx : saved_bx;
	at->pc = *(const uint64_t *)(uintptr_t)(cfa + (uint64_t)ARCH_RA_CFA_OFFSET);
	at->sp = cfa;
	return UNDONE;
}

/*
 * Walks while rules are cached and the stack is directly readable.  Returns how the walk
 * ended, or with the registers of a frame that needs another way: STEP_DONE (not
 * emitted yet) or STEP_WITHOUT_CFI.
 *
 * Each frame waits for the one before it: pc -> entry -> offset -> return address, two loads
 * and what is between them.  So the caller's entry is guessed (rule_cache.h): while guesses are
 * right, which a predicted branch finds out, the chain is entry -> entry, one load.  All else is
 * kept off it too: what is checked is checked by branches, and saved registers are loaded
 * whether they were saved or not.  A wrong pc needs no check, for it has no rule.
 */
static HOT NOINLINE enum step walk_cached(struct walk *w)
{
	const uint64_t exact_bits = rule_cache_key_bits(w->generation, true);
	const uint64_t key_bits = rule_cache_key_bits(w->generation, false);
	struct cached at = {
		.pc = w->machine.pc,
		.sp = w->machine.sp,
		.fp = w->machine.fp,
		.bx = w->machine.bx,
		.frame = w->frame,
		.frames_end = w->frames_end,
		.verified = RULE_ROW_BITS_NONE,
	};
	enum undone undone = UNDONE;
	struct rule_cache_entry *entry;
	uint64_t rule = 0;

	if (w->is_exact) {
		uint64_t *leaf = at.frame;
		entry = rule_cache_find(at.pc ^ exact_bits, true, &rule);
		if (entry)
			undone = undo_cached(w, &at, rule);
		if (entry && undone == UNDONE) {
			if (leaf < at.frame)
				*leaf |= CPROF_FRAME_EXACT;
			w->is_exact = false;
			w->machine.context = NULL;
			entry = rule_cache_find_caller(entry, at.pc ^ key_bits, &rule);
		}
	} else {
		entry = rule_cache_find(at.pc ^ key_bits, false, &rule);
	}
	while (entry && undone == UNDONE) {
		undone = undo_cached(w, &at, rule);
		if (likely(undone == UNDONE))
			entry = rule_cache_find_caller(entry, at.pc ^ key_bits, &rule);
	}
	w->frame = at.frame;
	w->machine.pc = at.pc;
	w->machine.sp = at.sp;
	w->machine.fp = at.fp;
	w->machine.bx = at.bx;
	if (undone == UNDONE_IS_LAST)
		return end_cached(w, rule);
	return undone == UNDONE_IS_FULL ? STEP_IS_TRUNCATED : STEP_DONE;
}

static ALWAYS_INLINE enum step next_step(struct walk *w, enum step step)
{
	switch (step) {
	case STEP_BY_ROW:
		walk_learn_row(w);
		return walk_apply_row(w);
	case STEP_WITHOUT_CFI:
		return walk_guess_in_object(w);
	case STEP_OUTSIDE_OBJECTS:
		return walk_guess_outside(w);
	case STEP_FROM_NOWHERE:
		return walk_guess_from_nowhere(w);
	default:
		step = walk_cached(w);
		return step == STEP_DONE ? walk_read_cfi(w) : step;
	}
}

uint32_t unwind_walk(const struct unwind_regs *regs, const struct unwind_bounds *bounds, uint64_t *frames,
		     uint32_t frames_max, uint16_t *out_flags)
{
	const uint32_t chunk_words = SAFE_READ_CHUNK_BYTES / sizeof(uint64_t);
	bool has_chunk = frames_max >= chunk_words;
	enum step step = STEP_DONE;
	struct walk w;

	w.machine.pc = regs->pc;
	w.machine.sp = regs->sp;
	w.machine.fp = regs->fp;
	w.machine.bx = regs->bx_is_known ? regs->bx : 0;
	w.machine.context = regs->context;
	w.machine.memory = &w.reader;
	w.start = regs;
	w.first = frames;
	w.frame = frames;
	w.frames_end = frames + frames_max - (has_chunk ? chunk_words : 0);
	w.frames_limit = frames + frames_max;
	w.verified_rows = modules_pinned_rows();
	w.generation = load_acquire(&modules_generation); /* pairs with the release at its change */
	w.is_exact = regs->pc_is_exact;

	safe_reader_init(&w.reader, bounds->low, bounds->high, has_chunk ? w.frames_end : NULL);
	if (bounds->high > bounds->low && bounds->high - bounds->low > RULE_SAVED_BYTES_MAX) {
		w.cfa_low = bounds->low + RULE_SAVED_BYTES_MAX;
		w.cfa_span = bounds->high - w.cfa_low;
	} else {
		w.cfa_low = UINT64_MAX; /* no address is in range but this, and it is no CFA */
		w.cfa_span = 0;
	}
	while (step < STEP_IS_OUTERMOST)
		step = next_step(&w, step);
	*out_flags = step == STEP_IS_BROKEN      ? CPROF_STACK_BROKEN
		     : step == STEP_IS_TRUNCATED ? CPROF_STACK_TRUNCATED
						 : 0;
	return (uint32_t)(w.frame - frames);
}
