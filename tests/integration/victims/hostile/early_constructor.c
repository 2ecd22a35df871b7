/* SPDX-License-Identifier: MIT */
// ldflags: -Wl,--no-as-needed -l:libearly.so
/*
 * Allocates before and after cprof's own beginning and end: before the constructors, in
 * those of a library, in destructors and exit handlers.  Context: test program.
 */
#include <pthread.h>

#include "hostile.h"

extern void early_use(void);

/* Before libc itself has begun: the one place where allocations are only counted. */
static void preinit(int argc, char **argv, char **environment)
{
	(void)argc, (void)argv, (void)environment;
	free(calloc(7, 100));
}
__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(int, char **, char **) = preinit;

__attribute__((constructor)) static void constructor(void)
{
	hostile_allocates(3);
}

__attribute__((destructor)) static void destructor(void)
{
	hostile_allocates(4);
	say("program goes\n");
}

static void at_exit(void)
{
	hostile_allocates(6);
	say("exit handler\n");
}

static void on_exit_late(int status, void *text)
{
	say("on_exit %d %s\n", status, (char *)text);
	free(text);
}

int main(void)
{
	atexit(at_exit);
	on_exit(on_exit_late, strdup("text"));
	early_use();
	say("owes 33\n");
	hostile_works();
	return 5;
}
