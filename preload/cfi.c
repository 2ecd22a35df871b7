/* SPDX-License-Identifier: MIT */
/*
 * The search table, and the entries it leads to: an FDE for each function, a CIE for what
 * the functions of a file share.
 *
 * Format: Linux Standard Base 5.0, 10.6 (.eh_frame), 10.7 (.eh_frame_hdr).
 *
 * Context: any (async-signal-safe).
 */
#include "cfi.h"

#include <errno.h>

#include "arch_x86_64.h"
#include "cfi_program.h"

/* Linkers align the table; nobody promises it. */
struct table_entry {
	int32_t function;
	int32_t fde;
} __attribute__((packed));

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
static int read_common(struct cfi_program *in, uint64_t address)
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

/* Opens the entry (FDE) of the function that contains in->pc; in->code is then its code. */
static int open_function(struct cfi_program *in, uint64_t address)
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
	struct cfi_program in;
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
	error = cfi_program_run(&in);
	if (error)
		return error;
	in.initial = *out_row;
	error = open_function(&in, address);
	return error ? error : cfi_program_run(&in);
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
