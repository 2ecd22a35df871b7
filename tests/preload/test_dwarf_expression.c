/* SPDX-License-Identifier: MIT */
/* Expressions of call frame information: the forms that occur, arithmetic, and malformed ones. */
#include <criterion/criterion.h>
#include <errno.h>

#include "cprof_shm.h"
#include "dwarf_expression.h"

static struct dwarf_cursor bytes_of(const char *bytes, size_t length)
{
	return dwarf_cursor_of((const uint8_t *)bytes, (const uint8_t *)bytes + length);
}
#define BYTES(literal) bytes_of(literal, sizeof(literal) - 1)

static uint64_t stack[4] = {11, 22, 33, 44};
static struct safe_reader reader;
static struct dwarf_machine machine;

static void set_up(void)
{
	safe_reader_init(&reader, (uint64_t)stack, (uint64_t)(stack + 4), NULL);
	machine = (struct dwarf_machine){.pc = 0x401036,
					 .sp = (uint64_t)stack,
					 .fp = (uint64_t)(stack + 2),
					 .bx = 5,
					 .memory = &reader};
}

TestSuite(dwarf_expression, .init = set_up);

#define PLT "\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22"

Test(dwarf_expression, plt_entry_folds_to_a_constant_distance)
{
	struct dwarf_term term;
	for (uint64_t pc = 0x401030; pc < 0x401040; pc++) {
		struct dwarf_cursor plt = BYTES(PLT);
		cr_assert_eq(dwarf_expression_fold(&plt, pc, &term), 0);
		cr_assert_eq(term.reg, 7);
		cr_assert_not(term.is_loaded);
		cr_assert_eq(term.offset, (pc & 15) >= 11 ? 16 : 8);
	}
}

Test(dwarf_expression, realigned_stack_folds_to_a_loaded_word)
{
	struct dwarf_term term;
	struct dwarf_cursor cfa = BYTES("\x76\x78\x06");
	cr_assert_eq(dwarf_expression_fold(&cfa, 0, &term), 0);
	cr_assert(term.is_loaded);
	cr_assert_eq(term.reg, 6);
	cr_assert_eq(term.load_offset, -8);
	cr_assert_eq(term.offset, 0);
	cfa = BYTES("\x77\x08\x06\x23\x18");
	cr_assert_eq(dwarf_expression_fold(&cfa, 0, &term), 0);
	cr_assert(term.is_loaded);
	cr_assert_eq(term.load_offset, 8);
	cr_assert_eq(term.offset, 24);
}

Test(dwarf_expression, what_is_no_term_does_not_fold)
{
	struct dwarf_term term;
	struct dwarf_cursor two_registers = BYTES("\x77\x08\x79\x00\x22");
	cr_assert_eq(dwarf_expression_fold(&two_registers, 0, &term), -EAGAIN);
	struct dwarf_cursor two_loads = BYTES("\x77\x08\x06\x06");
	cr_assert_eq(dwarf_expression_fold(&two_loads, 0, &term), -EAGAIN);
	struct dwarf_cursor negated = BYTES("\x77\x08\x1f");
	cr_assert_eq(dwarf_expression_fold(&negated, 0, &term), -EAGAIN);
}

static uint64_t value_of(struct dwarf_cursor expression, uint64_t initial)
{
	uint64_t value = 0;
	cr_assert_eq(dwarf_expression_evaluate(&expression, &machine, initial, &value), 0);
	return value;
}

Test(dwarf_expression, folded_and_evaluated_agree)
{
	cr_assert_eq(value_of(BYTES(PLT), 0), machine.sp + 8);
	machine.pc += 8;
	cr_assert_eq(value_of(BYTES(PLT), 0), machine.sp + 16);
	cr_assert_eq(value_of(BYTES("\x76\x78\x06"), 0), 22);
	cr_assert_eq(value_of(BYTES("\x77\x08\x06\x23\x18"), 0), 22 + 24);
}

