/* SPDX-License-Identifier: MIT */
/*
 * Two loops in one: while the rules of the pcs are in the cache, walk_cached() goes
 * from frame to frame with everything in registers.  Where a pc is new, or its rule is
 * too unusual to be cached (signal frames, rules by expressions or by other
 * registers), step_by_cfi() takes that one step from the call frame information itself.
 *
 * Code without call frame information (JIT code, some assembly) is stepped over by the
 * frame pointer if that looks like one.
 *
 * Every step moves the stack pointer up, except out of a signal handler, which may run
 * on another stack; so a walk ends whatever it finds.
 *
 * Context: any (async-signal-safe).  The deepest path uses less than 600 bytes of stack.
 */
#include "unwind.h"

#include <errno.h>

#include "arch_x86_64.h"
#include "cprof_compiler.h"
#include "dwarf_expression.h"
#include "modules.h"
#include "rule_cache.h"
#include "rule_encode.h"
#include "safe_read.h"
#include "segment.h"

/* How far up the return address of a function without call frame information is searched. */
#define SEARCHED_WORDS 16

enum step { STEP_GOES_ON, STEP_WITHOUT_CFI, STEP_IS_OUTERMOST, STEP_IS_BROKEN, STEP_IS_TRUNCATED };

struct walk {
	struct dwarf_machine machine; /* the current frame's registers */
	struct safe_reader reader;
	uint64_t *frame;        /* where the next one is written */
	uint64_t *frames_end;   /* of the room for frames: the reader's chunk may lie behind it */
	uint64_t *frames_limit; /* of the caller's buffer */
	uint64_t verified_rows; /* bits of rows below 64 whose objects were seen to be loaded */
	uint64_t cfa_low;       /* walk_cached() handles a CFA in [cfa_low, cfa_low + cfa_span] */
	uint64_t cfa_span;
	uint32_t generation; /* of all rules used */
	bool is_exact;       /* machine.pc is an interrupted instruction */
};

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

static ALWAYS_INLINE bool is_code_address(uint64_t pc)
{
	return pc - ARCH_CODE_START < ARCH_CODE_END - ARCH_CODE_START;
}

/* ---- single steps ------------------------------------------------------------------------------ */

/* Ends the use of the buffer's tail as scratch, if it still is.  Returns false if the buffer is full. */
static COLD bool make_room(struct walk *w)
{
	if (!w->reader.chunk)
		return false;
	safe_reader_drop_chunk(&w->reader);
	w->frames_end = w->frames_limit;
	return true;
}

static enum step emit(struct walk *w, uint64_t frame)
{
	if (w->frame == w->frames_end && !make_room(w))
		return STEP_IS_TRUNCATED;
	*w->frame++ = w->is_exact ? frame | CPROF_FRAME_EXACT : frame;
	return STEP_GOES_ON;
}

/* Moves to a caller that was found at a return address. */
static enum step move(struct walk *w, uint64_t pc, uint64_t sp, uint64_t fp, uint64_t bx)
{
	bool was_exact = w->is_exact;
	/* Only an interrupted function may have popped its return address. */
	bool is_up = sp > w->machine.sp || (was_exact && sp == w->machine.sp);
	w->machine.pc = pc;
	w->machine.sp = sp;
	w->machine.fp = fp;
	w->machine.bx = bx;
	w->machine.context = NULL;
	w->is_exact = false;
	return is_up ? STEP_GOES_ON : STEP_IS_BROKEN;
}

/* Frames are linked within one stack. */
static bool is_plausible_frame_pointer(const struct walk *w)
{
	const uint64_t frame_bytes_max = UINT64_C(1) << 20;
	uint64_t sp = w->machine.sp, fp = w->machine.fp;
	if (fp % 8 != 0 || fp < sp)
		return false;
	return safe_read_is_near(&w->reader, sp) ? safe_read_is_near(&w->reader, fp) : fp - sp < frame_bytes_max;
}

/* Whether pc is the address behind a call instruction of a loaded object. */
static bool is_return_address(uint64_t pc)
{
	struct module_ref ref;
	if (!is_code_address(pc) || !modules_lookup(pc, &ref) || ref.row == CPROF_MODULE_NONE)
		return false;
	/* The text range: other parts of an image need not be readable. */
	const struct cprof_module *module = segment_module(ref.row);
	return pc >= module->text_start + ARCH_CALL_BYTES_MAX && pc < module->text_end &&
	       arch_is_after_call((const uint8_t *)(uintptr_t)pc);
}

/*
 * An interrupted function of which nothing is known (assembly without call frame
 * information, a jump to nowhere): it has pushed a few registers at most, so the first
 * word that looks like a return address is its own.
 */
