/* SPDX-License-Identifier: MIT */
/*
 * Frames by their call frame information.  What is read is turned into a cached rule
 * where that can say it; signal frames, unusual expressions and rules by registers that
 * only the interrupted frame has are evaluated each time.
 *
 * Context: any (async-signal-safe).
 */
#include "walk.h"

#include <errno.h>

#include "modules.h"
#include "rule_encode.h"

/* Caches a rule for the current frame. */
static void learn(struct walk *w, uint64_t rule)
{
	if (w->object_row <= RULE_ROW_MAX)
		rule_cache_insert(w->machine.pc ^ rule_cache_key_bits(w->generation, w->is_exact),
				  rule_add_row(rule, w->object_row) | (w->is_hidden ? RULE_HIDDEN : 0));
}

enum step walk_read_cfi(struct walk *w)
{
	struct module_ref ref;
	uint64_t pc = w->machine.pc;
	/* A call may be the last instruction of its function, so it is looked up by its own place. */
	uint64_t lookup_pc = w->is_exact ? pc : pc - 1;

	if (!walk_is_code_address(pc))
		return STEP_FROM_NOWHERE;
	if (!modules_lookup(lookup_pc, &ref))
		return STEP_OUTSIDE_OBJECTS;
	if (ref.row < 64)
		w->verified_rows |= UINT64_C(1) << ref.row;
	if (!ref.is_cprof) {
		enum step step =
			walk_emit(w, cprof_frame(ref.row, ref.row == CPROF_MODULE_NONE ? pc : pc - ref.bias));
		if (step != STEP_DONE)
			return step;
	}
	w->table = ref.cfi;
	w->object_row = ref.row;
	w->is_hidden = ref.is_cprof;
	int error = ref.cfi ? cfi_find_row(ref.cfi, lookup_pc, &w->row) : -ENOENT;
	if (error == 0)
		return STEP_BY_ROW;
	if (error != -ENOENT)
		return STEP_IS_BROKEN;
	learn(w, rule_make(RULE_NO_CFI, 0, RULE_UNCHANGED, RULE_UNCHANGED));
	return STEP_WITHOUT_CFI;
}

void walk_learn_row(struct walk *w)
{
	uint64_t rule;
	if (rule_encode(w->table, &w->row, w->machine.pc, &rule))
		learn(w, rule);
}

/*
 * The value of a tracked register in the caller; `same` if the frame did not change it; 0 if
 * it is lost, which no later rule can use.
 */
static ALWAYS_INLINE int caller_register(struct walk *w, enum cfi_register reg, uint64_t cfa, uint64_t same,
					 uint64_t *out_value)
{
	struct dwarf_cursor expression;
	const int32_t value = w->row.value[reg];
	uint64_t address = cfa + (uint64_t)(int64_t)value;
	int error;

	switch (w->row.rule[reg]) {
	case CFI_SAME:
		*out_value = same;
		return 0;
	case CFI_UNDEFINED:
		*out_value = 0;
		return 0;
	case CFI_CFA_PLUS:
		*out_value = address;
		return 0;
	case CFI_IN_REGISTER:
		return dwarf_machine_register(&w->machine, (uint64_t)value, out_value);
	case CFI_AT_EXPRESSION:
	case CFI_IS_EXPRESSION:
		cfi_expression(w->table, value, &expression);
		error = dwarf_expression_evaluate(&expression, &w->machine, cfa, &address);
		if (error)
			return error;
		if (w->row.rule[reg] == CFI_IS_EXPRESSION) {
			*out_value = address;
			return 0;
		}
		break;
	default: /* CFI_AT_CFA */
		break;
	}
	return safe_read_word(&w->reader, address, out_value) ? 0 : -EFAULT;
}

static int frame_address(struct walk *w, uint64_t *out_cfa)
{
	struct dwarf_cursor expression;
	if (w->row.cfa_is_expression) {
		cfi_expression(w->table, w->row.cfa_value, &expression);
		return dwarf_expression_evaluate(&expression, &w->machine, 0, out_cfa);
	}
	int error = dwarf_machine_register(&w->machine, w->row.cfa_register, out_cfa);
	*out_cfa += (uint64_t)(int64_t)w->row.cfa_value;
	return error;
}

/* The interrupted code's full register set, if it lies where it can be read directly. */
static const ucontext_t *signal_frame_context(const struct walk *w, uint64_t pc)
{
	uint64_t address = arch_signal_frame_context(w->machine.sp);
	const ucontext_t *context = (const ucontext_t *)(uintptr_t)address;
	uint64_t end = address + offsetof(ucontext_t, uc_mcontext) + sizeof(context->uc_mcontext);
	bool is_near = safe_read_is_near(&w->reader, address) &&
		       safe_read_is_near(&w->reader, end - sizeof(uint64_t));
	return is_near && arch_context_pc(context) == pc ? context : NULL;
}

enum step walk_apply_row(struct walk *w)
{
	uint64_t same[CFI_REGISTER_COUNT] = {0, w->machine.sp, w->machine.fp, w->machine.bx};
	uint64_t caller[CFI_REGISTER_COUNT];
	uint64_t cfa = 0;

	if (w->row.rule[CFI_RA] == CFI_UNDEFINED)
		return STEP_IS_OUTERMOST;
	if (frame_address(w, &cfa))
		return STEP_IS_BROKEN;
	for (uint32_t reg = 0; reg < CFI_REGISTER_COUNT; reg++)
		if (caller_register(w, reg, cfa, same[reg], &caller[reg]))
			return STEP_IS_BROKEN;
	if (!w->row.is_signal_frame)
		return walk_move(w, caller[CFI_RA], caller[CFI_SP], caller[CFI_FP], caller[CFI_BX]);
	/* The handler may run on another stack: up or down does not matter. */
	w->machine.context = signal_frame_context(w, caller[CFI_RA]);
	w->machine.pc = caller[CFI_RA];
	w->machine.sp = caller[CFI_SP];
	w->machine.fp = caller[CFI_FP];
	w->machine.bx = caller[CFI_BX];
	w->is_exact = true;
	return STEP_DONE;
}
