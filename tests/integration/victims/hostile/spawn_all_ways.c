/* SPDX-License-Identifier: MIT */
/*
 * Starts children in every way: vfork, posix_spawn with and without actions, system, popen,
 * clone with and without shared memory, clone3, from threads too.
 *
 *     spawn_all_ways ROUNDS
 *
 * Context: test program.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hostile.h"

#define STACK_BYTES 65536

extern char **environ;

static char *const say_seven[] = {"sh", "-c", "exit 7", NULL};

static int status_of(pid_t child)
{
	int status = 0;
	if (child < 0)
		return -errno;
	if (waitpid(child, &status, __WALL) != child)
		return -1000 - errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int by_vfork(void)
{
	const pid_t child = vfork();
	if (child == 0) {
		execv("/bin/sh", say_seven);
		_exit(99);
	}
	return status_of(child);
}

static int by_vfork_that_fails(void)
{
	const pid_t child = vfork();
	if (child == 0) {
		execv("/nonexistent", say_seven);
		_exit(errno == ENOENT ? 8 : 9);
	}
	return status_of(child);
}

static int by_spawn(void)
{
	pid_t child = -1;
	const int error = posix_spawn(&child, "/bin/sh", NULL, NULL, say_seven, environ);
	return error ? -error : status_of(child);
}

static int by_spawn_with_actions(void)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all;
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 5, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addclose(&actions, 0);
	posix_spawn_file_actions_addclosefrom_np(&actions, 6);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigdefault(&attributes, &all);
	pid_t child = -1;
	const int error = posix_spawnp(&child, "sh", &actions, &attributes, say_seven, environ);
	posix_spawn_file_actions_destroy(&actions);
	return error ? -error : status_of(child);
}

static int by_spawn_that_fails(void)
{
	pid_t child = -1;
	return posix_spawn(&child, "/nonexistent", NULL, NULL, say_seven, environ);
}

static int by_system(void)
{
	return WEXITSTATUS(system("exit 6"));
}

static int by_popen(void)
{
	char line[20] = "";
	FILE *pipe = popen("echo out; exit 5", "r");
	if (!pipe || !fgets(line, sizeof line, pipe) || strcmp(line, "out\n"))
		return -1;
	return WEXITSTATUS(pclose(pipe));
}

static int clone_body(void *unused)
{
	(void)unused;
	hostile_allocates(1);
	_exit(4);
}

static int by_clone_copied(void)
{
	char *stack = (char *)malloc(STACK_BYTES);
	const int status = status_of(clone(clone_body, stack + STACK_BYTES, SIGCHLD, NULL));
	free(stack);
	return status;
}

static int by_clone_silent(void)
{
	char *stack = (char *)malloc(STACK_BYTES);
	const int status = status_of(clone(clone_body, stack + STACK_BYTES, CLONE_FILES | CLONE_FS, NULL));
	free(stack);
	return status;
}

static int by_clone_vm(void)
{
	char *stack = (char *)malloc(STACK_BYTES);
	const int status = status_of(clone(clone_body, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
	free(stack);
	return status;
}

static int by_raw_clone(void)
{
	const long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (child == 0) {
		hostile_allocates(1);
		_exit(3);
	}
	return status_of((pid_t)child);
}

static int by_clone3(void)
{
	struct clone_args arguments = {.exit_signal = SIGCHLD};
	const long child = syscall(SYS_clone3, &arguments, sizeof arguments);
	if (child == 0) {
		hostile_allocates(1);
		_exit(2);
	}
	return status_of((pid_t)child);
}

static const struct {
	const char *name;
	int (*run)(void);
	int owes;
} ways[] = {
	{"vfork", by_vfork, 0},
	{"vfork, fails", by_vfork_that_fails, 0},
	{"spawn", by_spawn, 0},
	{"spawn with actions", by_spawn_with_actions, 0},
	{"spawn, fails", by_spawn_that_fails, 0},
	{"system", by_system, 0},
	{"popen", by_popen, 0},
	{"clone, memory copied", by_clone_copied, 1},
	{"clone, no signal", by_clone_silent, 1},
	{"clone, memory shared", by_clone_vm, 1},
	{"bare clone", by_raw_clone, 1},
	{"clone3", by_clone3, 1},
};

static int rounds, owed;

static void *all_ways(void *results)
{
	for (int round = 0; round < rounds; round++)
		for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
			((int *)results)[i] = ways[i].run();
			__atomic_add_fetch(&owed, ways[i].owes, __ATOMIC_RELAXED);
		}
	return NULL;
}

int main(int argc, char **argv)
{
	int results[sizeof ways / sizeof *ways], others[sizeof ways / sizeof *ways];
	pthread_t thread;
	rounds = argument(argc, argv, 1, 3);
	all_ways(results);
	pthread_create(&thread, NULL, all_ways, others);
	pthread_join(thread, NULL);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		say("%s: %d %d\n", ways[i].name, results[i], others[i]);
	errno = 0;
	say("no more children: %s\nowes %d\n", outcome(wait(NULL)), owed);
	hostile_works();
	return 0;
}
