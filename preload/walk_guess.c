/* SPDX-License-Identifier: MIT */
/*
 * Frames without call frame information: by the frame pointer, where it looks like one
 * (code made at run time mostly keeps it), or by the first word on the stack that looks
 * like a return address (hand-written assembly mostly does not).
 *
 * Context: any (async-signal-safe).
 */
#include "walk.h"

#include "modules.h"
#include "segment.h"

/* How far up the return address of an interrupted function is searched. */
#define SEARCHED_WORDS 16

/* Frames of a stack whose bounds are not known are taken to be smaller. */
#define UNKNOWN_FRAME_BYTES_MAX (UINT64_C(1) << 20)

/* Whether fp may link to a frame above `sp` in the same stack. */
static bool is_plausible_frame_pointer(const struct walk *w, uint64_t sp, uint64_t fp)
{
	if (fp % 8 != 0 || fp < sp)
		return false;
	return safe_read_is_near(&w->reader, sp) ? safe_read_is_near(&w->reader, fp)
						 : fp - sp < UNKNOWN_FRAME_BYTES_MAX;
}

/* Whether a call instruction ends at pc, if that is code at all. */
static bool is_after_call_somewhere(uint64_t pc)
{
	uint8_t bytes[ARCH_CALL_BYTES_MAX];
	return safe_read_copy(pc - sizeof(bytes), bytes, sizeof(bytes)) &&
	       arch_is_after_call(bytes + sizeof(bytes));
}

/* Whether pc is the address behind a call instruction of a loaded object. */
static bool is_return_address(uint64_t pc)
{
	struct module_ref ref;
	if (!walk_is_code_address(pc) || !modules_lookup(pc, &ref))
		return false;
	/* The text can be read directly; other parts of an image need not be mapped. */
	const struct cprof_module *module = ref.row == CPROF_MODULE_NONE ? NULL : segment_module(ref.row);
	if (module && pc >= module->text_start + ARCH_CALL_BYTES_MAX && pc < module->text_end)
		return arch_is_after_call((const uint8_t *)(uintptr_t)pc);
	return is_after_call_somewhere(pc);
}

/* Whether fp points up the stack from `place` to a saved frame pointer and return address. */
static bool is_frame_pointer(struct walk *w, uint64_t fp, uint64_t place)
{
	uint64_t pc;
	return is_plausible_frame_pointer(w, place, fp) &&
	       safe_read_word(&w->reader, fp + sizeof(uint64_t), &pc) && is_return_address(pc);
}

/*
 * The frame pointer of the caller, when the function whose return address is at `place`
 * used the register for something else: what it pushed that points up the same stack.
 */
static uint64_t pushed_frame_pointer(struct walk *w, uint64_t place)
{
	uint64_t fp = w->machine.fp;
	if (is_frame_pointer(w, fp, place))
		return fp;
	for (uint64_t at = place; at > w->machine.sp; at -= sizeof(uint64_t)) {
		uint64_t pushed;
		if (!safe_read_word(&w->reader, at - sizeof(uint64_t), &pushed))
			break;
		if (is_frame_pointer(w, pushed, place))
			return pushed;
	}
	return fp;
}

/*
 * An interrupted function of which nothing is known (assembly without call frame
 * information, a jump to nowhere): it has pushed a few registers at most, so the first
 * word that looks like a return address is its own.
 */
static NOINLINE enum step step_by_search(struct walk *w)
{
	for (uint32_t i = 0; w->is_exact && i < SEARCHED_WORDS; i++) {
		uint64_t place = w->machine.sp + i * sizeof(uint64_t), pc;
		if (!safe_read_word(&w->reader, place, &pc))
			break;
		if (is_return_address(pc))
			return walk_move(w, pc, place + sizeof(uint64_t), pushed_frame_pointer(w, place),
					 w->machine.bx);
	}
	return STEP_IS_BROKEN;
}

/*
 * The interrupted function's caller was found by its call frame information, but looks
 * wrong: glibc's multiple-precision assembly, for one, pushes registers without saying
 * so.  Goes back to the start and searches.
 */
static NOINLINE enum step search_again(struct walk *w)
{
	const struct dwarf_machine found = w->machine;
	if (w->is_exact || !w->start->pc_is_exact || w->frame != w->first + 1)
		return STEP_IS_BROKEN;
	w->machine.sp = w->start->sp;
	w->machine.fp = w->start->fp;
	w->is_exact = true;
	enum step step = step_by_search(w);
	if (step != STEP_DONE) {
		w->machine = found;
		w->is_exact = false;
	}
	return step;
}

static enum step step_by_frame_pointer(struct walk *w)
{
	uint64_t fp, pc;
	if (w->machine.fp == 0)
		return STEP_IS_OUTERMOST;
	if (!is_plausible_frame_pointer(w, w->machine.sp, w->machine.fp) ||
	    !safe_read_word(&w->reader, w->machine.fp, &fp) ||
	    !safe_read_word(&w->reader, w->machine.fp + 8, &pc) || (pc != 0 && !walk_is_code_address(pc)))
		return STEP_IS_BROKEN;
	return walk_move(w, pc, w->machine.fp + 16, fp, 0);
}

enum step walk_guess_in_object(struct walk *w)
{
	enum step step = step_by_search(w);
	return step == STEP_IS_BROKEN ? step_by_frame_pointer(w) : step;
}

enum step walk_guess_outside(struct walk *w)
{
	uint64_t pc = w->machine.pc;
	bool is_first_caller = !w->is_exact && w->frame == w->first + 1;
	if (is_first_caller && !is_after_call_somewhere(pc) && search_again(w) == STEP_DONE)
		return STEP_DONE;
	enum step step = walk_emit(w, cprof_frame(CPROF_MODULE_NONE, pc));
	if (step != STEP_DONE)
		return step;
	/* By the frame pointer first: what lies on top of a compiled function's stack may be stale. */
	step = w->machine.fp ? step_by_frame_pointer(w) : STEP_IS_BROKEN;
	if (step == STEP_IS_BROKEN)
		step = step_by_search(w);
	return step == STEP_IS_BROKEN && w->machine.fp == 0 ? STEP_IS_OUTERMOST : step;
}

enum step walk_guess_from_nowhere(struct walk *w)
{
	if (w->is_exact)
		return step_by_search(w);
	if (search_again(w) == STEP_DONE)
		return STEP_DONE;
	/* A null return address is how code without call frame information marks its end. */
	return w->machine.pc == 0 ? STEP_IS_OUTERMOST : STEP_IS_BROKEN;
}