Test(dwarf_expression, arithmetic_is_that_of_the_standard)
{
	cr_assert_eq(value_of(BYTES("\x08\xff"), 0), 255);
	cr_assert_eq(value_of(BYTES("\x09\xff"), 0), UINT64_MAX);
	cr_assert_eq(value_of(BYTES("\x0b\xfe\xff"), 0), UINT64_MAX - 1);
	cr_assert_eq(value_of(BYTES("\x10\x80\x01"), 0), 128);
	cr_assert_eq(value_of(BYTES("\x11\x7f"), 0), UINT64_MAX);
	cr_assert_eq(value_of(BYTES("\x35\x33\x1c"), 0), 2);                /* 5 - 3 */
	cr_assert_eq(value_of(BYTES("\x11\x79\x32\x1b"), 0), (uint64_t)-3); /* -7 / 2 */
	cr_assert_eq(value_of(BYTES("\x37\x33\x1d"), 0), 1);                /* 7 mod 3 */
	cr_assert_eq(value_of(BYTES("\x36\x37\x1e"), 0), 42);
	cr_assert_eq(value_of(BYTES("\x11\x70\x34\x26"), 0), UINT64_MAX); /* -16 >> 4, signed */
	cr_assert_eq(value_of(BYTES("\x11\x7f\x19"), 0), 1);
	cr_assert_eq(value_of(BYTES("\x33\x35\x2d"), 0), 1); /* 3 < 5 */
	cr_assert_eq(value_of(BYTES("\x33\x35\x2b"), 0), 0);
	cr_assert_eq(value_of(BYTES("\x31\x32\x33\x17\x13\x13"), 0), 3); /* rot puts the top third */
	cr_assert_eq(value_of(BYTES("\x31\x32\x14\x22"), 0), 3);         /* over, plus */
	cr_assert_eq(value_of(BYTES("\x31\x32\x15\x01\x22\x22"), 0), 4); /* pick 1 */
	cr_assert_eq(value_of(BYTES("\x31\x32\x16\x1c"), 0), 1);         /* swap, minus */
}

Test(dwarf_expression, branches_are_taken_and_bounded)
{
	uint64_t value;
	cr_assert_eq(value_of(BYTES("\x31\x28\x01\x00\x36\x37"), 0), 7);
	cr_assert_eq(value_of(BYTES("\x34\x30\x28\x01\x00\x96"), 0), 4);
	struct dwarf_cursor forever = BYTES("\x2f\xfd\xff");
	cr_assert_eq(dwarf_expression_evaluate(&forever, &machine, 0, &value), -EINVAL);
	struct dwarf_cursor outside = BYTES("\x2f\x10\x00");
	cr_assert_eq(dwarf_expression_evaluate(&outside, &machine, 0, &value), -EINVAL);
}

Test(dwarf_expression, initial_value_is_on_the_stack)
{
	cr_assert_eq(value_of(BYTES("\x23\x08"), 100), 108);
}

Test(dwarf_expression, other_registers_come_from_the_context_or_not_at_all)
{
	uint64_t value;
	struct dwarf_cursor r9 = BYTES("\x79\x08");
	cr_assert_eq(dwarf_expression_evaluate(&r9, &machine, 0, &value), -ENOENT);
	ucontext_t context = {0};
	context.uc_mcontext.gregs[REG_R9] = 1000;
	machine.context = &context;
	cr_assert_eq(value_of(BYTES("\x79\x08"), 0), 1008);
	cr_assert_eq(value_of(BYTES("\x92\x09\x08"), 0), 1008);
}

Test(dwarf_expression, unreadable_memory_and_malformed_bytes_are_errors)
{
	uint64_t value;
	struct dwarf_cursor null = BYTES("\x30\x06");
	cr_assert_eq(dwarf_expression_evaluate(&null, &machine, 0, &value), -EFAULT);
	const struct dwarf_cursor bad[] = {
		BYTES("\x13\x13"),     BYTES("\xff"),
		BYTES("\x10\x80"),     BYTES("\x12\x12\x12\x12\x12\x12\x12\x12\x12"),
		BYTES("\x35\x30\x1b"), BYTES("\x92\x20\x00"),
		BYTES("\x15\x09"),
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct dwarf_cursor expression = bad[i];
		cr_assert_eq(dwarf_expression_evaluate(&expression, &machine, 0, &value), -EINVAL, "case %zu",
			     i);
	}
}

Test(dwarf_expression, random_bytes_do_no_harm)
{
	uint64_t words[4], value;
	struct dwarf_term term;
	for (uint64_t round = 0; round < 200000; round++) {
		for (uint64_t i = 0; i < 4; i++)
			words[i] = cprof_mix64(round * 4 + i + 1);
		struct dwarf_cursor expression = bytes_of((const char *)words, round % sizeof words);
		struct dwarf_cursor same = expression;
		safe_reader_init(&reader, (uint64_t)stack, (uint64_t)(stack + 4), NULL);
		(void)dwarf_expression_fold(&same, machine.pc, &term);
		if (round % 16 == 0) /* most loads are system calls that fail */
			(void)dwarf_expression_evaluate(&expression, &machine, 0, &value);
	}
}
