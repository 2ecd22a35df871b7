/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * Processes that beget processes, in every way that there is.  Each burns CPU in a
 * function named after its part in the family, and prints "PART PID NS".
 *
 *     family MODE MILLISECONDS
 *
 * Context: test program.
 */
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int64_t work_ns;
static char own_path[4096];

/* Inclusive time of a part; no allocation in here. */
#define PART(name) FRAME int64_t name(void) { return spin_cpu_ns(work_ns); }
PART(parent_work)
PART(child_work)
PART(grandchild_work)
PART(leaf_work)

static void say(const char *part, int64_t ns)
{
	char line[100];
	const int length = snprintf(line, sizeof line, "%s %d %lld\n", part, (int)getpid(), (long long)ns);
	if (write(1, line, (size_t)length) < 0)
		_exit(9);
}

static int wait_for(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void must(int child_status)
{
	if (child_status != 0) {
		fprintf(stderr, "child ended with %d\n", child_status);
		exit(1);
	}
}

static void child_burns(void)
{
	say("child_work", child_work());
}

/* ---- without exec ---- */

static void mode_fork(pid_t (*do_fork)(void))
{
	const pid_t child = do_fork();
	if (child == 0) {
		child_burns();
		_exit(0);
	}
	say("parent_work", parent_work());
	must(wait_for(child));
}

/*
 * No interposed function and no pthread_atfork handler runs, so the first sample of
 * the child must be an allocation.
 */
static void mode_raw_clone(void)
{
	const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (child == 0) {
		static void *volatile block;
		block = malloc(100 << 20);
		child_burns();
		_exit(0);
	}
	must(wait_for(child));
}

static void mode_tree(void)
{
	const pid_t child = fork();
	if (child == 0) {
		const pid_t grandchild = fork();
		if (grandchild == 0) {
			say("grandchild_work", grandchild_work());
			exit(0);
		}
		child_burns();
		must(wait_for(grandchild));
		exit(0);
	}
	say("parent_work", parent_work());
	must(wait_for(child));
}

static void *burn_in_thread(void *unused)
{
	(void)unused;
	parent_work();
	return NULL;
}

static void mode_threads(void)
{
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, burn_in_thread, NULL);
	for (int i = 0; i < 3; i++) {
		const pid_t child = fork();
		if (child == 0) {
			pthread_t t;
			child_burns();
			/* A child of a threaded parent may start threads of its own. */
			if (pthread_create(&t, NULL, burn_in_thread, NULL) == 0)
				pthread_join(t, NULL);
			_exit(0);
		}
		must(wait_for(child));
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

static void mode_daemon(void)
{
	/* The daemon's own word comes through a pipe kept above the closed range. */
	int ends[2];
	if (pipe(ends))
		exit(1);
	const pid_t first = fork();
	if (first == 0) {
		setsid();
		if (fork())
			_exit(0);
		if (chdir("/") || dup2(ends[1], 1) < 0)
			_exit(1);
		dup2(1, 1200);
		for (int fd = 0; fd < 1024; fd++)
			close(fd);
		open("/dev/null", O_RDWR);
		dup2(1200, 1);
		close(1200);
		say("grandchild_work", grandchild_work());
		exit(0);
	}
	close(ends[1]);
	must(wait_for(first));
	char line[100];
	ssize_t n;
	while ((n = read(ends[0], line, sizeof line)) > 0)
		if (write(1, line, (size_t)n) != n)
			exit(1);
}

/* ---- children that give up their means before they work ---- */

static void drop_uid(void)
{
	if (setgid(65534) || setuid(65534))
		_exit(3);
}

static void drop_root_directory(void)
{
	char directory[] = "/tmp/family.XXXXXX";
	if (!mkdtemp(directory) || chroot(directory) || chdir("/"))
		_exit(3);
	drop_uid();
}

/* What a worker that only computes needs; everything else kills it. */
static void drop_system_calls(void)
{
	static const unsigned allowed[] = {SYS_write, SYS_exit, SYS_exit_group, SYS_rt_sigreturn,
					   SYS_clock_gettime, SYS_getpid};
	enum { COUNT = sizeof allowed / sizeof *allowed };
	struct sock_filter filter[COUNT + 3];
	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < COUNT; i++)
		filter[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i],
							     (unsigned char)(COUNT - i), 0);
	filter[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = {.len = COUNT + 3, .filter = filter};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(3);
}

static void drop_nearly_all(void) /* read, write, exit, sigreturn: not even exit_group */
{
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		_exit(3);
	for (int64_t i = 0; i < work_ns / 5000; i++)
		spin_briefly();
	(void)!write(1, "strict\n", 7);
	syscall(SYS_exit, 0);
}

static void drop_network(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC))
		_exit(3);
}

static void mode_drop(void (*drop)(void))
{
	const pid_t child = fork();
	if (child == 0) {
		drop();
		child_burns();
		_exit(0);
	}
	must(wait_for(child));
	say("parent_work", parent_work());
}

FRAME void strict_work(void)
{
	drop_nearly_all();
	NO_TAIL_CALL();
}

