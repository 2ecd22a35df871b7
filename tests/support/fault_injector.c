/* SPDX-License-Identifier: MIT */
/*
 * Runs a command and lets one of cprof's own system calls fail, or all of one number:
 *
 *     fault_injector SIDE WHICH REPORT COMMAND...
 *
 * SIDE is `library` (calls made by code of libcprof.so, in any process) or `collector`
 * (calls of a process that runs cprof-collector).  WHICH is `N` (the N-th such call, from
 * 1; 0 = none), `NAME=ERROR` (each call of that name), `NAME:N-M=ERROR` (from the N-th to the M-th of
 * that name), or `NAME:N=KILL`: the process is killed when it comes back from its side's N-th call of
 * that name that succeeds.  Calls that cannot fail, or whose
 * failure the kernel reserves for broken programs, are neither counted nor failed.  REPORT
 * gets a line "calls COUNT", and "failed NAME ERROR" for the N-th.
 *
 * It traces the whole tree, so the program cannot tell the failure from a real one: the
 * call is not made.  Ends when the tree has ended, with the status that a shell would give
 * for the command.
 *
 * Context: test program, one thread.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define TASKS_MAX 4096
#define NO_CALL UINT64_MAX

/* How each call fails first of all in real life. */
static const struct call {
	const char *name;
	uint64_t nr;
	int error;
} calls[] = {
#define CALL(name, error)                \
	{                                \
#name, SYS_##name, error \
	}
	CALL(mmap, ENOMEM),
	CALL(mprotect, ENOMEM),
	CALL(madvise, EINVAL),
	CALL(mincore, EAGAIN),
	CALL(memfd_create, EMFILE),
	CALL(ftruncate, EINVAL),
	CALL(fallocate, ENOSPC),
	CALL(fcntl, EPERM),
	CALL(openat, EMFILE),
	CALL(openat2, ENOSYS),
	CALL(read, EIO),
	CALL(pread64, EIO),
	CALL(write, ENOSPC),
	CALL(pwrite64, ENOSPC),
	CALL(writev, ENOSPC),
	CALL(fstat, ENOMEM),
	CALL(newfstatat, ENOMEM),
	CALL(statx, ENOSYS),
	CALL(readlink, EACCES),
	CALL(readlinkat, EACCES),
	CALL(faccessat, EACCES),
	CALL(getcwd, ENOENT),
	CALL(mkdirat, ENOSPC),
	CALL(mkdir, ENOSPC),
	CALL(linkat, EPERM),
	CALL(rename, EACCES),
	CALL(renameat2, EINVAL),
	CALL(unlink, EACCES),
	CALL(unlinkat, EACCES),
	CALL(fsync, EIO),
	CALL(getdents64, EIO),
	CALL(socket, EMFILE),
	CALL(socketpair, EMFILE),
	CALL(bind, EADDRINUSE),
	CALL(listen, EADDRINUSE),
	CALL(connect, ECONNREFUSED),
	CALL(accept4, EMFILE),
	CALL(sendmsg, ENOBUFS),
	CALL(recvmsg, ENOBUFS),
	CALL(getsockopt, ENOPROTOOPT),
	CALL(setsockopt, ENOPROTOOPT),
	CALL(pidfd_open, EMFILE),
	CALL(dup2, EMFILE),
	CALL(dup3, EMFILE),
	CALL(clone, EAGAIN),
	CALL(clone3, ENOSYS),
	CALL(fork, EAGAIN),
	CALL(execve, ENOMEM),
	CALL(setsid, EPERM),
	CALL(prctl, EINVAL),
	CALL(prlimit64, EPERM),
	CALL(sched_setscheduler, EPERM),
	CALL(setpriority, EACCES),
	CALL(close_range, ENOSYS),
	CALL(timer_create, EAGAIN),
	CALL(timer_settime, EINVAL),
	CALL(timerfd_create, EMFILE),
	CALL(epoll_create1, EMFILE),
	CALL(epoll_ctl, ENOSPC),
	CALL(eventfd2, EMFILE),
	CALL(signalfd4, EMFILE),
	CALL(poll, ENOMEM),
	CALL(ppoll, ENOMEM),
	CALL(getrandom, EINTR),
	CALL(process_vm_readv, EPERM),
	CALL(futex, ENOSYS),
	CALL(tgkill, EAGAIN),
	CALL(chdir, EACCES),
#undef CALL
};
#define CALL_COUNT (sizeof calls / sizeof *calls)

struct task {
	pid_t tid;
	uint64_t start, end; /* of libcprof.so's code; 0: not known */
	bool is_collector;
	bool has_begun;
	int error; /* to give at the call's end, or 0; -1: the process is killed there */
};

/* Of the one thread of this program. */
static struct task tasks[TASKS_MAX];
static size_t task_count;
static bool wants_collector;
static unsigned long wanted;
static uint64_t wanted_nr = NO_CALL;
static int wanted_error;
static unsigned long kill_at; /* so many successful calls; 0: nobody is killed */
/* Of the calls of that name, those that fail. */
static unsigned long named, first_named = 1, last_named = ULONG_MAX;
static unsigned long counted;
static FILE *report;

static const struct call *find_call(uint64_t nr)
{
	for (size_t i = 0; i < CALL_COUNT; i++)
		if (calls[i].nr == nr)
			return &calls[i];
	return NULL;
}

