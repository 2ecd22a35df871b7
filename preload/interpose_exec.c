/* SPDX-License-Identifier: MIT */
/*
 * What starts other programs, in this process's place or in a child: passed on, and noted
 * in a trace.  A new image registers for itself.
 *
 * Context: as the real functions.
 */
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cprof_compiler.h"
#include "real.h"
#include "trace_life.h"

/* What libc gives a command to. */
#define SHELL "/bin/sh"

/* ---- in this process's place ------------------------------------------------------------------- */

#define DEFINE_EXEC(name, parameters, arguments)               \
	EXPORT int INTERPOSED(name) parameters                 \
	{                                                      \
		real_resolve();                                \
		TRACE_LIFE_NOTE(name, trace_life_execs, path); \
		return real.name arguments;                    \
	}

DEFINE_EXEC(execve, (const char *path, char *const *words, char *const *environment),
	    (path, words, environment))
DEFINE_EXEC(execv, (const char *path, char *const *words), (path, words))
DEFINE_EXEC(execvp, (const char *path, char *const *words), (path, words))
DEFINE_EXEC(execvpe, (const char *path, char *const *words, char *const *environment),
	    (path, words, environment))

/*
 * These have their words as parameters, and in libc do not go through the symbols of those
 * above.  Like libc's they keep the words on the stack.
 */

/* How many there are, with the NULL that ends them. */
static size_t count_words(const char *first, va_list list)
{
	size_t count = 1;
	for (const char *word = first; word; word = va_arg(list, const char *))
		count++;
	return count;
}

static void take_words(char **out_words, size_t count, const char *first, va_list list)
{
	out_words[0] = (char *)(uintptr_t)first;
	for (size_t i = 1; i < count; i++)
		out_words[i] = va_arg(list, char *);
}

#define DEFINE_EXEC_LIST(name, passed_to, environment, ...)                   \
	int INTERPOSED(name)(const char *path, const char *first, ...);       \
	EXPORT int INTERPOSED(name)(const char *path, const char *first, ...) \
	{                                                                     \
		va_list list;                                                 \
		real_resolve();                                               \
		va_start(list, first);                                        \
		size_t count = count_words(first, list);                      \
		va_end(list);                                                 \
		char **words = alloca(count * sizeof *words);                 \
		va_start(list, first);                                        \
		take_words(words, count, first, list);                        \
		environment;                                                  \
		va_end(list);                                                 \
		TRACE_LIFE_NOTE(passed_to, trace_life_execs, path);           \
		return real.passed_to(path, words, ##__VA_ARGS__);            \
	}

DEFINE_EXEC_LIST(execl, execv, (void)0)
DEFINE_EXEC_LIST(execlp, execvp, (void)0)
DEFINE_EXEC_LIST(execle, execve, char *const *variables = va_arg(list, char *const *), variables)

EXPORT int INTERPOSED(fexecve)(int fd, char *const *words, char *const *environment)
{
	real_resolve();
	TRACE_LIFE_NOTE(fexecve, trace_life_execs_at, fd, "", AT_EMPTY_PATH);
	return real.fexecve(fd, words, environment);
}

/* Since glibc 2.34. */
EXPORT int INTERPOSED(execveat)(int fd, const char *path, char *const *words, char *const *environment,
				int flags)
{
	real_resolve();
	if (!real.execveat) {
		errno = ENOSYS;
		return -1;
	}
	TRACE_LIFE_NOTE(execveat, trace_life_execs_at, fd, path, flags);
	return real.execveat(fd, path, words, environment, flags);
}

/* ---- in a child ----------------------------------------------------------------------------------- */

#define DEFINE_SPAWN(name)                                                                         \
	EXPORT int INTERPOSED(name)(                                                               \
		pid_t * out_pid, const char *path, const posix_spawn_file_actions_t *actions,      \
		const posix_spawnattr_t *attributes, char *const *words, char *const *environment) \
	{                                                                                          \
		pid_t pid = 0;                                                                     \
		pid_t *to = out_pid ? out_pid : &pid;                                              \
		real_resolve();                                                                    \
		int error = real.name(to, path, actions, attributes, words, environment);          \
		if (!error)                                                                        \
			TRACE_LIFE_NOTE(name, trace_life_spawned, (uint32_t)*to, path);            \
		return error;                                                                      \
	}

DEFINE_SPAWN(posix_spawn)
DEFINE_SPAWN(posix_spawnp)

/* Which child these have, libc keeps to itself. */

EXPORT int INTERPOSED(system)(const char *command)
{
	real_resolve();
	if (command)
		TRACE_LIFE_NOTE(system, trace_life_spawned, 0, SHELL);
	return real.system(command);
}

EXPORT FILE *INTERPOSED(popen)(const char *command, const char *mode)
{
	real_resolve();
	FILE *stream = real.popen(command, mode);
	if (stream)
		TRACE_LIFE_NOTE(popen, trace_life_spawned, 0, SHELL);
	return stream;
}
