/* SPDX-License-Identifier: MIT */
/*
 * One interpreter serves both uses: its stack holds terms.  With a machine, a
 * register is at once replaced by its value, so that all terms are constants;
 * without one, an operation whose result is no term gives up.
 *
 * Context: any (async-signal-safe).
 */
#include "dwarf_expression.h"

#include <errno.h>

#include "arch_x86_64.h"

enum dwarf_op {
	OP_ADDR = 0x03,
	OP_DEREF = 0x06,
	OP_CONST1U = 0x08,
	OP_CONST1S = 0x09,
	OP_CONST2U = 0x0a,
	OP_CONST2S = 0x0b,
	OP_CONST4U = 0x0c,
	OP_CONST4S = 0x0d,
	OP_CONST8U = 0x0e,
	OP_CONST8S = 0x0f,
	OP_CONSTU = 0x10,
	OP_CONSTS = 0x11,
	OP_DUP = 0x12,
	OP_DROP = 0x13,
	OP_OVER = 0x14,
	OP_PICK = 0x15,
	OP_SWAP = 0x16,
	OP_ROT = 0x17,
	OP_ABS = 0x19,
	OP_AND = 0x1a,
	OP_DIV = 0x1b,
	OP_MINUS = 0x1c,
	OP_MOD = 0x1d,
	OP_MUL = 0x1e,
	OP_NEG = 0x1f,
	OP_NOT = 0x20,
	OP_OR = 0x21,
	OP_PLUS = 0x22,
	OP_PLUS_UCONST = 0x23,
	OP_SHL = 0x24,
	OP_SHR = 0x25,
	OP_SHRA = 0x26,
	OP_XOR = 0x27,
	OP_BRA = 0x28,
	OP_EQ = 0x29,
	OP_GE = 0x2a,
	OP_GT = 0x2b,
	OP_LE = 0x2c,
	OP_LT = 0x2d,
	OP_NE = 0x2e,
	OP_SKIP = 0x2f,
	OP_LIT0 = 0x30,
	OP_LIT31 = 0x4f,
	OP_BREG0 = 0x70,
	OP_BREG31 = 0x8f,
	OP_BREGX = 0x92,
	OP_NOP = 0x96,
};

/*
 * The deepest in Debian's libraries is 3, and one for `initial`; branches could loop, so steps are
 * bounded too.
 */
#define STACK_TERMS 5
#define STEPS_MAX 64

struct interpreter {
	struct dwarf_cursor *code;
	const uint8_t *start;
	const struct dwarf_machine *machine; /* NULL: fold */
	uint64_t pc;
	int error; /* sticky */
	uint32_t depth;
	struct dwarf_term stack[STACK_TERMS];
};

static void give_up(struct interpreter *in, int error)
{
	if (!in->error)
		in->error = error;
}

static void push(struct interpreter *in, struct dwarf_term term)
{
	if (in->depth == STACK_TERMS)
		give_up(in, -EINVAL);
	else
		in->stack[in->depth++] = term;
}

static void push_constant(struct interpreter *in, uint64_t value)
{
	push(in, (struct dwarf_term){.reg = DWARF_TERM_CONSTANT, .offset = value});
}

static struct dwarf_term pop(struct interpreter *in)
{
	if (in->depth == 0) {
		give_up(in, -EINVAL);
		return (struct dwarf_term){.reg = DWARF_TERM_CONSTANT};
	}
	return in->stack[--in->depth];
}

static uint64_t pop_constant(struct interpreter *in)
{
	struct dwarf_term term = pop(in);
	if (term.reg != DWARF_TERM_CONSTANT)
		give_up(in, -EAGAIN);
	return term.offset;
}

static void push_copy_of(struct interpreter *in, uint32_t below_top)
{
	if (below_top >= in->depth)
		give_up(in, -EINVAL);
	else
		push(in, in->stack[in->depth - 1 - below_top]);
}

static void push_register(struct interpreter *in, uint64_t reg, int64_t offset)
{
	if (reg == ARCH_DWARF_RA) { /* as a source, the "return address column" is the pc */
		push_constant(in, in->pc + (uint64_t)offset);
		return;
	}
	if (reg >= ARCH_DWARF_REGISTERS) {
		give_up(in, -EINVAL);
		return;
	}
	uint64_t value = 0;
	if (!in->machine) {
		push(in, (struct dwarf_term){.reg = (uint8_t)reg, .offset = (uint64_t)offset});
		return;
	}
	int error = dwarf_machine_register(in->machine, reg, &value);
	if (error)
		give_up(in, error);
	push_constant(in, value + (uint64_t)offset);
}

