/* SPDX-License-Identifier: MIT */
/*
 * A row is 28 bytes, so that the interpreter's state, with its initial row and the
 * remembered ones, fits into a signal handler's share of a small stack.
 *
 * Format: Linux Standard Base 5.0, 10.6 (.eh_frame), 10.7 (.eh_frame_hdr); DWARF 5,
 * 6.4 (call frame instructions).
 *
 * Context: any (async-signal-safe).
 */
#include "cfi.h"

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

/* Debian's largest programs never nest two; hand-written assembly may. */
#define REMEMBERED_ROWS 3

struct table_entry {
	int32_t function;
	int32_t fde;
};

/* What the entries of a function share: its CIE, decoded. */
struct common {
	const uint8_t *program;
	const uint8_t *program_end;
	uint32_t code_align;
	int32_t data_align;
	uint8_t pointer_encoding;
	bool has_augmentation_data;
	bool is_signal_frame;
};

struct interpreter {
	const struct cfi_table *table;
	const struct common *common;
	uint64_t pc;       /* stop before the first row beyond it */
	uint64_t location; /* of the row under construction */
	struct cfi_row *row;
	uint32_t remembered_count;
	struct cfi_row initial;
	struct cfi_row remembered[REMEMBERED_ROWS];
};

int cfi_open(uint64_t eh_frame_hdr, uint64_t low, uint64_t high, struct cfi_table *out_table)
{
	if (low >= high || high - low > UINT32_MAX / 2 || eh_frame_hdr < low || eh_frame_hdr >= high)
		return -EINVAL;
	struct dwarf_cursor c = dwarf_cursor_of((const uint8_t *)(uintptr_t)eh_frame_hdr,
						(const uint8_t *)(uintptr_t)high);
	uint8_t version = dwarf_u8(&c);
	uint8_t frame_encoding = dwarf_u8(&c);
	uint8_t count_encoding = dwarf_u8(&c);
	uint8_t table_encoding = dwarf_u8(&c);
	if (c.failed || version != 1)
		return -EINVAL;
	if (frame_encoding != DWARF_PE_OMIT)
		dwarf_pointer(&c, frame_encoding, eh_frame_hdr);
	if (count_encoding == DWARF_PE_OMIT || table_encoding != (DWARF_PE_DATAREL | DWARF_PE_SDATA4))
		return -ENOENT;
	uint64_t count = dwarf_pointer(&c, count_encoding, eh_frame_hdr);
	if (c.failed || count > (high - low) / sizeof(struct table_entry) ||
	    !dwarf_has(&c, count * sizeof(struct table_entry)))
		return -EINVAL;
	if (count == 0)
		return -ENOENT;
	*out_table = (struct cfi_table){
		.header = eh_frame_hdr,
		.entries = (uint64_t)(uintptr_t)c.at,
		.entry_count = (uint32_t)count,
		.low = low,
		.high = high,
	};
	return 0;
}

/* The address of the FDE of the last function that starts at or below pc; 0 if there is none. */
static uint64_t search(const struct cfi_table *table, uint64_t pc)
{
	int64_t wanted = (int64_t)(pc - table->header);
	if (wanted != (int32_t)wanted)
		return 0;
	const struct table_entry *at = (const struct table_entry *)(uintptr_t)table->entries;
	uint32_t count = table->entry_count;
	/* The number of steps depends on the count alone and each is a conditional move: no mispredictions. */
	while (count > 1) {
		uint32_t half = count / 2;
		at = at[half].function <= wanted ? at + half : at;
		count -= half;
	}
	return at->function <= wanted ? table->header + (uint64_t)(int64_t)at->fde : 0;
}

/* The contents of the entry (CIE or FDE) at `address`, from its id field on. */
static struct dwarf_cursor open_entry(const struct cfi_table *table, uint64_t address)
{
	struct dwarf_cursor c = {.failed = true};
	if (address < table->low || address >= table->high)
		return c;
	c = dwarf_cursor_of((const uint8_t *)(uintptr_t)address, (const uint8_t *)(uintptr_t)table->high);
	uint64_t length = dwarf_u32(&c);
	if (length == UINT32_MAX)
		length = dwarf_u64(&c);
	if (!dwarf_has(&c, length))
		dwarf_fail(&c);
	else
		c.end = c.at + length;
	return c;
}

