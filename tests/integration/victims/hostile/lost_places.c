/* SPDX-License-Identifier: MIT */
/*
 * Its working directory is removed and its executable deleted; it makes a child and execs
 * what is no longer there.  Context: test program.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "hostile.h"

int main(int argc, char **argv)
{
	(void)argc;
	if (strcmp(argv[0], "./doomed")) {
		if (system("cp /proc/$PPID/exe doomed"))
			return CANNOT_RUN;
		execl("./doomed", "./doomed", (char *)NULL);
		return 3;
	}
	unlink("doomed");
	hostile_works();
	const pid_t child = fork();
	if (child == 0) {
		if (mkdir("gone", 0700) || chdir("gone") || rmdir("../gone"))
			_exit(1);
		char here[100];
		say("getcwd: %s\n", getcwd(here, sizeof here) ? here : strerrorname_np(errno));
		hostile_works();
		execl("./doomed", "./doomed", (char *)NULL);
		say("exec: %s\n", strerrorname_np(errno));
		execl("/bin/sh", "sh", "-c", "exit 15", (char *)NULL);
		_exit(2);
	}
	int status = 0;
	waitpid(child, &status, 0);
	say("child %d\n", WEXITSTATUS(status));
	return 0;
}