static bool parse_which(char *which)
{
	char *equals = strchr(which, '=');
	if (!equals) {
		char *end;
		wanted = strtoul(which, &end, 10);
		return !*end;
	}
	*equals = '\0';
	char *colon = strchr(which, ':');
	if (colon)
		*colon = '\0';
	if (colon && strcmp(equals + 1, "KILL") &&
	    sscanf(colon + 1, "%lu-%lu", &first_named, &last_named) != 2)
		return false;
	if (colon && !strcmp(equals + 1, "KILL")) {
		kill_at = strtoul(colon + 1, NULL, 10);
		wanted_error = -1;
	}
	for (size_t i = 0; i < CALL_COUNT; i++)
		if (!strcmp(calls[i].name, which))
			wanted_nr = calls[i].nr;
	for (int error = 1; error < 134; error++) {
		const char *name = strerrorname_np(error);
		if (name && !strcmp(name, equals + 1))
			wanted_error = error;
	}
	return wanted_nr != NO_CALL && (kill_at || wanted_error > 0);
}

static struct task *task_of(pid_t tid)
{
	for (size_t i = 0; i < task_count; i++)
		if (tasks[i].tid == tid)
			return &tasks[i];
	if (task_count == TASKS_MAX)
		return NULL;
	tasks[task_count] = (struct task){.tid = tid};
	return &tasks[task_count++];
}

static void drop_task(pid_t tid)
{
	for (size_t i = 0; i < task_count; i++)
		if (tasks[i].tid == tid) {
			tasks[i] = tasks[--task_count];
			return;
		}
}

/* What the task runs now: at its start, and after exec. */
static void look_at(struct task *task)
{
	char path[64], line[4400];
	snprintf(path, sizeof path, "/proc/%d/comm", task->tid);
	FILE *file = fopen(path, "r");
	if (!file)
		return;
	task->is_collector = fgets(line, sizeof line, file) && !strncmp(line, "cprof-", 6);
	fclose(file);
	snprintf(path, sizeof path, "/proc/%d/maps", task->tid);
	if (task->is_collector || !(file = fopen(path, "r")))
		return;
	while (task->end == 0 && fgets(line, sizeof line, file)) {
		unsigned long start, end;
		char executable;
		if (strstr(line, "/libcprof.so") &&
		    sscanf(line, "%lx-%lx %*c%*c%c", &start, &end, &executable) == 3 && executable == 'x') {
			task->start = start;
			task->end = end;
		}
	}
	fclose(file);
}

static bool is_ours(struct task *task, uint64_t pc)
{
	if (task->end == 0 && !task->is_collector)
		look_at(task);
	if (wants_collector)
		return task->is_collector;
	return !task->is_collector && pc >= task->start && pc < task->end;
}

static int error_for(struct task *task, uint64_t nr, uint64_t pc)
{
	const struct call *call = find_call(nr);
	if (!call || !is_ours(task, pc))
		return 0;
	counted++;
	if (wanted_nr != NO_CALL) {
		bool fails = call->nr == wanted_nr && ++named >= first_named && named <= last_named;
		return fails ? wanted_error : 0;
	}
	if (counted != wanted)
		return 0;
	fprintf(report, "failed %s %s\n", call->name, strerrorname_np(call->error));
	return call->error;
}

static void set_register(pid_t tid, size_t offset, uint64_t value)
{
	ptrace(PTRACE_POKEUSER, tid, (void *)offset, (void *)value);
}

static void at_call(struct task *task)
{
	struct __ptrace_syscall_info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, (void *)sizeof info, &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		task->error = error_for(task, info.entry.nr, info.instruction_pointer);
		if (task->error > 0) /* none is made */
			set_register(task->tid, offsetof(struct user_regs_struct, orig_rax), NO_CALL);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && task->error < 0) {
		task->error = 0;
		if (!info.exit.is_error && --kill_at == 0) {
			fprintf(report, "failed KILL\n");
			wanted_nr = NO_CALL;
			wanted = 0;
			kill(task->tid, SIGKILL);
		}
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && task->error) {
		set_register(task->tid, offsetof(struct user_regs_struct, rax), (uint64_t)-task->error);
		task->error = 0;
	}
}

/* A stop: what happened, and the signal to go on with. */
static int at_stop(struct task *task, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16;
	if (signal == (SIGTRAP | 0x80)) {
		at_call(task);
		return 0;
	}
	if (event == PTRACE_EVENT_EXEC) {
		*task = (struct task){.tid = task->tid, .has_begun = true};
		look_at(task);
		return 0;
	}
	/* A new task's first stop is the tracer's alone. */
	bool is_first = !task->has_begun && signal == SIGSTOP;
	task->has_begun = true;
	return event || signal == SIGTRAP || is_first ? 0 : signal;
}

static int shell_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int trace(pid_t first)
{
	int result = 99;
	for (;;) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0)
			return result;
		if (!WIFSTOPPED(status)) {
			if (tid == first)
				result = shell_status(status);
			drop_task(tid);
			continue;
		}
		struct task *task = task_of(tid);
		if (!task)
			return 98;
		/* Group stops are left at once: job control is not what is tested. */
		ptrace(PTRACE_SYSCALL, tid, 0, (void *)(long)at_stop(task, status));
	}
}

int main(int argc, char **argv)
{
	if (argc < 5 || !parse_which(argv[2]) || !(report = fopen(argv[3], "we"))) {
		fprintf(stderr, "fault_injector: accepted: library|collector N|NAME=ERROR|NAME:N-M=ERROR "
				"REPORT COMMAND...\n");
		return 2;
	}
	wants_collector = !strcmp(argv[1], "collector");
	pid_t child = fork();
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(77);
		raise(SIGSTOP);
		execvp(argv[4], argv + 4);
		_exit(127);
	}
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		return 77;
	ptrace(PTRACE_SETOPTIONS, child, 0,
	       (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
	ptrace(PTRACE_SYSCALL, child, 0, 0);
	int result = trace(child);
	fprintf(report, "calls %lu\n", counted);
	fclose(report);
	return result;
}
