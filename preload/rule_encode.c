/* SPDX-License-Identifier: MIT */
/*
 * What compilers emit fits: ordinary frames, frames of functions that realign their
 * stack, PLT entries (whose expression is a constant once the pc is), outermost frames.
 *
 * Context: any (async-signal-safe).
 */
#include "rule_encode.h"

#include "arch_x86_64.h"
#include "dwarf_expression.h"
#include "rule_cache.h"

/* How a rule says that a register is saved at `offset` from where it counts; false if it cannot. */
static bool encode_saved(int64_t offset, int8_t *out_n)
{
	int64_t n = offset / 8;
	if (offset % 8 != 0 || n >= RULE_UNCHANGED || n < RULE_SAVED_MIN)
		return false;
	*out_n = (int8_t)n;
	return true;
}

/* The place of a register in an ordinary frame: unchanged, or saved below the CFA. */
static bool encode_at_cfa(const struct cfi_row *row, enum cfi_register reg, int8_t *out_n)
{
	*out_n = RULE_UNCHANGED;
	if (row->rule[reg] == CFI_SAME)
		return true;
	return row->rule[reg] == CFI_AT_CFA && encode_saved(row->value[reg], out_n);
}

/* The same in a function that realigned its stack: saved below its frame pointer. */
static ALWAYS_INLINE bool encode_at_fp(const struct cfi_table *table, const struct cfi_row *row,
				       enum cfi_register reg, int8_t *out_n)
{
	struct dwarf_cursor expression;
	struct dwarf_term term;
	*out_n = RULE_UNCHANGED;
	if (row->rule[reg] == CFI_SAME)
		return true;
	if (row->rule[reg] != CFI_AT_EXPRESSION)
		return false;
	cfi_expression(table, row->value[reg], &expression);
	return dwarf_expression_fold(&expression, 0, &term) == 0 && term.reg == ARCH_DWARF_FP &&
	       !term.is_loaded && encode_saved((int64_t)term.offset - 16, out_n);
}

bool rule_encode(const struct cfi_table *table, const struct cfi_row *row, uint64_t pc, uint64_t *out_rule)
{
	struct dwarf_term cfa = {.reg = row->cfa_register, .offset = (uint64_t)(int64_t)row->cfa_value};
	enum rule_shape shape;
	int8_t fp, bx;

	if (row->rule[CFI_RA] == CFI_UNDEFINED) {
		*out_rule = rule_make(RULE_OUTERMOST, 0, RULE_UNCHANGED, RULE_UNCHANGED);
		return true;
	}
	if (row->is_signal_frame || row->rule[CFI_RA] != CFI_AT_CFA ||
	    row->value[CFI_RA] != ARCH_RA_CFA_OFFSET || row->rule[CFI_SP] != CFI_CFA_PLUS ||
	    row->value[CFI_SP] != 0)
		return false;
	if (row->cfa_is_expression) {
		struct dwarf_cursor expression;
		cfi_expression(table, row->cfa_value, &expression);
		if (dwarf_expression_fold(&expression, pc, &cfa) != 0)
			return false;
	}
	if (cfa.is_loaded) {
		if (cfa.reg != ARCH_DWARF_FP || cfa.offset != 0 || !encode_at_fp(table, row, CFI_FP, &fp) ||
		    !encode_at_fp(table, row, CFI_BX, &bx))
			return false;
		*out_rule = rule_make(RULE_REALIGNED, cfa.load_offset, fp, bx);
		return true;
	}
	int32_t offset = (int32_t)cfa.offset;
	if ((uint64_t)(int64_t)offset != cfa.offset || !encode_at_cfa(row, CFI_FP, &fp) ||
	    !encode_at_cfa(row, CFI_BX, &bx))
		return false;
	if (cfa.reg == ARCH_DWARF_SP && offset >= 8) /* a walk relies on it: it moves up */
		shape = RULE_BY_SP;
	else if (cfa.reg == ARCH_DWARF_FP)
		shape = RULE_BY_FP;
	else if (cfa.reg == ARCH_DWARF_BX)
		shape = RULE_BY_BX;
	else
		return false;
	*out_rule = rule_make(shape, offset, fp, bx);
	return true;
}
