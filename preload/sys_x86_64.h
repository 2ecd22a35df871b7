/* SPDX-License-Identifier: MIT */
/*
 * The system call sequence of x86-64: number in rax, arguments in rdi rsi rdx r10 r8
 * r9, result in rax; the kernel clobbers rcx and r11.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_SYS_X86_64_H
#define PRELOAD_SYS_X86_64_H

static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* io_uring_enter(), by code that shows its number: see arch_context_syscall(). */
static inline long sys_uring_enter(long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;
	__asm__ volatile("movl $426, %%eax\n\tsyscall"
			 : "=&a"(result)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#endif
