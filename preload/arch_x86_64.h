/* SPDX-License-Identifier: MIT */
/*
 * What the unwinder knows about x86-64: DWARF register numbers (System V psABI,
 * figure 3.36), where a signal context keeps them, and the shape of a frame.
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

/*
 * While the return trampoline of a signal handler runs (or is about to), the stack
 * pointer is the address of the interrupted code's ucontext.
 */
static inline uint64_t arch_signal_frame_context(uint64_t sp)
{
	return sp;
}

#endif
