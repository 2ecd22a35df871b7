/* SPDX-License-Identifier: MIT */
/*
 * What the unwinder and the handlers know about x86-64: DWARF register numbers (System V psABI,
 * figure 3.36), where a signal context keeps them, and the shape of a frame; and how a
 * signal context shows a system call that has just returned.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_ARCH_X86_64_H
#define PRELOAD_ARCH_X86_64_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#define ARCH_DWARF_BX 3u
#define ARCH_DWARF_FP 6u
#define ARCH_DWARF_SP 7u
#define ARCH_DWARF_RA 16u
#define ARCH_DWARF_REGISTERS 17u

/* The word that a call pushes lies right below the caller's stack pointer. */
#define ARCH_RA_CFA_OFFSET (-8)

/* A leaf function may use this much below its stack pointer. */
#define ARCH_RED_ZONE_BYTES 128u

/* User-space code lies below; nothing is ever mapped in the first 64 KiB (vm.mmap_min_addr). */
#define ARCH_CODE_END (UINT64_C(1) << 47)
#define ARCH_CODE_START (UINT64_C(1) << 16)

/* The longest call instruction. */
#define ARCH_CALL_BYTES_MAX 7

/*
 * Whether the instruction that ends at `end` may be a call: E8 rel32, or FF /2 with
 * every form of its operand.  Reads the ARCH_CALL_BYTES_MAX bytes before `end`.
 */
static inline bool arch_is_after_call(const uint8_t *end)
{
	static const uint8_t lengths[] = {2, 3, 4, 6, 7};
	if (end[-5] == 0xe8)
		return true;
	for (uint32_t i = 0; i < sizeof(lengths); i++)
		if (end[-lengths[i]] == 0xff && (end[1 - lengths[i]] & 0x38) == 0x10)
			return true;
	return false;
}

static inline uint64_t arch_context_pc(const ucontext_t *context)
{
	return (uint64_t)context->uc_mcontext.gregs[REG_RIP];
}
static inline uint64_t arch_context_sp(const ucontext_t *context)
{
	return (uint64_t)context->uc_mcontext.gregs[REG_RSP];
}
static inline uint64_t arch_context_fp(const ucontext_t *context)
{
	return (uint64_t)context->uc_mcontext.gregs[REG_RBP];
}
static inline uint64_t arch_context_bx(const ucontext_t *context)
{
	return (uint64_t)context->uc_mcontext.gregs[REG_RBX];
}

/* A register by its DWARF number, which must be below ARCH_DWARF_REGISTERS. */
static inline uint64_t arch_context_register(const ucontext_t *context, uint32_t dwarf_register)
{
	static const uint8_t index[ARCH_DWARF_REGISTERS] = {
		REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
		REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
	};
	return (uint64_t)context->uc_mcontext.gregs[index[dwarf_register]];
}

/* What is read before the end of a system call's instruction to find out its number. */
#define ARCH_SYSCALL_CODE_BYTES 8
#define ARCH_SYSCALL_BYTES 2

/* Whether the context may be that of a system call that returned `result`, before any other instruction. */
static inline bool arch_context_is_after_syscall(const ucontext_t *context, long result)
{
	const greg_t *registers = context->uc_mcontext.gregs;
	return registers[REG_RAX] == result && registers[REG_RCX] == registers[REG_RIP];
}

/* Its arguments, from 0; they are still there. */
static inline uint64_t arch_context_argument(const ucontext_t *context, uint32_t argument)
{
	static const uint8_t index[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
	return (uint64_t)context->uc_mcontext.gregs[index[argument]];
}

/*
 * Its number, if the instruction before it says so: mov $number,%eax, or a move from a register
 * that is still as it was.  Else -1.  `code`: the ARCH_SYSCALL_CODE_BYTES before the context's pc.
 */
static inline long arch_context_syscall(const ucontext_t *context, const uint8_t *code)
{
	static const int16_t index[] = {-1,     -1,     REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
					REG_R8, REG_R9, REG_R10, -1,      REG_R12, REG_R13, REG_R14, REG_R15};
	const uint8_t *end = code + ARCH_SYSCALL_CODE_BYTES - ARCH_SYSCALL_BYTES;
	if (end[0] != 0x0f || end[1] != 0x05)
		return -1;
	if (end[-5] == 0xb8 && (end[-6] & 0xf1) != 0x41) /* with that prefix it goes to r8 */
		return (long)(end[-4] | (uint32_t)end[-3] << 8 | (uint32_t)end[-2] << 16 |
			      (uint32_t)end[-1] << 24);
	if (end[-2] != 0x89 || (end[-1] & 0xc7) != 0xc0) /* mov register,%eax */
		return -1;
	bool has_prefix = (end[-3] & 0xf0) == 0x40, is_upper = has_prefix && (end[-3] & 0x04);
	int at = index[(end[-1] >> 3 & 7) | (is_upper ? 8 : 0)];
	return at < 0 || (has_prefix && (end[-3] & 0x01)) ? -1 : context->uc_mcontext.gregs[at];
}

/* Has it made again when the handler returns. */
static inline void arch_context_repeat_syscall(ucontext_t *context, long number)
{
	context->uc_mcontext.gregs[REG_RAX] = number;
	context->uc_mcontext.gregs[REG_RIP] -= ARCH_SYSCALL_BYTES;
}

/*
 * While the return trampoline of a signal handler runs (or is about to), the stack
 * pointer is the address of the interrupted code's ucontext.
 */
static inline uint64_t arch_signal_frame_context(uint64_t sp)
{
	return sp;
}

#endif
