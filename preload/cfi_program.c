/* SPDX-License-Identifier: MIT */
/*
 * Most instructions of most programs are five: they are decoded first, the others apart.
 *
 * Format: DWARF 5, 6.4 (call frame instructions).
 *
 * Context: any (async-signal-safe).
 */
#include "cfi_program.h"

#include <errno.h>

#include "arch_x86_64.h"

/* The two high bits of an instruction are these, or zero: then it is one of the second list. */
#define CFA_ADVANCE_LOC 0x40u
#define CFA_OFFSET 0x80u
#define CFA_RESTORE 0xc0u
#define CFA_HIGH_BITS 0xc0u

enum cfa_op {
	CFA_NOP = 0x00,
	CFA_SET_LOC = 0x01,
	CFA_ADVANCE_LOC1 = 0x02,
	CFA_ADVANCE_LOC2 = 0x03,
	CFA_ADVANCE_LOC4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER_STATE = 0x0a,
	CFA_RESTORE_STATE = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

/* Index of the tracked register of this DWARF number, or -1. */
static int tracked(uint64_t reg)
{
	switch (reg) {
	case ARCH_DWARF_RA:
		return CFI_RA;
	case ARCH_DWARF_SP:
		return CFI_SP;
	case ARCH_DWARF_FP:
		return CFI_FP;
	case ARCH_DWARF_BX:
		return CFI_BX;
	default:
		return -1;
	}
}

static void set_rule(struct cfi_program *in, uint64_t reg, enum cfi_rule rule, int64_t value)
{
	int index = tracked(reg);
	if (index >= 0) {
		in->row->rule[index] = (uint8_t)rule;
		in->row->value[index] = (int32_t)value;
	}
}

static void restore_rule(struct cfi_program *in, uint64_t reg)
{
	int index = tracked(reg);
	if (index >= 0) {
		in->row->rule[index] = in->initial.rule[index];
		in->row->value[index] = in->initial.value[index];
	}
}

static void set_cfa(struct cfi_program *in, uint64_t reg, int64_t value)
{
	if (reg >= ARCH_DWARF_REGISTERS)
		dwarf_fail(&in->code);
	in->row->cfa_is_expression = false;
	in->row->cfa_register = (uint8_t)reg;
	in->row->cfa_value = (int32_t)value;
}

/* Notes where an expression is, and skips it. */
static int32_t skip_expression(struct cfi_program *in)
{
	uint64_t place = (uint64_t)(uintptr_t)in->code.at - in->table->low;
	dwarf_skip(&in->code, dwarf_uleb(&in->code));
	return (int32_t)place;
}

static int64_t factored(struct cfi_program *in)
{
	return (int64_t)(dwarf_uleb(&in->code) * (uint64_t)(int64_t)in->data_align);
}

static int64_t factored_signed(struct cfi_program *in)
{
	return (int64_t)((uint64_t)dwarf_sleb(&in->code) * (uint64_t)(int64_t)in->data_align);
}

static void execute_rare(struct cfi_program *in, uint8_t op)
{
	uint64_t reg;
	switch (op) {
	case CFA_SET_LOC:
		in->location = dwarf_pointer(&in->code, in->pointer_encoding, 0);
		break;
	case CFA_OFFSET_EXTENDED:
		reg = dwarf_uleb(&in->code);
		set_rule(in, reg, CFI_AT_CFA, factored(in));
		break;
	case CFA_OFFSET_EXTENDED_SF:
		reg = dwarf_uleb(&in->code);
		set_rule(in, reg, CFI_AT_CFA, factored_signed(in));
		break;
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
		reg = dwarf_uleb(&in->code);
		set_rule(in, reg, CFI_AT_CFA, -factored(in));
		break;
	case CFA_RESTORE_EXTENDED:
		restore_rule(in, dwarf_uleb(&in->code));
		break;
	case CFA_UNDEFINED:
		set_rule(in, dwarf_uleb(&in->code), CFI_UNDEFINED, 0);
		break;
	case CFA_SAME_VALUE:
		set_rule(in, dwarf_uleb(&in->code), CFI_SAME, 0);
		break;
	case CFA_REGISTER:
		reg = dwarf_uleb(&in->code);
		set_rule(in, reg, CFI_IN_REGISTER, (int64_t)dwarf_uleb(&in->code));
		break;
	case CFA_DEF_CFA_SF:
		reg = dwarf_uleb(&in->code);
		set_cfa(in, reg, factored_signed(in));
		break;
	case CFA_DEF_CFA_OFFSET_SF:
		in->row->cfa_value = (int32_t)factored_signed(in);
		break;
	case CFA_DEF_CFA_EXPRESSION:
		in->row->cfa_is_expression = true;
		in->row->cfa_value = skip_expression(in);
		break;
	case CFA_EXPRESSION:
		reg = dwarf_uleb(&in->code);
		set_rule(in, reg, CFI_AT_EXPRESSION, skip_expression(in));
		break;
	case CFA_VAL_EXPRESSION:
		reg = dwarf_uleb(&in->code);
		set_rule(in, reg, CFI_IS_EXPRESSION, skip_expression(in));
		break;
	case CFA_VAL_OFFSET:
		reg = dwarf_uleb(&in->code);
		set_rule(in, reg, CFI_CFA_PLUS, factored(in));
		break;
	case CFA_VAL_OFFSET_SF:
		reg = dwarf_uleb(&in->code);
		set_rule(in, reg, CFI_CFA_PLUS, factored_signed(in));
		break;
	case CFA_GNU_ARGS_SIZE:
		dwarf_uleb(&in->code); /* matters to exception landing pads only */
		break;
	default:
		dwarf_fail(&in->code); /* an unknown instruction has an unknown length */
	}
}

int cfi_program_run(struct cfi_program *in)
{
	const uint64_t code_align = in->code_align;
	while (in->code.at < in->code.end && in->location <= in->pc) {
		uint8_t op = *in->code.at++;
		uint8_t low_bits = op & (uint8_t)~CFA_HIGH_BITS;
		switch (op & CFA_HIGH_BITS) {
		case CFA_ADVANCE_LOC:
			in->location += low_bits * code_align;
			continue;
		case CFA_OFFSET:
			set_rule(in, low_bits, CFI_AT_CFA, factored(in));
			continue;
		case CFA_RESTORE:
			restore_rule(in, low_bits);
			continue;
		default:
			break;
		}
		uint64_t reg;
		switch (op) {
		case CFA_NOP:
			break;
		case CFA_DEF_CFA_OFFSET:
			in->row->cfa_value = (int32_t)dwarf_uleb(&in->code);
			break;
		case CFA_ADVANCE_LOC1:
			in->location += dwarf_u8(&in->code) * code_align;
			break;
		case CFA_ADVANCE_LOC2:
			in->location += dwarf_u16(&in->code) * code_align;
			break;
		case CFA_ADVANCE_LOC4:
			in->location += dwarf_u32(&in->code) * code_align;
			break;
		case CFA_REMEMBER_STATE:
			if (in->remembered_count == CFI_REMEMBERED_ROWS)
				return -EINVAL;
			in->remembered[in->remembered_count++] = *in->row;
			break;
		case CFA_RESTORE_STATE:
			if (in->remembered_count == 0)
				return -EINVAL;
			*in->row = in->remembered[--in->remembered_count];
			break;
		case CFA_DEF_CFA:
			reg = dwarf_uleb(&in->code);
			set_cfa(in, reg, (int64_t)dwarf_uleb(&in->code));
			break;
		case CFA_DEF_CFA_REGISTER:
			set_cfa(in, dwarf_uleb(&in->code), in->row->cfa_value);
			break;
		default:
			execute_rare(in, op);
		}
	}
	return in->code.failed ? -EINVAL : 0;
}
