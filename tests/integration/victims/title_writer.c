/* SPDX-License-Identifier: MIT */
/*
 * Sets its title as util-linux does: the arguments and the environment lie one behind
 * the other, and the last entry of environ is where they end.
 *
 * Context: test program.
 */
#include "victim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

int main(int argc, char **argv)
{
	size_t entries = 0;
	while (environ[entries])
		entries++;
	const char *last = entries ? environ[entries - 1] : argv[argc - 1];
	const size_t room = (size_t)(last + strlen(last) - argv[0]);
	char **copy = calloc(entries + 1, sizeof *copy);
	for (size_t i = 0; i < entries; i++)
		copy[i] = strdup(environ[i]);
	environ = copy;
	printf("room %s\n", room < 1 << 20 ? "on the stack" : "elsewhere");
	fflush(stdout);
	memset(argv[0], 0, room);
	strcpy(argv[0], "title");
	spin_cpu_ns(50000000);
	char title[16] = "";
	FILE *in = fopen("/proc/self/cmdline", "r");
	if (!in || !fread(title, 1, sizeof title - 1, in))
		return 9;
	fclose(in);
	printf("title %s home %s\n", title, getenv("HOME") ? "kept" : "none");
	return 3;
}
