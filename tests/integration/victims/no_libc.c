/* SPDX-License-Identifier: MIT */
// cflags: -ffreestanding -fno-stack-protector -fPIE
// ldflags: -nostdlib -pie -Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2
/*
 * Loaded by the dynamic linker, but without libc, as Go makes position independent programs: the
 * preloaded library finds itself in a program whose threads have no thread-local storage of libc's.
 * Uses 300 ms of CPU time, and ends with status 3.
 *
 * Context: test program.
 */
#include <asm/prctl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#define SPIN_NS INT64_C(300000000)

static long call(long number, long a, long b)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return result;
}

static int64_t cpu_ns(void)
{
	struct timespec now;
	call(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, (long)&now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
	static uint64_t own_storage[8];
	/* Below it, where libc's variables would be, there is nothing. */
	call(SYS_arch_prctl, ARCH_SET_FS, (long)own_storage);
	while (cpu_ns() < SPIN_NS)
		;
	call(SYS_exit_group, 3, 0);
}