static enum step step_by_search(struct walk *w)
{
	for (uint32_t i = 0; w->is_exact && i < SEARCHED_WORDS; i++) {
		uint64_t place = w->machine.sp + i * sizeof(uint64_t), pc;
		if (!safe_read_word(&w->reader, place, &pc))
			break;
		if (is_return_address(pc))
			return move(w, pc, place + sizeof(uint64_t), w->machine.fp, w->machine.bx);
	}
	return STEP_IS_BROKEN;
}

static NOINLINE enum step step_by_frame_pointer(struct walk *w)
{
	uint64_t fp, pc;
	if (w->machine.fp == 0)
		return STEP_IS_OUTERMOST;
	if (!is_plausible_frame_pointer(w) || !safe_read_word(&w->reader, w->machine.fp, &fp) ||
	    !safe_read_word(&w->reader, w->machine.fp + 8, &pc) || (pc != 0 && !is_code_address(pc)))
		return STEP_IS_BROKEN;
	return move(w, pc, w->machine.fp + 16, fp, 0);
}

/* A frame in an object, but without call frame information. */
static NOINLINE enum step step_without_cfi(struct walk *w)
{
	enum step step = step_by_search(w);
	return step == STEP_IS_BROKEN ? step_by_frame_pointer(w) : step;
}

/* A frame in no object: code made at run time, which mostly keeps frame pointers; or garbage. */
static NOINLINE enum step step_outside_objects(struct walk *w)
{
	enum step step = w->machine.fp ? step_by_frame_pointer(w) : STEP_IS_BROKEN;
	if (step == STEP_IS_BROKEN)
		step = step_by_search(w);
	return step == STEP_IS_BROKEN && w->machine.fp == 0 ? STEP_IS_OUTERMOST : step;
}

/* The value of a tracked register in the caller; 0 if it is lost, which no later rule can use. */
static NOINLINE int caller_register(struct walk *w, const struct cfi_table *table, const struct cfi_row *row,
			   enum cfi_register reg, uint64_t cfa, uint64_t same, uint64_t *out_value)
{
	struct dwarf_cursor expression;
	uint64_t address;
	int error;
	switch (row->rule[reg]) {
	case CFI_SAME:
		*out_value = same;
		return 0;
	case CFI_UNDEFINED:
		*out_value = 0;
		return 0;
	case CFI_AT_CFA:
		address = cfa + (uint64_t)(int64_t)row->value[reg];
		break;
	case CFI_CFA_PLUS:
		*out_value = cfa + (uint64_t)(int64_t)row->value[reg];
		return 0;
	case CFI_IN_REGISTER:
		return dwarf_machine_register(&w->machine, (uint64_t)row->value[reg], out_value);
	case CFI_IS_EXPRESSION:
		cfi_expression(table, row->value[reg], &expression);
		return dwarf_expression_evaluate(&expression, &w->machine, cfa, out_value);
	default:
		cfi_expression(table, row->value[reg], &expression);
		error = dwarf_expression_evaluate(&expression, &w->machine, cfa, &address);
		if (error)
			return error;
	}
	return safe_read_word(&w->reader, address, out_value) ? 0 : -EFAULT;
}

/* The interrupted code's full register set, if it lies where it can be read directly. */
static const ucontext_t *signal_frame_context(const struct walk *w, uint64_t sp, uint64_t pc)
{
	uint64_t address = arch_signal_frame_context(sp);
	const ucontext_t *context = (const ucontext_t *)(uintptr_t)address;
	bool is_near = safe_read_is_near(&w->reader, address) &&
		       safe_read_is_near(&w->reader, address + sizeof(context->uc_mcontext) +
							     offsetof(ucontext_t, uc_mcontext));
	return is_near && arch_context_pc(context) == pc ? context : NULL;
}

static NOINLINE enum step apply_row(struct walk *w, const struct cfi_table *table, const struct cfi_row *row)
{
	uint64_t cfa, pc, sp, fp, bx;
	int error;
	if (row->rule[CFI_RA] == CFI_UNDEFINED)
		return STEP_IS_OUTERMOST;
	if (row->cfa_is_expression) {
		struct dwarf_cursor expression;
		cfi_expression(table, row->cfa_value, &expression);
		error = dwarf_expression_evaluate(&expression, &w->machine, 0, &cfa);
	} else {
		error = dwarf_machine_register(&w->machine, row->cfa_register, &cfa);
		cfa += (uint64_t)(int64_t)row->cfa_value;
	}
	if (error || caller_register(w, table, row, CFI_RA, cfa, 0, &pc) ||
	    caller_register(w, table, row, CFI_SP, cfa, w->machine.sp, &sp) ||
	    caller_register(w, table, row, CFI_FP, cfa, w->machine.fp, &fp) ||
	    caller_register(w, table, row, CFI_BX, cfa, w->machine.bx, &bx))
		return STEP_IS_BROKEN;
	if (!row->is_signal_frame)
		return move(w, pc, sp, fp, bx);
	const ucontext_t *context = signal_frame_context(w, w->machine.sp, pc);
	w->machine = (struct dwarf_machine){
		.pc = pc, .sp = sp, .fp = fp, .bx = bx, .context = context, .memory = &w->reader};
	w->is_exact = true;
	return STEP_GOES_ON;
}

