/* SPDX-License-Identifier: MIT */
// cflags: -static
/* Has no dynamic linker, so nothing can be preloaded.  Context: test program. */
#include "hostile.h"

int main(void)
{
	free(malloc(1000));
	spin_cpu_ns(20000000);
	say("static\n");
	return 21;
}
