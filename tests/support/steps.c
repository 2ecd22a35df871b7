/* SPDX-License-Identifier: MIT */
/*
 * Counts the instructions that a program executes inside one shared object, between
 * breakpoints that the program sets itself: int3 with a name in rax begins a count, the
 * next one ends it.  The program runs at fixed addresses, so that a count is the same
 * every time.
 *
 *     steps OBJECT COMMAND...    prints "NAME COUNT" for each; status 77 where the kernel forbids it
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANNOT_RUN 77

static struct {
	uint64_t start;
	uint64_t end;
} text;

/* The object's executable mapping. */
static bool find_text(pid_t pid, const char *object)
{
	char path[64], line[4096 + 128];
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "re");
	bool found = false;
	while (maps && !found && fgets(line, sizeof line, maps)) {
		char permissions[5];
		found = strstr(line, object) &&
			sscanf(line, "%lx-%lx %4s", &text.start, &text.end, permissions) == 3 &&
			permissions[2] == 'x';
	}
	if (maps)
		fclose(maps);
	return found;
}

static void read_name(pid_t pid, uint64_t address, char *out_name, size_t bytes)
{
	struct iovec local = {out_name, bytes - 1}, remote = {(void *)address, bytes - 1};
	ssize_t copied = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	out_name[copied > 0 ? copied : 0] = '\0';
}

int main(int argc, char **argv)
{
	char name[64];
	bool is_counting = false;
	unsigned long count = 0;
	int status, deliver = 0;
	if (argc < 3)
		return 2;
	pid_t pid = fork();
	if (pid == 0) {
		personality(ADDR_NO_RANDOMIZE);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			execvp(argv[2], argv + 2);
		_exit(CANNOT_RUN);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (!WIFSTOPPED(status))
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	for (;;) {
		struct user_regs_struct regs;
		if (ptrace(is_counting ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, NULL,
			   (void *)(intptr_t)deliver) ||
		    waitpid(pid, &status, 0) != pid)
			return 1;
		deliver = 0;
		if (!WIFSTOPPED(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		if (WSTOPSIG(status) != SIGTRAP) {
			deliver = WSTOPSIG(status);
			continue;
		}
		siginfo_t info;
		if (ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) || ptrace(PTRACE_GETREGS, pid, NULL, &regs))
			return 1;
		if (info.si_code == SI_KERNEL) { /* an int3 */
			if (is_counting) {
				printf("%s %lu\n", name, count);
			} else {
				read_name(pid, regs.rax, name, sizeof name);
				if (!text.end && !find_text(pid, argv[1]))
					return 1;
				count = 0;
			}
			is_counting = !is_counting;
		} else if (is_counting && regs.rip >= text.start && regs.rip < text.end) {
			count++; /* about to be executed */
		}
	}
}
