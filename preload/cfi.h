/* SPDX-License-Identifier: MIT */
/*
 * Call frame information: from a pc to the rules that undo its frame, by the
 * object's .eh_frame_hdr (sorted table) and .eh_frame, read where the loader mapped
 * them.  Every read is checked against the range of the segment that holds them; a
 * malformed table yields an error, never a fault.
 *
 * Only the registers that the unwinder follows are tracked.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_CFI_H
#define PRELOAD_CFI_H

#include "dwarf_cursor.h"

#include <stdbool.h>
#include <stdint.h>

/* Where an object's call frame information is: run-time addresses. */
struct cfi_table {
	uint64_t header;  /* .eh_frame_hdr, which its table entries count from */
	uint64_t entries; /* sorted pairs {int32_t function, int32_t fde} */
	uint32_t entry_count;
	uint64_t low; /* readable bytes: [low, high), less than 4 GiB */
	uint64_t high;
};

enum cfi_register { CFI_RA, CFI_SP, CFI_FP, CFI_BX, CFI_REGISTER_COUNT };

enum cfi_rule {
	CFI_SAME,          /* not changed by this frame */
	CFI_UNDEFINED,     /* lost; for the return address: this is the outermost frame */
	CFI_AT_CFA,        /* saved at CFA + value */
	CFI_CFA_PLUS,      /* it is CFA + value */
	CFI_IN_REGISTER,   /* it is in the register of DWARF number `value` */
	CFI_AT_EXPRESSION, /* saved at the address that the expression yields */
	CFI_IS_EXPRESSION  /* the expression yields it */
};

/* The rules at one pc.  An expression is its place: bytes from table.low to its length. */
struct cfi_row {
	bool cfa_is_expression;
	uint8_t cfa_register;             /* CFA = this DWARF register + cfa_value, unless an expression */
	uint8_t rule[CFI_REGISTER_COUNT]; /* enum cfi_rule */
	bool is_signal_frame;             /* the caller was interrupted: its pc is exact */
	int32_t cfa_value;
	int32_t value[CFI_REGISTER_COUNT];
};

/*
 * Reads the header of .eh_frame_hdr.  Returns 0, -ENOENT if it has no search table,
 * -EINVAL if it is malformed or lies outside [low, high).
 */
int cfi_open(uint64_t eh_frame_hdr, uint64_t low, uint64_t high, struct cfi_table *out_table);

/*
 * The rules at pc.  For a return address pass the address before it: the call may
 * be the function's last instruction.  Returns 0, -ENOENT if no function covers pc,
 * -EINVAL if malformed.
 */
int cfi_find_row(const struct cfi_table *table, uint64_t pc, struct cfi_row *out_row);

/* The bytes of an expression that a row names by its place. */
void cfi_expression(const struct cfi_table *table, int32_t place, struct dwarf_cursor *out_expression);

#endif
