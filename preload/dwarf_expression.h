/* SPDX-License-Identifier: MIT */
/*
 * DWARF expressions as they occur in call frame information: PLT entries (stack
 * pointer plus a function of the pc), functions that realign their stack, the
 * signal trampoline, hand-written assembly.
 *
 * Two uses.  `fold` computes what holds for every walk that passes this pc: a
 * constant, a register plus a constant, or a word loaded from such a place; this can
 * be cached.  `evaluate` computes the value for one machine state.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_DWARF_EXPRESSION_H
#define PRELOAD_DWARF_EXPRESSION_H

#include "dwarf_cursor.h"
#include "safe_read.h"

#include <ucontext.h>

/* Registers and memory of one frame.  Registers not known are 0, but for: */
struct dwarf_machine {
	uint64_t pc;
	uint64_t sp;
	uint64_t fp;
	uint64_t bx;
	const ucontext_t *context; /* all other registers; NULL if not known */
	struct safe_reader *memory;
};

#define DWARF_TERM_CONSTANT 0xffu

/*
 * offset, if reg is DWARF_TERM_CONSTANT; reg + offset; or if is_loaded, the word
 * at reg + load_offset, plus offset.
 */
struct dwarf_term {
	uint64_t offset;
	int32_t load_offset;
	uint8_t reg;
	bool is_loaded;
};

/* A register by its DWARF number.  Returns 0, or -ENOENT if its value is not known. */
int dwarf_machine_register(const struct dwarf_machine *machine, uint64_t reg, uint64_t *out_value);

/*
 * Consumes the expression.  Returns 0; -EAGAIN if the value depends on more than a term can say;
 * -EINVAL if malformed.
 */
int dwarf_expression_fold(struct dwarf_cursor *expression, uint64_t pc, struct dwarf_term *out_term);

/*
 * Consumes the expression.  `initial` is pushed first (DW_CFA_expression pushes the CFA;
 * DW_CFA_def_cfa_expression does not care).  Returns 0; -EINVAL if malformed; -EFAULT if memory could
 * not be read; -ENOENT if a register is not known.
 */
int dwarf_expression_evaluate(struct dwarf_cursor *expression, const struct dwarf_machine *machine,
			      uint64_t initial, uint64_t *out_value);

#endif