static void load(struct interpreter *in)
{
	struct dwarf_term term = pop(in);
	if (in->machine) {
		uint64_t word = 0;
		if (!in->error && !safe_read_word(in->machine->memory, term.offset, &word))
			give_up(in, -EFAULT);
		push_constant(in, word);
		return;
	}
	bool is_term = term.reg != DWARF_TERM_CONSTANT && !term.is_loaded &&
		       (uint64_t)(int64_t)(int32_t)term.offset == term.offset;
	if (!is_term)
		give_up(in, -EAGAIN);
	push(in,
	     (struct dwarf_term){.reg = term.reg, .is_loaded = true, .load_offset = (int32_t)term.offset});
}

static void add(struct interpreter *in)
{
	struct dwarf_term top = pop(in);
	struct dwarf_term next = pop(in);
	if (top.reg != DWARF_TERM_CONSTANT) {
		struct dwarf_term swap = top;
		top = next;
		next = swap;
	}
	if (top.reg != DWARF_TERM_CONSTANT)
		give_up(in, -EAGAIN);
	next.offset += top.offset;
	push(in, next);
}

static void jump(struct interpreter *in, int16_t distance, bool is_taken)
{
	if (!is_taken || in->code->failed)
		return;
	if (distance < in->start - in->code->at || distance > in->code->end - in->code->at)
		give_up(in, -EINVAL);
	else
		in->code->at += distance;
}

/* `a` was below `b` on the stack. */
static uint64_t apply_binary(struct interpreter *in, uint8_t op, uint64_t a, uint64_t b)
{
	int64_t sa = (int64_t)a, sb = (int64_t)b;
	switch (op) {
	case OP_AND:
		return a & b;
	case OP_OR:
		return a | b;
	case OP_XOR:
		return a ^ b;
	case OP_MUL:
		return a * b;
	case OP_SHL:
		return b < 64 ? a << b : 0;
	case OP_SHR:
		return b < 64 ? a >> b : 0;
	case OP_SHRA:
		return (uint64_t)(sa >> (b < 64 ? b : 63));
	case OP_DIV:
	case OP_MOD:
		if (b == 0 || (op == OP_DIV && sa == INT64_MIN && sb == -1)) {
			give_up(in, -EINVAL);
			return 0;
		}
		return op == OP_DIV ? (uint64_t)(sa / sb) : a % b;
	case OP_EQ:
		return sa == sb;
	case OP_NE:
		return sa != sb;
	case OP_GE:
		return sa >= sb;
	case OP_GT:
		return sa > sb;
	case OP_LE:
		return sa <= sb;
	default:
		return sa < sb; /* OP_LT */
	}
}

/* Operations without operand bytes, on the top of the stack. */
static void step_stack(struct interpreter *in, uint8_t op)
{
	uint64_t value;
	struct dwarf_term first, second, third;

	switch (op) {
	case OP_NOP:
		return;
	case OP_DUP:
		push_copy_of(in, 0);
		return;
	case OP_OVER:
		push_copy_of(in, 1);
		return;
	case OP_DROP:
		pop(in);
		return;
	case OP_SWAP:
		first = pop(in);
		second = pop(in);
		push(in, first);
		push(in, second);
		return;
	case OP_ROT:
		first = pop(in);
		second = pop(in);
		third = pop(in);
		push(in, first);
		push(in, third);
		push(in, second);
		return;
	case OP_DEREF:
		load(in);
		return;
	case OP_PLUS:
		add(in);
		return;
	case OP_MINUS: /* by adding the negative, which keeps a register on the left */
		value = pop_constant(in);
		push_constant(in, 0 - value);
		add(in);
		return;
	case OP_ABS:
		value = pop_constant(in);
		push_constant(in, (int64_t)value < 0 ? 0 - value : value);
		return;
	case OP_NEG:
		push_constant(in, 0 - pop_constant(in));
		return;
	case OP_NOT:
		push_constant(in, ~pop_constant(in));
		return;
	case OP_AND:
	case OP_OR:
	case OP_XOR:
	case OP_MUL:
	case OP_DIV:
	case OP_MOD:
	case OP_SHL:
	case OP_SHR:
	case OP_SHRA:
	case OP_EQ:
	case OP_NE:
	case OP_GE:
	case OP_GT:
	case OP_LE:
	case OP_LT:
		value = pop_constant(in);
		push_constant(in, apply_binary(in, op, pop_constant(in), value));
		return;
	default:
		give_up(in, -EINVAL);
	}
}

