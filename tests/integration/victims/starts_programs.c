// SPDX-License-Identifier: MIT
// cflags: -fno-optimize-sibling-calls
/*
 * Starts programs in each way there is, right and wrong, each in a function of its own, and prints what
 * came of it: results, errno, statuses.  Pids go to stderr.  It becomes `true` in the end.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define APART __attribute__((noinline))

extern char **environ;
static char *const says_spawned[] = {"sh", "-c", "echo spawned; exit 4", NULL};
static char *const says_nothing[] = {"true", NULL};

static void show(const char *what, long result)
{
	printf("%s: %ld, errno %d\n", what, result, errno);
	fflush(stdout);
	errno = 77;
}

static void collect(const char *what, pid_t child)
{
	int status = -1;
	fprintf(stderr, "%s %d\n", what, (int)child);
	pid_t waited = waitpid(child, &status, 0);
	printf("%s: %s, status %d\n", what, waited == child ? "waited for" : "not found", status);
	fflush(stdout);
}

APART static pid_t spawns(void)
{
	pid_t child = -5;
	show("posix_spawn", posix_spawn(&child, "/bin/sh", NULL, NULL, says_spawned, environ));
	return child;
}

APART static pid_t spawns_by_name(void)
{
	pid_t child = -5;
	show("posix_spawnp", posix_spawnp(&child, "true", NULL, NULL, says_nothing, environ));
	return child;
}

APART static void spawns_nobody_s(void)
{
	pid_t child = -5;
	show("posix_spawn without a pid", posix_spawn(NULL, "/bin/true", NULL, NULL, says_nothing, environ));
	collect("of nobody", wait(NULL) > 0 ? -1 : 0);
	show("posix_spawn of nothing", posix_spawn(&child, "/nonexistent", NULL, NULL, says_nothing, environ));
	printf("its pid: %d\n", (int)child);
}

APART static void asks_shell(void)
{
	show("system without a command", system(NULL));
	show("system", system("echo from the shell; exit 3"));
}

APART static void opens_shell(void)
{
	char line[64] = "";
	FILE *stream = popen("echo through a pipe; exit 5", "r");
	if (stream && fgets(line, sizeof line, stream))
		printf("read: %s", line);
	show("pclose", stream ? pclose(stream) : -1);
	stream = popen("true", "neither");
	show("popen in no mode", stream != NULL);
}

APART static pid_t forks_plainly(void)
{
	pid_t (*plain)(void) = (pid_t(*)(void))dlsym(RTLD_DEFAULT, "_Fork");
	pid_t child = plain ? plain() : fork();
	if (child == 0)
		_exit(6);
	return child;
}

APART static int becomes_file(void)
{
	return fexecve(open("/bin/true", O_RDONLY | O_CLOEXEC), says_nothing, environ);
}

APART static pid_t becomes_file_at(const char *path, int flags)
{
	pid_t child = vfork();
	if (child == 0) {
		execveat(open(path[0] ? "/bin" : "/bin/true", O_RDONLY | O_CLOEXEC), path, says_nothing, environ, flags);
		_exit(1);
	}
	return child;
}

int main(void)
{
	errno = 77;
	collect("spawned", spawns());
	collect("spawned by name", spawns_by_name());
	spawns_nobody_s();
	asks_shell();
	opens_shell();
	collect("forked", forks_plainly());
	collect("became at", becomes_file_at("true", 0));
	collect("became empty", becomes_file_at("", AT_EMPTY_PATH));
	show("fexecve of nothing", fexecve(-1, says_nothing, environ));
	show("execveat of nothing", execveat(-1, "nowhere", says_nothing, environ, 0));
	return becomes_file();
}
