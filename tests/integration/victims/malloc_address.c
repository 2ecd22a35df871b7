/* SPDX-License-Identifier: MIT */
// cflags: -O0 -fno-pie -no-pie
/*
 * An executable at a fixed address that takes the addresses of allocation functions:
 * the linker makes its own PLT entries the functions' addresses in all of the process,
 * so that malloc seems to be defined in the executable.
 *
 * Context: test program.
 */
#include "victim.h"

#include <stdio.h>
#include <stdlib.h>

static void *(*volatile allocate)(size_t) = malloc;
static void (*volatile release)(void *) = free;
static void *volatile blocks[200];

FRAME static void address_allocates(int from)
{
	for (int i = from; i < from + 100; i++)
		blocks[i] = allocate(50);
}

FRAME static void plainly_allocates(int from)
{
	for (int i = from; i < from + 100; i++)
		blocks[i] = malloc(60);
}

int main(void)
{
	address_allocates(0);
	plainly_allocates(100);
	for (int i = 0; i < 200; i += 2)
		release(blocks[i]);
	printf("addresses equal %d\n", allocate == malloc && release == free);
	return 3;
}
