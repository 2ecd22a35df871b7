/* SPDX-License-Identifier: MIT */
// ldflags: -Wl,-z,now
/*
 * A handler on an alternate stack that has room for itself and little more.
 *
 *     altstack_small BYTES [handler-first]
 *
 * The stack is BYTES larger than the frame that the kernel puts there.  Says whether
 * what lies below it was written to.  With `handler-first` the handler is set before
 * the stack.
 *
 * Context: test program.
 */
#include "victim.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

enum { BELOW = 1 << 16, PATTERN = 0xaa };

static void on_usr2(int signal)
{
	(void)signal;
	spin_cpu_ns(200000000);
}

int main(int argc, char **argv)
{
	const size_t size = getauxval(AT_MINSIGSTKSZ) + (argc > 1 ? strtoul(argv[1], NULL, 10) : 0);
	unsigned char *below = aligned_alloc(4096, BELOW + ((size + 4095) & ~(size_t)4095));
	memset(below, PATTERN, BELOW);
	const stack_t stack = {.ss_sp = below + BELOW, .ss_size = size};
	const bool is_handler_first = argc > 2 && !strcmp(argv[2], "handler-first");
	if (!is_handler_first && sigaltstack(&stack, NULL))
		return 9;
	const struct sigaction action = {.sa_handler = on_usr2, .sa_flags = SA_ONSTACK};
	struct sigaction seen;
	sigaction(SIGUSR2, &action, NULL);
	if (is_handler_first && sigaltstack(&stack, NULL))
		return 9;
	sigaction(SIGUSR2, NULL, &seen);
	printf("mask %d flags %x\n", sigismember(&seen.sa_mask, SIGPROF), (unsigned)seen.sa_flags & SA_ONSTACK);
	raise(SIGUSR2);
	int written = 0;
	for (int i = 0; i < BELOW; i++)
		written += below[i] != PATTERN;
	printf("written below %d\n", written);
	return 3;
}