/* ---- the walk ---------------------------------------------------------------------------------- */

static uint64_t cache_key(const struct walk *w)
{
	return w->machine.pc ^ rule_cache_key_bits(w->generation, w->is_exact);
}

static ALWAYS_INLINE bool is_verified(const struct walk *w, uint32_t row)
{
	return row < 64 && (w->verified_rows >> row & 1);
}

/* One frame at a pc that no cached rule covers; learns its rule if it can be cached. */
static NOINLINE enum step step_by_cfi(struct walk *w)
{
	struct module_ref ref;
	struct cfi_row row;
	uint64_t pc = w->machine.pc;
	uint64_t rule;

	/* A call through a null pointer has no frame worth showing, but its caller has. */
	if (!is_code_address(pc) && w->is_exact)
		return step_by_search(w);
	/* A null return address is how runtimes without call frame information mark the end. */
	if (!is_code_address(pc))
		return pc == 0 ? STEP_IS_OUTERMOST : STEP_IS_BROKEN;
	/* A call may be the last instruction of its function, so it is looked up by its own place. */
	uint64_t lookup_pc = w->is_exact ? pc : pc - 1;
	if (!modules_lookup(lookup_pc, &ref)) {
		enum step step = emit(w, cprof_frame(CPROF_MODULE_NONE, pc));
		return step == STEP_GOES_ON ? step_outside_objects(w) : step;
	}
	if (ref.row < 64)
		w->verified_rows |= UINT64_C(1) << ref.row;
	if (!ref.is_cprof) {
		uint64_t offset = ref.row == CPROF_MODULE_NONE ? pc : pc - ref.bias;
		enum step step = emit(w, cprof_frame(ref.row, offset));
		if (step != STEP_GOES_ON)
			return step;
	}
	int error = ref.cfi ? cfi_find_row(ref.cfi, lookup_pc, &row) : -ENOENT;
	bool can_be_cached = error == -ENOENT || (error == 0 && rule_encode(ref.cfi, &row, pc, &rule));
	if (error == -ENOENT)
		rule = rule_make(RULE_NO_CFI, 0, RULE_UNCHANGED, RULE_UNCHANGED);
	if (can_be_cached && ref.row <= RULE_ROW_MAX)
		rule_cache_insert(cache_key(w), rule_add_row(rule, ref.row) | (ref.is_cprof ? RULE_HIDDEN : 0));
	if (error)
		return error == -ENOENT ? step_without_cfi(w) : STEP_IS_BROKEN;
	return apply_row(w, ref.cfi, &row);
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
 * ends or goes on; STEP_GOES_ON if the rule cannot be used because its object is gone.
 */
static NOINLINE enum step end_cached(struct walk *w, uint64_t rule, uint64_t pc)
{
	uint32_t row = rule_row(rule);
	if (!is_verified(w, row) && !verify_row(w, row))
		return STEP_GOES_ON;
	enum step step = rule & RULE_HIDDEN ? STEP_GOES_ON : emit(w, pc + modules_frame_base[row]);
	if (step != STEP_GOES_ON)
		return step;
	return rule_shape(rule) == RULE_OUTERMOST ? STEP_IS_OUTERMOST : STEP_WITHOUT_CFI;
}

/*
 * Walks while rules are cached and the stack is directly readable.  Returns how the walk
 * ended, or with the registers of a frame that needs another way: STEP_GOES_ON (not
 * emitted yet) or STEP_WITHOUT_CFI.
 *
 * Each frame waits for the one before it: pc -> entry -> offset -> return address.  All
 * else is kept off that chain: what is checked is checked by branches that are
 * predicted, and saved registers are loaded whether they were saved or not.  A wrong pc
 * needs no check, for it has no rule.  The state is in locals since stores through
 * w->frame might alias *w.
 */
static HOT NOINLINE enum step walk_cached(struct walk *w)
{
	const uint64_t cfa_low = w->cfa_low, cfa_span = w->cfa_span;
	const uint64_t exact_bits = rule_cache_key_bits(w->generation, true);
	uint64_t key_bits = rule_cache_key_bits(w->generation, w->is_exact);
	uint64_t pc = w->machine.pc, sp = w->machine.sp, fp = w->machine.fp, bx = w->machine.bx;
	uint64_t *leaf = w->frame;
	uint64_t *frame = leaf;
	uint32_t verified_row = UINT32_MAX;
	enum step step = STEP_GOES_ON;
	uint64_t rule;

	while (rule_cache_find(pc ^ key_bits, &rule)) {
		uint64_t offset = (uint64_t)rule_offset(rule);
		uint64_t cfa = sp + offset, saved_base = cfa;
		if (unlikely(!rule_is_ordinary(rule))) {
			enum rule_shape shape = rule_shape(rule);
			if (shape == RULE_BY_FP || shape == RULE_BY_BX) {
				saved_base = cfa = (shape == RULE_BY_FP ? fp : bx) + offset;
			} else if (shape == RULE_REALIGNED) {
				uint64_t place = fp + offset;
				saved_base = fp + 16;
				if (fp - cfa_low > cfa_span || !safe_read_is_near(&w->reader, place))
					break;
				cfa = *(const uint64_t *)(uintptr_t)place;
				if (cfa < saved_base)
					break;
			} else if (shape != RULE_BY_SP) {
				w->frame = frame;
				step = end_cached(w, rule, pc);
				frame = w->frame;
				break;
			}
			if (cfa <= sp)
				break;
		}
		if (unlikely(cfa - cfa_low > cfa_span))
			break;
		uint32_t row = rule_row(rule);
		if (unlikely(row != verified_row)) {
			if (unlikely(!is_verified(w, row)) && !verify_row(w, row))
				break;
			verified_row = row;
		}
		if (likely(!(rule & RULE_HIDDEN))) {
			if (unlikely(frame == w->frames_end) && !make_room(w)) {
				step = STEP_IS_TRUNCATED;
				break;
			}
			*frame++ = pc + modules_frame_base[row];
		} else if (frame == leaf && key_bits == exact_bits) {
			leaf = NULL;
		}
		pc = *(const uint64_t *)(uintptr_t)(cfa + (uint64_t)ARCH_RA_CFA_OFFSET);
		uint64_t saved_fp = *(const uint64_t *)(uintptr_t)(saved_base + (uint64_t)rule_fp(rule) * 8);
		uint64_t saved_bx = *(const uint64_t *)(uintptr_t)(saved_base + (uint64_t)rule_bx(rule) * 8);
		fp = rule_fp(rule) == RULE_UNCHANGED ? fp : saved_fp;
		bx = rule_bx(rule) == RULE_UNCHANGED ? bx : saved_bx;
		sp = cfa;
		key_bits = exact_bits ^ RULE_CACHE_KEY_EXACT;
	}
	if (w->is_exact && key_bits != exact_bits) {
		if (leaf && leaf < frame)
			*leaf |= CPROF_FRAME_EXACT;
		w->is_exact = false;
		w->machine.context = NULL;
	}
	w->frame = frame;
	w->machine.pc = pc;
	w->machine.sp = sp;
	w->machine.fp = fp;
	w->machine.bx = bx;
	return step;
}

uint32_t unwind_walk(const struct unwind_regs *regs, const struct unwind_bounds *bounds, uint64_t *frames,
		     uint32_t frames_max, uint16_t *out_flags)
{
	const uint32_t chunk_words = SAFE_READ_CHUNK_BYTES / sizeof(uint64_t);
	bool has_chunk = frames_max >= chunk_words;
	struct walk w = {
		.machine = {.pc = regs->pc,
			    .sp = regs->sp,
			    .fp = regs->fp,
			    .bx = regs->bx_is_known ? regs->bx : 0,
			    .context = regs->context,
			    .memory = &w.reader},
		.frame = frames,
		.frames_end = frames + frames_max - (has_chunk ? chunk_words : 0),
		.frames_limit = frames + frames_max,
		.verified_rows = modules_pinned_rows(),
		.generation = load_acquire(&modules_generation), /* pairs with the release at its change */
		.is_exact = regs->pc_is_exact,
	};
	enum step step = STEP_GOES_ON;

	safe_reader_init(&w.reader, bounds->low, bounds->high, has_chunk ? w.frames_end : NULL);
	if (bounds->high > bounds->low && bounds->high - bounds->low > RULE_SAVED_BYTES_MAX) {
		w.cfa_low = bounds->low + RULE_SAVED_BYTES_MAX;
		w.cfa_span = bounds->high - w.cfa_low;
	} else {
		w.cfa_low = UINT64_MAX; /* no address is in range but this, and it is no CFA */
	}
	while (step == STEP_GOES_ON) {
		step = walk_cached(&w);
		if (step == STEP_GOES_ON)
			step = step_by_cfi(&w);
		else if (step == STEP_WITHOUT_CFI)
			step = step_without_cfi(&w);
	}
	*out_flags = step == STEP_IS_BROKEN	  ? CPROF_STACK_BROKEN :
		     step == STEP_IS_TRUNCATED ? CPROF_STACK_TRUNCATED :
						 0;
	return (uint32_t)(w.frame - frames);
}
