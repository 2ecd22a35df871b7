/* SPDX-License-Identifier: MIT */
/*
 * The collector runs in a child as it does in life, supervisor, worker and all.
 *
 * Context: tests of the collector; see fake_tree.h.
 */
#include "fake_tree.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"

void fake_tree_open(struct fake_tree *tree)
{
	fake_session_create(&tree->session);
	strcpy(tree->dir, "/tmp/cprof-test-XXXXXX");
	cr_assert(mkdtemp(tree->dir));
}

static void live(const struct fake_tree *tree, struct fake_process *process, int commands, int answers)
{
	char command;
	while (read(commands, &command, 1) == 1 && command != 'q') {
		struct fake_segment *segment = &process->segments[command == 'x'];
		fake_control(segment)->pid = (uint32_t)getpid();
		int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
		fake_register(&tree->session, segment, pidfd);
		close(pidfd);
		if (write(answers, &command, 1) != 1)
			break;
	}
	_exit(0);
}

/* The process, given its segments. */
static void fake_process_fork(const struct fake_tree *tree, struct fake_process *process, bool is_first)
{
	int commands[2];
	int answers[2];
	for (int i = 0; i < 2; i++) {
		struct cprof_control *control = fake_control(&process->segments[i]);
		control->is_first = is_first;
		snprintf(control->out_dir, sizeof control->out_dir, "%s", tree->dir);
		snprintf(control->name, sizeof control->name, i ? "second" : "fake");
		process->slot = fake_thread_start(&process->segments[i]);
	}
	cr_assert_eq(pipe2(commands, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(answers, O_CLOEXEC), 0);
	process->pid = fork();
	cr_assert_geq(process->pid, 0);
	if (process->pid == 0) {
		close(commands[1]);
		live(tree, process, commands[0], answers[1]);
	}
	close(commands[0]);
	close(answers[1]);
	process->commands = commands[1];
	process->answers = answers[0];
}

void fake_process_start(const struct fake_tree *tree, struct fake_process *process, bool is_first)
{
	for (int i = 0; i < 2; i++)
		fake_segment_create(&process->segments[i], CPROF_SEGMENT_BYTES_MIN);
	fake_process_fork(tree, process, is_first);
}

void fake_process_start_on_disk(const struct fake_tree *tree, struct fake_process *process)
{
	for (int i = 0; i < 2; i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/.fake%d.1.cprof", tree->dir, i);
		fake_segment_create_file(&process->segments[i], path, CPROF_SEGMENT_BYTES_MIN);
	}
	fake_process_fork(tree, process, true);
}

void fake_process_register(struct fake_process *process, char command)
{
	char answer;
	cr_assert_eq(write(process->commands, &command, 1), 1);
	cr_assert_eq(read(process->answers, &answer, 1), 1, "the process could not register");
}

void fake_process_kill(struct fake_process *process)
{
	kill(process->pid, SIGKILL);
	cr_assert_eq(waitpid(process->pid, NULL, 0), process->pid);
}

void fake_tree_collect(struct fake_tree *tree, const struct fake_process *first)
{
	int log_pipe[2];
	cr_assert_eq(pipe2(log_pipe, O_CLOEXEC), 0);
	tree->supervisor = fork();
	cr_assert_geq(tree->supervisor, 0);
	if (tree->supervisor == 0) {
		struct loop_config config = {.listen_fd = tree->session.listen_fd};
		bool is_worker;
		close(first->commands);
		log_open(log_pipe[1], LOG_LEVEL_WARN);
		if (session_parse(tree->session.text, &config.session))
			_exit(3);
		config.session.root_pid = (uint32_t)first->pid;
		_exit(supervisor_run(loop_run, &config, &is_worker));
	}
	close(tree->session.listen_fd);
	close(log_pipe[1]);
	tree->log_fd = log_pipe[0];
}

void fake_tree_expect_end(const struct fake_tree *tree, int exit_status)
{
	int status;
	cr_assert_eq(waitpid(tree->supervisor, &status, 0), tree->supervisor);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == exit_status, "status %#x", (unsigned)status);
}

size_t fake_tree_files(const struct fake_tree *tree, const char *name, const struct fake_process *process,
		       const char *rest)
{
	char pattern[160];
	glob_t found;
	snprintf(pattern, sizeof pattern, "%s/%s.%d%s", tree->dir, name, process->pid, rest);
	if (glob(pattern, GLOB_NOSORT, NULL, &found))
		return 0;
	size_t count = found.gl_pathc;
	for (size_t i = 0; i < count; i++) {
		struct stat st;
		if (stat(found.gl_pathv[i], &st) == 0) {
			cr_expect_eq(st.st_mode & 0777, 0600);
			cr_expect_gt(st.st_size, 0);
		}
	}
	globfree(&found);
	return count;
}

size_t fake_tree_count(const struct fake_tree *tree)
{
	char pattern[160];
	glob_t found;
	snprintf(pattern, sizeof pattern, "%s/*", tree->dir);
	if (glob(pattern, GLOB_NOSORT | GLOB_PERIOD, NULL, &found))
		return 0;
	size_t count = found.gl_pathc;
	globfree(&found);
	return count - 2; /* . and .. */
}

void fake_process_ask_final(const struct fake_process *process)
{
	struct cprof_control *control = fake_control(&process->segments[0]);
	add_release(&control->final_requested, 1);
	add_release(&control->bell, 1);
	syscall(SYS_futex, &control->bell, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
}

const char *fake_tree_said(const struct fake_tree *tree)
{
	static char text[4096];
	struct pollfd ready = {.fd = tree->log_fd, .events = POLLIN};
	size_t size = strlen(text);
	while (poll(&ready, 1, 0) == 1 && ready.revents & POLLIN) {
		ssize_t n = read(tree->log_fd, text + size, sizeof text - 1 - size);
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	return text;
}

void fake_tree_close(const struct fake_tree *tree)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", tree->dir);
	cr_expect_eq(system(command), 0);
}
