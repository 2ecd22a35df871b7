/* SPDX-License-Identifier: MIT */
/*
 * syscall(2): libseccomp loads its filter through it.  Every other call is passed on
 * by a jump.  The header declares it variadic; its callers always have these seven
 * words in place.
 *
 * Context: as the real function.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "cprof_compiler.h"
#include "process.h"
#include "real.h"
#include "sys.h"

#define STRING_OF_(name) #name
#define STRING_OF(name) STRING_OF_(name)

EXPORT long syscall_of_words(long number, long a, long b, long c, long d, long e,
			     long f) __asm__(STRING_OF(INTERPOSED(syscall)));

static bool is_filter(long number, long a)
{
	return (number == SYS_seccomp && (a == SECCOMP_SET_MODE_STRICT || a == SECCOMP_SET_MODE_FILTER)) ||
	       (number == SYS_prctl && a == PR_SET_SECCOMP);
}

/* The rare rest: a filter, or a call before the real one is known (an allocator's start, say). */
static COLD NOINLINE long special_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (is_filter(number, a)) {
		process_before_confinement();
		process_forbid_syscalls();
	}
	long result = sys_call6(number, a, b, c, d, e, f);
	if (!sys_is_error(result))
		return result;
	errno = (int)-result;
	return -1;
}

long syscall_of_words(long number, long a, long b, long c, long d, long e, long f)
{
	if (unlikely(!real.syscall || is_filter(number, a)))
		return special_syscall(number, a, b, c, d, e, f);
	return real.syscall(number, a, b, c, d, e, f);
}
