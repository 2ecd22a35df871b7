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
	if (!walk_is_code_address(pc) || !modules_lookup(pc, &ref) || ref.row == CPROF_MODULE_NONE)
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
			return walk_move(w, pc, place + sizeof(uint64_t), w->machine.fp, w->machine.bx);
	}
	return STEP_IS_BROKEN;
}

static enum step step_by_frame_pointer(struct walk *w)
{
	uint64_t fp, pc;
	if (w->machine.fp == 0)
		return STEP_IS_OUTERMOST;
	if (!is_plausible_frame_pointer(w) || !safe_read_word(&w->reader, w->machine.fp, &fp) ||
	    !safe_read_word(&w->reader, w->machine.fp + 8, &pc) || (pc != 0 && !walk_is_code_address(pc)))
		return STEP_IS_BROKEN;
	return walk_move(w, pc, w->machine.fp + 16, fp, 0);
}

/* A frame in an object, but without call frame information. */
enum step walk_guess_in_object(struct walk *w)
{
	enum step step = step_by_search(w);
	return step == STEP_IS_BROKEN ? step_by_frame_pointer(w) : step;
}

/* A frame in no object: code made at run time, which mostly keeps frame pointers; or garbage. */
enum step walk_guess_outside(struct walk *w)
{
	enum step step = w->machine.fp ? step_by_frame_pointer(w) : STEP_IS_BROKEN;
	if (step == STEP_IS_BROKEN)
		step = step_by_search(w);
	return step == STEP_IS_BROKEN && w->machine.fp == 0 ? STEP_IS_OUTERMOST : step;
}

enum step walk_guess_from_nowhere(struct walk *w)
{
	/* A null return address is how code without call frame information marks its end. */
	if (!w->is_exact)
		return w->machine.pc == 0 ? STEP_IS_OUTERMOST : STEP_IS_BROKEN;
	return step_by_search(w);
}
