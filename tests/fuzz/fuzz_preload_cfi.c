/* SPDX-License-Identifier: MIT */
/*
 * Call frame information as the unwinder in the program reads it: .eh_frame_hdr with .eh_frame
 * behind it, and the expressions in it.  The input is at the very end of what can be read: one
 * byte further is a fault.
 *
 * Context: test program.
 */
#include <sys/mman.h>

#include "cfi.h"
#include "dwarf_expression.h"
#include "fuzz.h"

#define SPACE ((size_t)1 << 20)
#define PAGE 4096u
#define LOOKS 256

static void look_at(const struct cfi_table *table, uint64_t pc)
{
	struct cfi_row row;
	if (cfi_find_row(table, pc, &row))
		return;
	for (int i = 0; i <= CFI_REGISTER_COUNT; i++) {
		bool is_cfa = i == CFI_REGISTER_COUNT;
		if (is_cfa ? !row.cfa_is_expression
			   : row.rule[i] != CFI_IS_EXPRESSION && row.rule[i] != CFI_AT_EXPRESSION)
			continue;
		struct dwarf_cursor expression;
		struct dwarf_term term;
		struct safe_reader memory;
		uint64_t value;
		const struct dwarf_machine machine = {.pc = pc, .sp = 0x1000, .memory = &memory};
		safe_reader_init(&memory, 0, 0, NULL);
		cfi_expression(table, is_cfa ? row.cfa_value : row.value[i], &expression);
		(void)dwarf_expression_fold(&expression, pc, &term);
		cfi_expression(table, is_cfa ? row.cfa_value : row.value[i], &expression);
		(void)dwarf_expression_evaluate(&expression, &machine, 0x2000, &value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char *space;
	struct cfi_table table;
	if (!space) {
		space = mmap(NULL, SPACE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		fuzz_demand(space != MAP_FAILED && mprotect(space + SPACE, PAGE, PROT_NONE) == 0);
	}
	if (size > SPACE)
		return 0;
	unsigned char *low = space + SPACE - size;
	memcpy(low, data, size);
	uint64_t start = (uint64_t)(uintptr_t)low;
	if (cfi_open(start, start, start + size, &table))
		return 0;
	/* Functions are where the table says: before it, mostly. */
	for (uint32_t i = 0; i < table.entry_count && i < LOOKS; i++) {
		int32_t function;
		memcpy(&function, (const void *)(uintptr_t)(table.entries + (uint64_t)i * 8),
		       sizeof function);
		for (uint64_t step = 0; step < 64; step += 7)
			look_at(&table, table.header + (uint64_t)(int64_t)function + step);
	}
	look_at(&table, 0);
	look_at(&table, UINT64_MAX);
	return 0;
}
