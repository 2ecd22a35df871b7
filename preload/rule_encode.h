/* SPDX-License-Identifier: MIT */
/*
 * From a row of call frame information to the one word that the cache holds.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_RULE_ENCODE_H
#define PRELOAD_RULE_ENCODE_H

#include "cfi.h"

/*
 * The rule at pc, without module row and visibility.  Returns false for rows that a
 * word cannot say: signal frames, expressions of unusual form, rules by registers
 * other than the stack and frame pointer and bx.
 */
bool rule_encode(const struct cfi_table *table, const struct cfi_row *row, uint64_t pc, uint64_t *out_rule);

#endif