/* A vfork child runs on its parent's memory: its allocation is not the first sample of that. */
static void mode_vfork_in_child(void)
{
	const pid_t child = fork();
	if (child == 0) {
		static void *volatile block;
		const pid_t grandchild = vfork();
		if (grandchild == 0) {
			block = malloc(100 << 20);
			_exit(0);
		}
		must(wait_for(grandchild));
		child_burns();
		_exit(0);
	}
	must(wait_for(child));
	say("parent_work", parent_work());
}

/* ---- with exec ---- */

static char *leaf_arguments[] = {"leaf", "leaf", NULL, NULL};

static void mode_exec(void)
{
	const pid_t child = fork();
	if (child == 0) {
		execv(own_path, leaf_arguments);
		_exit(127);
	}
	must(wait_for(child));
	say("parent_work", parent_work());
}

static void mode_vfork(void)
{
	say("parent_work", parent_work());
	for (int i = 0; i < 3; i++) {
		const pid_t child = vfork();
		if (child == 0) {
			execv(own_path, leaf_arguments);
			_exit(127);
		}
		must(wait_for(child));
	}
	const pid_t failing = vfork();
	if (failing == 0) {
		execv("/nonexistent", leaf_arguments);
		_exit(127);
	}
	if (wait_for(failing) != 127)
		exit(1);
}

static void mode_spawn(void)
{
	say("parent_work", parent_work());
	for (int i = 0; i < 3; i++) {
		pid_t child;
		if (posix_spawn(&child, own_path, NULL, NULL, leaf_arguments, environ))
			exit(1);
		must(wait_for(child));
	}
	if (wait_for(-1) != -1 || errno != ECHILD)
		exit(1);
}

static void mode_many(void) /* a hundred that exec at once */
{
	for (int i = 0; i < 100; i++) {
		const pid_t child = fork();
		if (child == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(127);
		}
		must(wait_for(child));
	}
	say("parent_work", parent_work());
}

/* ---- heap: what belongs to whom ---- */

FRAME void *parent_allocates(void) { return malloc(1000); }
FRAME void *child_allocates(void) { return malloc(2000); }

static volatile int storm_ends;

static void *storm_in_thread(void *unused)
{
	while (!storm_ends)
		free(parent_allocates());
	return unused;
}

static void mode_storm(void) /* forks in the middle of other threads' samples */
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, storm_in_thread, NULL);
	for (int i = 0; i < 60; i++) {
		const pid_t child = fork();
		if (child == 0) {
			void *volatile block;
			for (int k = 0; k < 50; k++)
				block = child_allocates();
			(void)block;
			_exit(0);
		}
		must(wait_for(child));
	}
	storm_ends = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void mode_heap(void)
{
	void *blocks[300];
	for (int i = 0; i < 300; i++) {
		blocks[i] = parent_allocates();
		NO_TAIL_CALL();
	}
	const pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < 300; i++)
			free(blocks[i]); /* the child's copy: nothing to the parent */
		for (int i = 0; i < 50; i++) {
			blocks[i] = child_allocates();
			NO_TAIL_CALL();
		}
		for (int i = 0; i < 20; i++)
			free(blocks[i]);
		exit(0);
	}
	for (int i = 0; i < 100; i++)
		free(blocks[i]);
	for (int i = 0; i < 40; i++) {
		blocks[i] = parent_allocates();
		NO_TAIL_CALL();
	}
	must(wait_for(child));
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	if (readlink("/proc/self/exe", own_path, sizeof own_path - 1) < 0)
		return 2;
	leaf_arguments[2] = argv[2];
	work_ns = strtoll(argv[2], NULL, 10) * 1000000;
	const char *mode = argv[1];
	if (!strcmp(mode, "leaf"))
		say("leaf_work", leaf_work());
	else if (!strcmp(mode, "fork"))
		mode_fork(fork);
	else if (!strcmp(mode, "plain-fork"))
		mode_fork(_Fork);
	else if (!strcmp(mode, "raw-clone"))
		mode_raw_clone();
	else if (!strcmp(mode, "tree"))
		mode_tree();
	else if (!strcmp(mode, "threads"))
		mode_threads();
	else if (!strcmp(mode, "daemon"))
		mode_daemon();
	else if (!strcmp(mode, "setuid"))
		mode_drop(drop_uid);
	else if (!strcmp(mode, "chroot"))
		mode_drop(drop_root_directory);
	else if (!strcmp(mode, "unshare"))
		mode_drop(drop_network);
	else if (!strcmp(mode, "seccomp"))
		mode_drop(drop_system_calls);
	else if (!strcmp(mode, "strict"))
		mode_drop(strict_work);
	else if (!strcmp(mode, "exec"))
		mode_exec();
	else if (!strcmp(mode, "vfork"))
		mode_vfork();
	else if (!strcmp(mode, "vfork-in-child"))
		mode_vfork_in_child();
	else if (!strcmp(mode, "spawn"))
		mode_spawn();
	else if (!strcmp(mode, "many"))
		mode_many();
	else if (!strcmp(mode, "storm"))
		mode_storm();
	else if (!strcmp(mode, "heap"))
		mode_heap();
	else
		return 2;
	return 0;
}
