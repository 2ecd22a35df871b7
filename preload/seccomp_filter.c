/* SPDX-License-Identifier: MIT */
/*
 * Runs the filter as the kernel does: classic BPF on struct seccomp_data.  Jumps only go
 * forward, so it ends.  Whatever the kernel's checks would refuse ends it as allowed.
 *
 * Context: any (async-signal-safe).
 */
#include "seccomp_filter.h"

#include <linux/filter.h>
#include <string.h>

#include "safe_read.h"

struct machine {
	uint32_t a, x;
	uint32_t memory[BPF_MEMWORDS];
};

static uint32_t compute(uint16_t operation, uint32_t a, uint32_t b)
{
	switch (operation) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return b ? a / b : 0;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_LSH:
		return b < 32 ? a << b : 0;
	case BPF_RSH:
		return b < 32 ? a >> b : 0;
	case BPF_XOR:
		return a ^ b;
	default: /* BPF_NEG */
		return 0 - a;
	}
}

static bool compare(uint16_t operation, uint32_t a, uint32_t b)
{
	switch (operation) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	default: /* BPF_JSET */
		return (a & b) != 0;
	}
}

/* What BPF_LD and BPF_LDX load; false: the kernel would refuse it. */
static bool load(const struct machine *machine, const struct sock_filter *step,
		 const struct seccomp_data *call, uint32_t *out_word)
{
	switch (BPF_MODE(step->code)) {
	case BPF_IMM:
		*out_word = step->k;
		return true;
	case BPF_LEN:
		*out_word = sizeof *call;
		return true;
	case BPF_MEM:
		if (step->k >= BPF_MEMWORDS)
			return false;
		*out_word = machine->memory[step->k];
		return true;
	case BPF_ABS:
		if (step->k > sizeof *call - sizeof *out_word)
			return false;
		memcpy(out_word, (const char *)call + step->k, sizeof *out_word);
		return true;
	default:
		return false;
	}
}

bool seccomp_filter_allows(uint64_t program, const struct seccomp_data *call)
{
	struct sock_fprog filter;
	struct machine machine = {.a = 0};
	if (!safe_read_copy_by_call(program, &filter, sizeof filter))
		return true;
	for (uint32_t at = 0; at < filter.len; at++) {
		struct sock_filter step;
		if (!safe_read_copy_by_call((uint64_t)(uintptr_t)(filter.filter + at), &step, sizeof step))
			return true;
		uint32_t operand = BPF_SRC(step.code) == BPF_X ? machine.x : step.k;
		uint32_t result;
		switch (BPF_CLASS(step.code)) {
		case BPF_LD:
			if (!load(&machine, &step, call, &machine.a))
				return true;
			break;
		case BPF_LDX:
			if (!load(&machine, &step, call, &machine.x))
				return true;
			break;
		case BPF_ST:
		case BPF_STX:
			if (step.k >= BPF_MEMWORDS)
				return true;
			machine.memory[step.k] = BPF_CLASS(step.code) == BPF_ST ? machine.a : machine.x;
			break;
		case BPF_ALU:
			machine.a = compute(BPF_OP(step.code), machine.a, operand);
			break;
		case BPF_JMP:
			if (BPF_OP(step.code) == BPF_JA) {
				if (step.k >= filter.len)
					return true;
				at += step.k;
			} else {
				at += compare(BPF_OP(step.code), machine.a, operand) ? step.jt : step.jf;
			}
			break;
		case BPF_MISC:
			if (BPF_MISCOP(step.code) == BPF_TAX)
				machine.x = machine.a;
			else
				machine.a = machine.x;
			break;
		default: /* BPF_RET */
			result = BPF_RVAL(step.code) == BPF_A ? machine.a : step.k;
			result &= SECCOMP_RET_ACTION_FULL;
			return result == SECCOMP_RET_ALLOW || result == SECCOMP_RET_LOG;
		}
	}
	return true;
}
