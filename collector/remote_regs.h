/* SPDX-License-Identifier: MIT */
/*
 * The registers of a thread of another process, as far as they are known.  Numbers
 * are libunwind's and DWARF's.
 *
 * Context: any process of the collector.
 */
#ifndef COLLECTOR_REMOTE_REGS_H
#define COLLECTOR_REMOTE_REGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/user.h>

#if defined(__x86_64__)
enum {
	REMOTE_REG_RAX,
	REMOTE_REG_RDX,
	REMOTE_REG_RCX,
	REMOTE_REG_RBX,
	REMOTE_REG_RSI,
	REMOTE_REG_RDI,
	REMOTE_REG_FP, /* rbp */
	REMOTE_REG_SP,
	REMOTE_REG_R8,
	REMOTE_REG_R9,
	REMOTE_REG_R10,
	REMOTE_REG_R11,
	REMOTE_REG_R12,
	REMOTE_REG_R13,
	REMOTE_REG_R14,
	REMOTE_REG_R15,
	REMOTE_REG_PC,
	REMOTE_REG_COUNT
};
#else
#error "cprof does not know the registers of this architecture"
#endif

struct remote_regs {
	uint64_t values[REMOTE_REG_COUNT];
	uint32_t known;            /* bit for each register */
	bool pc_is_return_address; /* else that of the next instruction to run */
};

static inline void remote_regs_set(struct remote_regs *regs, unsigned reg, uint64_t value)
{
	regs->values[reg] = value;
	regs->known |= UINT32_C(1) << reg;
}

/* Of a stopped thread: all of them. */
static inline void remote_regs_from_user(struct remote_regs *regs, const struct user_regs_struct *user)
{
	*regs = (struct remote_regs){.known = (UINT32_C(1) << REMOTE_REG_COUNT) - 1};
	uint64_t *values = regs->values;
	values[REMOTE_REG_RAX] = user->rax;
	values[REMOTE_REG_RDX] = user->rdx;
	values[REMOTE_REG_RCX] = user->rcx;
	values[REMOTE_REG_RBX] = user->rbx;
	values[REMOTE_REG_RSI] = user->rsi;
	values[REMOTE_REG_RDI] = user->rdi;
	values[REMOTE_REG_FP] = user->rbp;
	values[REMOTE_REG_SP] = user->rsp;
	values[REMOTE_REG_R8] = user->r8;
	values[REMOTE_REG_R9] = user->r9;
	values[REMOTE_REG_R10] = user->r10;
	values[REMOTE_REG_R11] = user->r11;
	values[REMOTE_REG_R12] = user->r12;
	values[REMOTE_REG_R13] = user->r13;
	values[REMOTE_REG_R14] = user->r14;
	values[REMOTE_REG_R15] = user->r15;
	values[REMOTE_REG_PC] = user->rip;
}

#endif
