/* SPDX-License-Identifier: MIT */
// cflags: -static-pie -fPIE
/* Has no dynamic linker, but is moved as if it had.  Context: test program. */
#include "hostile.h"

int main(void)
{
	free(malloc(1000));
	spin_cpu_ns(20000000);
	say("static pie\n");
	return 22;
}
