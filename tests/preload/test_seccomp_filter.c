/* SPDX-License-Identifier: MIT */
/* Filters judged as the kernel does: programs of real sandboxes, and such as it would refuse. */
#include <criterion/criterion.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "seccomp_filter.h"

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), RETURN(SECCOMP_RET_ALLOW)

static bool is_allowed(struct sock_filter *code, size_t count, int number)
{
	struct sock_fprog program = {.len = (unsigned short)count, .filter = code};
	const struct seccomp_data call = {.nr = number, .arch = AUDIT_ARCH_X86_64};
	return seccomp_filter_allows((uint64_t)(uintptr_t)&program, &call);
}

#define IS_ALLOWED(code, number) is_allowed(code, sizeof(code) / sizeof *(code), number)

Test(seccomp_filter, follows_a_list_of_calls)
{
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 0, 1),
		RETURN(SECCOMP_RET_LOG | 7),
		RETURN(SECCOMP_RET_TRAP),
	};
	cr_assert(IS_ALLOWED(code, SYS_read));
	cr_assert(IS_ALLOWED(code, SYS_write));
	cr_assert(IS_ALLOWED(code, SYS_close));
	cr_assert_not(IS_ALLOWED(code, SYS_rt_sigreturn));
	cr_assert_not(IS_ALLOWED(code, SYS_open));
}

Test(seccomp_filter, what_gives_an_error_is_not_allowed)
{
	struct sock_filter code[] = {RETURN(SECCOMP_RET_ERRNO | 1)};
	cr_assert_not(IS_ALLOWED(code, SYS_read));
	code[0].k = SECCOMP_RET_USER_NOTIF;
	cr_assert_not(IS_ALLOWED(code, SYS_read));
}

/* libseccomp's binary trees, and every kind of step. */
Test(seccomp_filter, computes)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LDX | BPF_IMM, 3),
		LOAD(nr),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), /* nr + 3 */
		BPF_STMT(BPF_ST, 5),
		BPF_STMT(BPF_LD | BPF_IMM, 0xf0),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x3c),
		BPF_STMT(BPF_MISC | BPF_TAX, 0), /* 0x30 */
		BPF_STMT(BPF_LD | BPF_MEM, 5),
		BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 1),
		BPF_STMT(BPF_STX, 0),
		BPF_STMT(BPF_LDX | BPF_MEM, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0), /* ((nr + 3 | 0x30) << 1) - 0x30 */
		BPF_STMT(BPF_JMP | BPF_JA, 1),
		RETURN(SECCOMP_RET_ALLOW),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ((15 + 3) | 0x30) * 2 - 0x30, 0, 2),
		BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x80000000, 0, 0),
		RETURN(SECCOMP_RET_KILL_THREAD),
	};
	cr_assert(IS_ALLOWED(code, 15));
	cr_assert_not(IS_ALLOWED(code, 16));
	cr_assert_not(IS_ALLOWED(code, 0));
}

Test(seccomp_filter, what_the_kernel_refuses_changes_nothing)
{
	struct sock_filter no_end[] = {LOAD(nr)};
	struct sock_filter far[] = {BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff), RETURN(SECCOMP_RET_KILL_PROCESS)};
	struct sock_filter beyond[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64),
				       RETURN(SECCOMP_RET_KILL_PROCESS)};
	struct sock_filter memory[] = {BPF_STMT(BPF_ST, 16), RETURN(SECCOMP_RET_KILL_PROCESS)};
	cr_assert(IS_ALLOWED(no_end, SYS_read));
	cr_assert(IS_ALLOWED(far, SYS_read));
	cr_assert(IS_ALLOWED(beyond, SYS_read));
	cr_assert(IS_ALLOWED(memory, SYS_read));
	cr_assert(is_allowed((struct sock_filter *)16, 5, SYS_read));
	const struct seccomp_data call = {.nr = SYS_read};
	cr_assert(seccomp_filter_allows(8, &call));
}
