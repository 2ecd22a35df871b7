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

/* How a cached rule says "saved at base - 8 * (n - first)"; false if it cannot. */
static bool encode_saved(int64_t offset, int64_t first, uint32_t *out_n)
{
	int64_t n = first - offset / 8;
	if (offset % 8 != 0 || n < 1 || n > RULE_SAVED_MAX)
		return false;
	*out_n = (uint32_t)n;
	return true;
}

/* The place of a register in an ordinary frame: unchanged, or saved below the CFA. */
static bool encode_at_cfa(const struct cfi_row *row, enum cfi_register reg, uint32_t *out_n)
{
	*out_n = 0;
	if (row->rule[reg] == CFI_SAME)
		return true;
	return row->rule[reg] == CFI_AT_CFA && encode_saved(row->value[reg], 0, out_n);
}

/* The same in a function that realigned its stack: saved below its frame pointer. */
static bool encode_at_fp(const struct cfi_table *table, const struct cfi_row *row, enum cfi_register reg,
			 uint32_t *out_n)
{
	struct dwarf_cursor expression;
	struct dwarf_term term;
	*out_n = 0;
	if (row->rule[reg] == CFI_SAME)
		return true;
	if (row->rule[reg] != CFI_AT_EXPRESSION)
		return false;
	cfi_expression(table, row->value[reg], &expression);
	return dwarf_expression_fold(&expression, 0, &term) == 0 && term.reg == ARCH_DWARF_FP && !term.is_loaded && encode_saved((int64_t)term.offset, 1, out_n);
}

static bool is_encodable_offset(int64_t offset)
{
	return offset % 8 == 0 && offset / 8 <= RULE_OFFSET_MAX && offset / 8 >= -RULE_OFFSET_MAX;
}

bool rule_encode(const struct cfi_table *table, const struct cfi_row *row, uint64_t pc, uint64_t *out_rule)
{
	struct dwarf_term cfa = {.reg = row->cfa_register, .offset = (uint64_t)(int64_t)row->cfa_value};
	uint32_t fp, bx;
	enum rule_base base;

	if (row->rule[CFI_RA] == CFI_UNDEFINED) {
		*out_rule = rule_make(RULE_OUTERMOST, RULE_BASE_SP, 0, 0, 0);
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
		if (cfa.reg != ARCH_DWARF_FP || cfa.offset != 0 || !is_encodable_offset(cfa.load_offset) ||
		    !encode_at_fp(table, row, CFI_FP, &fp) || !encode_at_fp(table, row, CFI_BX, &bx))
			return false;
		*out_rule = rule_make(RULE_REALIGNED, RULE_BASE_FP, cfa.load_offset / 8, fp, bx);
		return true;
	}
	if (cfa.reg == ARCH_DWARF_SP)
		base = RULE_BASE_SP;
	else if (cfa.reg == ARCH_DWARF_FP)
		base = RULE_BASE_FP;
	else if (cfa.reg == ARCH_DWARF_BX)
		base = RULE_BASE_BX;
	else
		return false;
	if (!is_encodable_offset((int64_t)cfa.offset) || !encode_at_cfa(row, CFI_FP, &fp) ||
	    !encode_at_cfa(row, CFI_BX, &bx))
		return false;
	*out_rule = rule_make(RULE_STEP, base, (int64_t)cfa.offset / 8, fp, bx);
	return true;
}
