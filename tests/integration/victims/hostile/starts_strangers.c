/* SPDX-License-Identifier: MIT */
/*
 * Runs the programs named, which cannot be profiled, and says how they ended.
 *
 *     starts_strangers PROGRAM...
 *
 * Context: test program.
 */
#include <sys/wait.h>

#include "hostile.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const pid_t child = fork();
		if (child == 0) {
			execl(argv[i], argv[i], (char *)NULL);
			_exit(100);
		}
		int status = 0;
		waitpid(child, &status, 0);
		const char *name = strrchr(argv[i], '/');
		say("%s %x\n", name ? name + 1 : argv[i], (unsigned)status);
	}
	hostile_works();
	return 0;
}
