/* SPDX-License-Identifier: MIT */
/*
 * Short children in great number, many at once; every second one execs.
 *
 *     fork_bomb TOTAL AT_ONCE
 *
 * Context: test program.
 */
#include <sys/wait.h>

#include "hostile.h"

int main(int argc, char **argv)
{
	const int total = argument(argc, argv, 1, 300), at_once = argument(argc, argv, 2, 40);
	int started = 0, alive = 0, good = 0;
	while (started < total || alive) {
		if (started < total && alive < at_once) {
			const pid_t child = fork();
			if (child == 0) {
				if (started % 2)
					execl("/bin/sh", "sh", "-c", "exit 17", (char *)NULL);
				hostile_allocates(1);
				_exit(17);
			}
			started++;
			alive += child > 0;
			continue;
		}
		int status = 0;
		if (wait(&status) > 0)
			alive--;
		good += WIFEXITED(status) && WEXITSTATUS(status) == 17;
	}
	say("good %d\nowes %d\n", good, (total + 1) / 2);
	hostile_works();
	return 0;
}