static NOINLINE int read_common(const struct cfi_table *table, uint64_t address, struct common *out)
{
	struct dwarf_cursor c = open_entry(table, address);
	uint32_t id = dwarf_u32(&c);
	uint8_t version = dwarf_u8(&c);
	if (c.failed || id != 0 || (version != 1 && version != 3))
		return -EINVAL;
	const uint8_t *augmentation = c.at;
	while (dwarf_u8(&c))
		;
	out->code_align = (uint32_t)dwarf_uleb(&c);
	out->data_align = (int32_t)dwarf_sleb(&c);
	uint64_t return_column = version == 1 ? dwarf_u8(&c) : dwarf_uleb(&c);
	out->pointer_encoding = DWARF_PE_ABSPTR;
	out->has_augmentation_data = false;
	out->is_signal_frame = false;
	if (c.failed || return_column != ARCH_DWARF_RA)
		return -EINVAL;
	if (*augmentation == 'z') {
		uint64_t length = dwarf_uleb(&c);
		if (!dwarf_has(&c, length))
			return -EINVAL;
		struct dwarf_cursor data = dwarf_cursor_of(c.at, c.at + length);
		dwarf_skip(&c, length);
		out->has_augmentation_data = true;
		for (const uint8_t *letter = augmentation + 1; *letter; letter++) {
			if (*letter == 'R')
				out->pointer_encoding = dwarf_u8(&data);
			else if (*letter == 'S')
				out->is_signal_frame = true;
			else if (*letter == 'L')
				dwarf_u8(&data);
			else if (*letter == 'P')
				dwarf_pointer(&data, dwarf_u8(&data) & (uint8_t)~DWARF_PE_INDIRECT, 0);
			else
				break; /* its data, and all behind it, is skipped by the length */
		}
		if (data.failed)
			return -EINVAL;
	} else if (*augmentation) {
		return -EINVAL;
	}
	out->program = c.at;
	out->program_end = c.end;
	return 0;
}

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

static void set_rule(struct interpreter *in, uint64_t reg, enum cfi_rule rule, int64_t value)
{
	int index = tracked(reg);
	if (index >= 0) {
		in->row->rule[index] = (uint8_t)rule;
		in->row->value[index] = (int32_t)value;
	}
}

static void restore_rule(struct interpreter *in, uint64_t reg)
{
	int index = tracked(reg);
	if (index >= 0) {
		in->row->rule[index] = in->initial.rule[index];
		in->row->value[index] = in->initial.value[index];
	}
}

static void set_cfa(struct interpreter *in, struct dwarf_cursor *c, uint64_t reg, int64_t value)
{
	if (reg >= ARCH_DWARF_REGISTERS)
		dwarf_fail(c);
	in->row->cfa_is_expression = false;
	in->row->cfa_register = (uint8_t)reg;
	in->row->cfa_value = (int32_t)value;
}

/* Notes where an expression is, and skips it. */
static int32_t skip_expression(struct interpreter *in, struct dwarf_cursor *c)
{
	uint64_t place = (uint64_t)(uintptr_t)c->at - in->table->low;
	dwarf_skip(c, dwarf_uleb(c));
	return (int32_t)place;
}

static int64_t factored(const struct interpreter *in, struct dwarf_cursor *c)
{
	return (int64_t)(dwarf_uleb(c) * (uint64_t)(int64_t)in->common->data_align);
}

static int64_t factored_signed(const struct interpreter *in, struct dwarf_cursor *c)
{
	return (int64_t)((uint64_t)dwarf_sleb(c) * (uint64_t)(int64_t)in->common->data_align);
}

static void execute_rare(struct interpreter *in, struct dwarf_cursor *c, uint8_t op)
{
	uint64_t reg;
	switch (op) {
	case CFA_SET_LOC:
		in->location = dwarf_pointer(c, in->common->pointer_encoding, 0);
		break;
	case CFA_OFFSET_EXTENDED:
		reg = dwarf_uleb(c);
		set_rule(in, reg, CFI_AT_CFA, factored(in, c));
		break;
	case CFA_OFFSET_EXTENDED_SF:
		reg = dwarf_uleb(c);
		set_rule(in, reg, CFI_AT_CFA, factored_signed(in, c));
		break;
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
		reg = dwarf_uleb(c);
		set_rule(in, reg, CFI_AT_CFA, -factored(in, c));
		break;
	case CFA_RESTORE_EXTENDED:
		restore_rule(in, dwarf_uleb(c));
		break;
	case CFA_UNDEFINED:
		set_rule(in, dwarf_uleb(c), CFI_UNDEFINED, 0);
		break;
	case CFA_SAME_VALUE:
		set_rule(in, dwarf_uleb(c), CFI_SAME, 0);
		break;
	case CFA_REGISTER:
		reg = dwarf_uleb(c);
		set_rule(in, reg, CFI_IN_REGISTER, (int64_t)dwarf_uleb(c));
		break;
	case CFA_DEF_CFA_SF:
		reg = dwarf_uleb(c);
		set_cfa(in, c, reg, factored_signed(in, c));
		break;
	case CFA_DEF_CFA_OFFSET_SF:
		in->row->cfa_value = (int32_t)factored_signed(in, c);
		break;
	case CFA_DEF_CFA_EXPRESSION:
		in->row->cfa_is_expression = true;
		in->row->cfa_value = skip_expression(in, c);
		break;
	case CFA_EXPRESSION:
		reg = dwarf_uleb(c);
		set_rule(in, reg, CFI_AT_EXPRESSION, skip_expression(in, c));
		break;
	case CFA_VAL_EXPRESSION:
		reg = dwarf_uleb(c);
		set_rule(in, reg, CFI_IS_EXPRESSION, skip_expression(in, c));
		break;
	case CFA_VAL_OFFSET:
		reg = dwarf_uleb(c);
		set_rule(in, reg, CFI_CFA_PLUS, factored(in, c));
		break;
	case CFA_VAL_OFFSET_SF:
		reg = dwarf_uleb(c);
		set_rule(in, reg, CFI_CFA_PLUS, factored_signed(in, c));
		break;
	case CFA_GNU_ARGS_SIZE:
		dwarf_uleb(c); /* matters to exception landing pads only */
		break;
	default:
		dwarf_fail(c); /* an unknown instruction has an unknown length */
	}
}