static void step(struct interpreter *in)
{
	struct dwarf_cursor *c = in->code;
	uint8_t op = dwarf_u8(c);
	int16_t distance;
	uint64_t reg;

	if (op >= OP_LIT0 && op <= OP_LIT31) {
		push_constant(in, op - OP_LIT0);
		return;
	}
	if (op >= OP_BREG0 && op <= OP_BREG31) {
		push_register(in, op - OP_BREG0, dwarf_sleb(c));
		return;
	}
	switch (op) {
	case OP_CONST1U:
		push_constant(in, dwarf_u8(c));
		break;
	case OP_CONST1S:
		push_constant(in, (uint64_t)(int64_t)(int8_t)dwarf_u8(c));
		break;
	case OP_CONST2U:
		push_constant(in, dwarf_u16(c));
		break;
	case OP_CONST2S:
		push_constant(in, (uint64_t)(int64_t)(int16_t)dwarf_u16(c));
		break;
	case OP_CONST4U:
		push_constant(in, dwarf_u32(c));
		break;
	case OP_CONST4S:
		push_constant(in, (uint64_t)(int64_t)(int32_t)dwarf_u32(c));
		break;
	case OP_ADDR:
	case OP_CONST8U:
	case OP_CONST8S:
		push_constant(in, dwarf_u64(c));
		break;
	case OP_CONSTU:
		push_constant(in, dwarf_uleb(c));
		break;
	case OP_CONSTS:
		push_constant(in, (uint64_t)dwarf_sleb(c));
		break;
	case OP_PLUS_UCONST:
		push_constant(in, dwarf_uleb(c));
		add(in);
		break;
	case OP_PICK:
		push_copy_of(in, dwarf_u8(c));
		break;
	case OP_BREGX:
		reg = dwarf_uleb(c);
		push_register(in, reg, dwarf_sleb(c));
		break;
	case OP_SKIP:
		distance = (int16_t)dwarf_u16(c);
		jump(in, distance, true);
		break;
	case OP_BRA:
		distance = (int16_t)dwarf_u16(c);
		jump(in, distance, pop_constant(in) != 0);
		break;
	default:
		step_stack(in, op);
	}
}

static ALWAYS_INLINE int run(struct interpreter *in)
{
	for (int steps = 0; in->code->at < in->code->end && !in->error; steps++) {
		if (steps == STEPS_MAX)
			return -EINVAL;
		step(in);
	}
	if (in->code->failed || in->depth == 0)
		return -EINVAL;
	return in->error;
}

int dwarf_machine_register(const struct dwarf_machine *machine, uint64_t reg, uint64_t *out_value)
{
	switch (reg) {
	case ARCH_DWARF_SP:
		*out_value = machine->sp;
		return 0;
	case ARCH_DWARF_FP:
		*out_value = machine->fp;
		return 0;
	case ARCH_DWARF_BX:
		*out_value = machine->bx;
		return 0;
	case ARCH_DWARF_RA:
		*out_value = machine->pc;
		return 0;
	default:
		if (!machine->context || reg >= ARCH_DWARF_REGISTERS)
			return -ENOENT;
		*out_value = arch_context_register(machine->context, (uint32_t)reg);
		return 0;
	}
}

int dwarf_expression_fold(struct dwarf_cursor *expression, uint64_t pc, struct dwarf_term *out_term)
{
	struct interpreter in;
	in.code = expression;
	in.start = expression->at;
	in.machine = NULL;
	in.pc = pc;
	in.error = 0;
	in.depth = 0;
	int error = run(&in);
	if (!error)
		*out_term = in.stack[in.depth - 1];
	return error;
}

int dwarf_expression_evaluate(struct dwarf_cursor *expression, const struct dwarf_machine *machine,
			      uint64_t initial, uint64_t *out_value)
{
	struct interpreter in;
	in.code = expression;
	in.start = expression->at;
	in.machine = machine;
	in.pc = machine->pc;
	in.error = 0;
	in.depth = 0;
	push_constant(&in, initial);
	int error = run(&in);
	if (!error)
		*out_value = in.stack[in.depth - 1].offset;
	return error;
}
