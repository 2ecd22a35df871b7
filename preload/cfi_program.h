/* SPDX-License-Identifier: MIT */
/*
 * Runs the instructions of call frame information.
 *
 * A row is 28 bytes, so that the state with its initial row and the remembered ones fits
 * into a signal handler's share of a small stack.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_CFI_PROGRAM_H
#define PRELOAD_CFI_PROGRAM_H

#include "cfi.h"

/* Debian's largest programs never nest two; hand-written assembly may. */
#define CFI_REMEMBERED_ROWS 2

struct cfi_program {
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
	struct cfi_row remembered[CFI_REMEMBERED_ROWS];
};

/*
 * Runs in->code until its end, or until the row under construction is beyond in->pc: then
 * *in->row is the row at pc.  Returns 0 or -EINVAL.
 */
int cfi_program_run(struct cfi_program *in);

#endif