/* Executes a program until its end, or until the row under construction is beyond pc. */
static NOINLINE int execute(struct interpreter *in, struct dwarf_cursor c)
{
	const uint64_t code_align = in->common->code_align;
	while (c.at < c.end && in->location <= in->pc) {
		uint8_t op = *c.at++;
		uint8_t low_bits = op & (uint8_t)~CFA_HIGH_BITS;
		switch (op & CFA_HIGH_BITS) {
		case CFA_ADVANCE_LOC:
			in->location += low_bits * code_align;
			continue;
		case CFA_OFFSET:
			set_rule(in, low_bits, CFI_AT_CFA, factored(in, &c));
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
			in->row->cfa_value = (int32_t)dwarf_uleb(&c);
			break;
		case CFA_ADVANCE_LOC1:
			in->location += dwarf_u8(&c) * code_align;
			break;
		case CFA_ADVANCE_LOC2:
			in->location += dwarf_u16(&c) * code_align;
			break;
		case CFA_ADVANCE_LOC4:
			in->location += dwarf_u32(&c) * code_align;
			break;
		case CFA_REMEMBER_STATE:
			if (in->remembered_count == REMEMBERED_ROWS)
				return -EINVAL;
			in->remembered[in->remembered_count++] = *in->row;
			break;
		case CFA_RESTORE_STATE:
			if (in->remembered_count == 0)
				return -EINVAL;
			*in->row = in->remembered[--in->remembered_count];
			break;
		case CFA_DEF_CFA:
			reg = dwarf_uleb(&c);
			set_cfa(in, &c, reg, (int64_t)dwarf_uleb(&c));
			break;
		case CFA_DEF_CFA_REGISTER:
			set_cfa(in, &c, dwarf_uleb(&c), in->row->cfa_value);
			break;
		default:
			execute_rare(in, &c, op);
		}
	}
	return c.failed ? -EINVAL : 0;
}

int cfi_find_row(const struct cfi_table *table, uint64_t pc, struct cfi_row *out_row)
{
	uint64_t address = search(table, pc);
	if (!address)
		return -ENOENT;
	struct dwarf_cursor fde = open_entry(table, address);
	uint64_t id_place = (uint64_t)(uintptr_t)fde.at;
	uint32_t id = dwarf_u32(&fde);
	if (fde.failed || id == 0 || id > id_place - table->low)
		return -EINVAL;
	struct common common;
	int error = read_common(table, id_place - id, &common);
	if (error)
		return error;
	uint64_t start = dwarf_pointer(&fde, common.pointer_encoding, 0);
	uint64_t length = dwarf_pointer(&fde, common.pointer_encoding & DWARF_PE_FORM_MASK, 0);
	if (common.has_augmentation_data)
		dwarf_skip(&fde, dwarf_uleb(&fde));
	if (fde.failed)
		return -EINVAL;
	if (pc - start >= length)
		return -ENOENT;

	struct interpreter in;
	in.table = table;
	in.common = &common;
	in.pc = pc;
	in.location = start;
	in.remembered_count = 0;
	in.row = out_row;
	*out_row = (struct cfi_row){
		.cfa_register = ARCH_DWARF_SP,
		.rule = {[CFI_SP] = CFI_CFA_PLUS},
		.is_signal_frame = common.is_signal_frame,
	};
	error = execute(&in, dwarf_cursor_of(common.program, common.program_end));
	if (error)
		return error;
	in.initial = *out_row;
	return execute(&in, fde);
}

struct dwarf_cursor cfi_expression(const struct cfi_table *table, int32_t place)
{
	struct dwarf_cursor c = dwarf_cursor_of((const uint8_t *)(uintptr_t)(table->low + (uint32_t)place),
						(const uint8_t *)(uintptr_t)table->high);
	uint64_t length = dwarf_uleb(&c);
	if (!dwarf_has(&c, length))
		dwarf_fail(&c);
	else
		c.end = c.at + length;
	return c;
}
