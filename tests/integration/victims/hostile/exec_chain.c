/* SPDX-License-Identifier: MIT */
/*
 * Execs itself again and again: by each call of the family, from a thread while others run,
 * with its environment emptied on the way; failing ones in between.
 *
 *     exec_chain LINKS
 *
 * Context: test program.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "hostile.h"

extern char **environ;

static char **next;

static void *busy(void *unused)
{
	for (;;)
		free(malloc(200));
	return unused;
}

static void *execs(void *unused)
{
	execv("/proc/self/exe", next);
	return unused;
}

int main(int argc, char **argv)
{
	const int links = argument(argc, argv, 1, 20);
	char number[20];
	snprintf(number, sizeof number, "%d", links - 1);
	char *arguments[] = {argv[0], number, NULL};
	char *empty[] = {NULL};
	next = arguments;
	hostile_allocates(3);
	say("owes %d\n", links >= 3 ? 3 : 0); /* what runs after the emptied environment is not profiled */
	if (execv("/nonexistent", arguments) != -1 || errno != ENOENT || execv("/etc/passwd", arguments) != -1 || errno != EACCES)
		return 9;
	if (links == 0) {
		say("variables %d\n", environ[0] != NULL);
		return 12;
	}
	if (links == 3)
		execve("/proc/self/exe", arguments, empty);
	if (links % 4 == 0) {
		pthread_t threads[3];
		for (int i = 0; i < 3; i++)
			pthread_create(&threads[i], NULL, i < 2 ? busy : execs, NULL);
		pthread_join(threads[2], NULL);
	}
	if (links % 4 == 1)
		fexecve(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), arguments, environ);
	if (links % 4 == 2)
		syscall(SYS_execveat, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "", arguments, environ, AT_EMPTY_PATH);
	execvp("/proc/self/exe", arguments);
	return 8;
}
