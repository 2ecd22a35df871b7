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
#define REMEMBERED_ROWS 2

/* Linkers align the table; nobody promises it. */
struct table_entry {
	int32_t function;
	int32_t fde;
} __attribute__((packed));

struct interpreter {
	const struct cfi_table *table;
	struct cfi_row *row; /* under construction */
	uint64_t pc;         /* stop before the first row beyond it */
	uint64_t location;   /* of the row under construction */
	struct dwarf_cursor code;
	/* From the CIE, which the functions of a file share. */
	uint32_t code_align;
	int32_t data_align;
	uint8_t pointer_encoding;
	bool has_augmentation_data;
	uint8_t remembered_count;
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
static void open_entry(const struct cfi_table *table, uint64_t address, struct dwarf_cursor *out_entry)
{
	struct dwarf_cursor *c = out_entry;
	if (address < table->low) /* beyond the end is what the cursor refuses by itself */
		address = table->high;
	*c = dwarf_cursor_of((const uint8_t *)(uintptr_t)address, (const uint8_t *)(uintptr_t)table->high);
	uint64_t length = dwarf_u32(c);
	if (length == UINT32_MAX)
		length = dwarf_u64(c);
	if (!dwarf_has(c, length))
		dwarf_fail(c);
	else
		c->end = c->at + length;
}

/* Reads the CIE at `address`; in->code is then its initial code. */
static int read_common(struct interpreter *in, uint64_t address)
{
	struct dwarf_cursor *c = &in->code;
	open_entry(in->table, address, c);
	uint32_t id = dwarf_u32(c);
	uint8_t version = dwarf_u8(c);
	if (c->failed || id != 0 || (version != 1 && version != 3))
		return -EINVAL;
	const uint8_t *augmentation = c->at;
	while (dwarf_u8(c))
		;
	in->code_align = (uint32_t)dwarf_uleb(c);
	in->data_align = (int32_t)dwarf_sleb(c);
	uint64_t return_column = version == 1 ? dwarf_u8(c) : dwarf_uleb(c);
	in->pointer_encoding = DWARF_PE_ABSPTR;
	in->has_augmentation_data = false;
	in->row->is_signal_frame = false;
	if (c->failed || return_column != ARCH_DWARF_RA)
		return -EINVAL;
	if (*augmentation == 'z') {
		uint64_t length = dwarf_uleb(c);
		if (!dwarf_has(c, length))
			return -EINVAL;
		struct dwarf_cursor data = dwarf_cursor_of(c->at, c->at + length);
		dwarf_skip(c, length);
		in->has_augmentation_data = true;
		for (const uint8_t *letter = augmentation + 1; *letter; letter++) {
			if (*letter == 'R')
				in->pointer_encoding = dwarf_u8(&data);
			else if (*letter == 'S')
				in->row->is_signal_frame = true;
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

static void set_cfa(struct interpreter *in, uint64_t reg, int64_t value)
{
	if (reg >= ARCH_DWARF_REGISTERS)
		dwarf_fail(&in->code);
	in->row->cfa_is_expression = false;
	in->row->cfa_register = (uint8_t)reg;
	in->row->cfa_value = (int32_t)value;
}

/* Notes where an expression is, and skips it. */
static int32_t skip_expression(struct interpreter *in)
{
	uint64_t place = (uint64_t)(uintptr_t)in->code.at - in->table->low;
	dwarf_skip(&in->code, dwarf_uleb(&in->code));
	return (int32_t)place;
}

static int64_t factored(struct interpreter *in)
{
	return (int64_t)(dwarf_uleb(&in->code) * (uint64_t)(int64_t)in->data_align);
}

static int64_t factored_signed(struct interpreter *in)
{
	return (int64_t)((uint64_t)dwarf_sleb(&in->code) * (uint64_t)(int64_t)in->data_align);
}

static void execute_rare(struct interpreter *in, uint8_t op)
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

/* Executes a program until its end, or until the row under construction is beyond pc. */
static NOINLINE int execute(struct interpreter *in)
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

/* Opens the entry (FDE) of the function that contains in->pc; in->code is then its code. */
static int open_function(struct interpreter *in, uint64_t address)
{
	struct dwarf_cursor *c = &in->code;
	open_entry(in->table, address, c);
	dwarf_skip(c, sizeof(uint32_t)); /* the CIE's place was taken from it */
	in->location = dwarf_pointer(c, in->pointer_encoding, 0);
	uint64_t length = dwarf_pointer(c, in->pointer_encoding & DWARF_PE_FORM_MASK, 0);
	if (in->has_augmentation_data)
		dwarf_skip(c, dwarf_uleb(c));
	if (c->failed)
		return -EINVAL;
	return in->pc - in->location < length ? 0 : -ENOENT;
}

int cfi_find_row(const struct cfi_table *table, uint64_t pc, struct cfi_row *out_row)
{
	uint64_t address = search(table, pc);
	if (!address)
		return -ENOENT;
	struct interpreter in;
	in.table = table;
	in.row = out_row;
	in.pc = pc;
	in.remembered_count = 0;
	*out_row = (struct cfi_row){
		.cfa_register = ARCH_DWARF_SP,
		.rule = {[CFI_SP] = CFI_CFA_PLUS},
	};
	open_entry(table, address, &in.code);
	uint64_t id_place = (uint64_t)(uintptr_t)in.code.at;
	uint32_t id = dwarf_u32(&in.code);
	if (in.code.failed || id == 0 || id > id_place - table->low)
		return -EINVAL;
	int error = read_common(&in, id_place - id);
	if (error)
		return error;
	/* The initial code is the same at every pc: it runs to its end. */
	in.location = 0;
	error = execute(&in);
	if (error)
		return error;
	in.initial = *out_row;
	error = open_function(&in, address);
	return error ? error : execute(&in);
}

void cfi_expression(const struct cfi_table *table, int32_t place, struct dwarf_cursor *out_expression)
{
	struct dwarf_cursor *c = out_expression;
	*c = dwarf_cursor_of((const uint8_t *)(uintptr_t)(table->low + (uint32_t)place),
			     (const uint8_t *)(uintptr_t)table->high);
	uint64_t length = dwarf_uleb(c);
	if (!dwarf_has(c, length))
		dwarf_fail(c);
	else
		c->end = c->at + length;
}
