/* SPDX-License-Identifier: MIT */
/*
 * The whole collector against fake processes: registration, requests, ends, take-over.
 * A fake process is a child that registers when told to and waits to be killed; the
 * test records on its behalf, since it holds the segment too.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_segment.h"
#include "log.h"
#include "loop.h"

#define ONE CPROF_WEIGHT_ONE
#define PATIENCE_MS 20000

struct tree {
	struct fake_session session;
	char dir[64];
	pid_t supervisor;
	int log_fd; /* read end: what the collector says */
};

struct process {
	struct fake_segment segments[2]; /* the second for an image after an exec */
	uint32_t slot;
	pid_t pid;
	int commands; /* write end: 'r' registers segment 0, 'x' segment 1, 'q' exits */
	int answers;
};

/* Waits until `condition`; fails the test if that takes for ever. */
#define WAIT_FOR(condition)                                                               \
	do {                                                                              \
		const struct timespec pause_ = {.tv_nsec = 2000000};                      \
		for (int tries_ = 0; !(condition); tries_++) {                            \
			cr_assert_lt(tries_, PATIENCE_MS / 2, "in vain: %s", #condition); \
			nanosleep(&pause_, NULL);                                         \
		}                                                                         \
	} while (0)

static void prepare(struct tree *tree)
{
	fake_session_create(&tree->session);
	strcpy(tree->dir, "/tmp/cprof-test-XXXXXX");
	cr_assert(mkdtemp(tree->dir));
}

static void live(const struct tree *tree, struct process *process, int commands, int answers)
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
static void process_fork(const struct tree *tree, struct process *process, bool is_first)
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

static void process_start(const struct tree *tree, struct process *process, bool is_first)
{
	for (int i = 0; i < 2; i++)
		fake_segment_create(&process->segments[i], CPROF_SEGMENT_BYTES_MIN);
	process_fork(tree, process, is_first);
}

static void process_start_on_disk(const struct tree *tree, struct process *process)
{
	for (int i = 0; i < 2; i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/.fake%d.1.cprof", tree->dir, i);
		fake_segment_create_file(&process->segments[i], path, CPROF_SEGMENT_BYTES_MIN);
	}
	process_fork(tree, process, true);
}

static void process_register(struct process *process, char command)
{
	char answer;
	cr_assert_eq(write(process->commands, &command, 1), 1);
	cr_assert_eq(read(process->answers, &answer, 1), 1, "the process could not register");
}

static void process_kill(struct process *process)
{
	kill(process->pid, SIGKILL);
	cr_assert_eq(waitpid(process->pid, NULL, 0), process->pid);
}

static void start(struct tree *tree, const struct process *first)
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

static void expect_end(const struct tree *tree, int exit_status)
{
	int status;
	cr_assert_eq(waitpid(tree->supervisor, &status, 0), tree->supervisor);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == exit_status, "status %#x", (unsigned)status);
}

/* How many files of the tree match NAME.PID.<rest>; all have mode 0600 and some content. */
static size_t files(const struct tree *tree, const char *name, const struct process *process,
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

static size_t all_files(const struct tree *tree)
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

static void request_final(const struct process *process)
{
	struct cprof_control *control = fake_control(&process->segments[0]);
	add_release(&control->final_requested, 1);
	add_release(&control->bell, 1);
	syscall(SYS_futex, &control->bell, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
}

/* What the collector said so far. */
static const char *said(const struct tree *tree)
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

static void remove_tree(const struct tree *tree)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", tree->dir);
	cr_expect_eq(system(command), 0);
}

Test(loop, writes_the_files_of_a_process_that_waits_for_them, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start(&tree, &p, true);
	start(&tree, &p);
	process_register(&p, 'r');
	uint32_t stack = fake_leaf(&p.segments[0], 0x10);
	fake_record(&p.segments[0], p.slot, stack, CPROF_KIND_CPU, ONE, 10000000);
	request_final(&p);
	WAIT_FOR(load_acquire(&fake_control(&p.segments[0])->final_done) == 1);
	cr_expect_eq(files(&tree, "fake", &p, ".cpu.pb.gz"), 1);
	cr_expect_eq(files(&tree, "fake", &p, ".heap.pb.gz"), 1);
	cr_expect_eq(load_relaxed(&fake_control(&p.segments[0])->instance), 1);
	process_kill(&p);
	expect_end(&tree, 0);
	cr_expect_eq(all_files(&tree), 2);
	cr_expect_str_empty(said(&tree));
	remove_tree(&tree);
}

Test(loop, writes_the_files_of_a_killed_process, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start(&tree, &p, true);
	start(&tree, &p);
	process_register(&p, 'r');
	process_kill(&p);
	expect_end(&tree, 0);
	cr_expect_eq(files(&tree, "fake", &p, ".cpu.pb.gz"), 1);
	cr_expect_eq(files(&tree, "fake", &p, ".heap.pb.gz"), 1);
	cr_expect_eq(all_files(&tree), 2);
	remove_tree(&tree);
}

Test(loop, serves_a_process_that_died_before_it_was_accepted, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start(&tree, &p, true);
	process_register(&p, 'r');
	process_kill(&p);
	start(&tree, &p);
	expect_end(&tree, 0);
	cr_expect_eq(all_files(&tree), 2);
	remove_tree(&tree);
}

Test(loop, writes_only_profiles_with_samples_for_later_processes, .timeout = 60)
{
	struct tree tree;
	struct process first;
	struct process idle;
	struct process busy;
	prepare(&tree);
	process_start(&tree, &first, true);
	process_start(&tree, &idle, false);
	process_start(&tree, &busy, false);
	start(&tree, &first);
	process_register(&first, 'r');
	process_register(&idle, 'r');
	process_register(&busy, 'r');
	uint32_t stack = fake_leaf(&busy.segments[0], 0x10);
	fake_record(&busy.segments[0], busy.slot, stack, CPROF_KIND_CPU, ONE, 10000000);
	process_kill(&idle);
	process_kill(&first);
	process_kill(&busy);
	expect_end(&tree, 0);
	cr_expect_eq(files(&tree, "fake", &first, ".*"), 2);
	cr_expect_eq(files(&tree, "fake", &idle, ".*"), 0);
	cr_expect_eq(files(&tree, "fake", &busy, ".cpu.pb.gz"), 1);
	cr_expect_eq(all_files(&tree), 3);
	remove_tree(&tree);
}

Test(loop, finishes_an_image_when_its_process_execs, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start(&tree, &p, true);
	start(&tree, &p);
	process_register(&p, 'r');
	uint32_t stack = fake_leaf(&p.segments[0], 0x10);
	fake_record(&p.segments[0], p.slot, stack, CPROF_KIND_CPU, ONE, 10000000);
	process_register(&p, 'x');
	/* What was left behind has samples of one kind; what it has become is the first process. */
	WAIT_FOR(files(&tree, "fake", &p, ".cpu.pb.gz") == 1);
	cr_expect_eq(files(&tree, "second", &p, ".*"), 0);
	process_kill(&p);
	expect_end(&tree, 0);
	cr_expect_eq(files(&tree, "second", &p, ".*"), 2);
	cr_expect_eq(all_files(&tree), 3);
	remove_tree(&tree);
}

Test(loop, numbers_snapshots_from_one, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start(&tree, &p, true);
	start(&tree, &p);
	process_register(&p, 'r');
	struct cprof_control *control = fake_control(&p.segments[0]);
	add_release(&control->snapshot_requested, 1);
	WAIT_FOR(load_acquire(&control->snapshots_taken) == 1);
	add_release(&control->snapshot_requested, 2);
	WAIT_FOR(load_acquire(&control->snapshots_taken) == 3);
	cr_expect_eq(files(&tree, "fake", &p, ".heap.1.pb.gz"), 1);
	cr_expect_eq(files(&tree, "fake", &p, ".heap.2.pb.gz"), 1);
	cr_expect_eq(all_files(&tree), 2);
	process_kill(&p);
	expect_end(&tree, 0);
	remove_tree(&tree);
}

Test(loop, replaces_a_killed_worker_without_loss, .timeout = 60)
{
	struct tree tree;
	struct process p;
	struct process q;
	prepare(&tree);
	process_start(&tree, &p, true);
	process_start(&tree, &q, false);
	start(&tree, &p);
	process_register(&p, 'r');
	struct cprof_control *control = fake_control(&p.segments[0]);
	uint32_t stack = fake_leaf(&p.segments[0], 0x10);
	fake_record(&p.segments[0], p.slot, stack, CPROF_KIND_CPU, ONE, 1);
	request_final(&p);
	WAIT_FOR(load_acquire(&control->final_done) == 1);
	pid_t worker = (pid_t)load_relaxed(&control->collector_pid);
	cr_assert_gt(worker, 1);
	cr_assert_neq(worker, tree.supervisor);
	kill(worker, SIGKILL);
	/* While nobody serves: records, a registration and a request. */
	fake_record(&p.segments[0], p.slot, stack, CPROF_KIND_CPU, ONE, 10);
	process_register(&q, 'r');
	fake_record(&q.segments[0], q.slot, fake_leaf(&q.segments[0], 1), CPROF_KIND_CPU, ONE, 10);
	request_final(&p);
	WAIT_FOR(load_acquire(&control->final_done) == 2);
	cr_expect_neq((pid_t)load_relaxed(&control->collector_pid), worker);
	uint64_t weight;
	uint64_t value;
	fake_total_get(&p.segments[0], cprof_total_key(stack, CPROF_KIND_CPU, 0), &weight, &value);
	cr_expect_eq(weight, 2 * ONE);
	cr_expect_eq(value, 11);
	process_kill(&q);
	process_kill(&p);
	expect_end(&tree, 0);
	/* The second worker replaced the first one's files, and did not write new ones beside them. */
	cr_expect_eq(files(&tree, "fake", &p, ".*"), 2);
	cr_expect_eq(files(&tree, "fake", &q, ".cpu.pb.gz"), 1);
	cr_expect_eq(all_files(&tree), 3);
	cr_expect(strstr(said(&tree), "another one takes over"), "%s", said(&tree));
	remove_tree(&tree);
}

Test(loop, goes_on_without_its_supervisor, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start(&tree, &p, true);
	start(&tree, &p);
	process_register(&p, 'r');
	struct cprof_control *control = fake_control(&p.segments[0]);
	WAIT_FOR(load_relaxed(&control->collector_pid) != 0);
	kill(tree.supervisor, SIGKILL);
	cr_assert_eq(waitpid(tree.supervisor, NULL, 0), tree.supervisor);
	process_kill(&p);
	WAIT_FOR(all_files(&tree) == 2);
	remove_tree(&tree);
}

Test(loop, closes_the_stderr_of_the_first_process_with_it, .timeout = 60)
{
	struct tree tree;
	struct process first;
	struct process later;
	prepare(&tree);
	process_start(&tree, &first, true);
	process_start(&tree, &later, false);
	start(&tree, &first);
	process_register(&first, 'r');
	process_register(&later, 'r');
	WAIT_FOR(load_relaxed(&fake_control(&later.segments[0])->collector_pid) != 0);
	struct pollfd end = {.fd = tree.log_fd, .events = POLLIN};
	cr_expect_eq(poll(&end, 1, 0), 0);
	process_kill(&first);
	cr_assert_eq(poll(&end, 1, PATIENCE_MS), 1);
	cr_expect(end.revents & POLLHUP);
	cr_expect_eq(waitpid(tree.supervisor, NULL, WNOHANG), 0);
	process_kill(&later);
	expect_end(&tree, 0);
	remove_tree(&tree);
}

Test(loop, refuses_strangers_and_drops_the_silent, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start(&tree, &p, true);
	start(&tree, &p);
	process_register(&p, 'r');
	struct fake_session stranger = tree.session;
	memset(stranger.token, 'a', CPROF_SESSION_HEX);
	fake_register(&stranger, &p.segments[1], -1);
	WAIT_FOR(strstr(said(&tree), "does not belong to this process tree"));
	request_final(&p);
	WAIT_FOR(load_acquire(&fake_control(&p.segments[0])->final_done) == 1);
	cr_expect_eq(load_relaxed(&fake_control(&p.segments[1])->collector_pid), 0);
	process_kill(&p);
	expect_end(&tree, 0);
	cr_expect_eq(all_files(&tree), 2);
	remove_tree(&tree);
}

Test(loop, says_in_one_line_that_a_directory_cannot_be_written, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start(&tree, &p, true);
	strcpy(fake_control(&p.segments[0])->out_dir, "/proc/self/nowhere");
	start(&tree, &p);
	process_register(&p, 'r');
	fake_record(&p.segments[0], p.slot, 0, CPROF_KIND_CPU, ONE, 1);
	request_final(&p);
	WAIT_FOR(load_acquire(&fake_control(&p.segments[0])->final_done) == 1);
	process_kill(&p);
	expect_end(&tree, 0);
	const char *text = said(&tree);
	cr_expect(strstr(text, "cannot write profiles to /proc/self/nowhere"), "%s", text);
	cr_expect_eq(strchr(text, '\n'), strrchr(text, '\n'), "%s", text);
	remove_tree(&tree);
}

Test(loop, leaves_no_segment_file_once_the_profiles_exist, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start_on_disk(&tree, &p);
	start(&tree, &p);
	process_register(&p, 'r');
	process_register(&p, 'x');
	process_kill(&p);
	expect_end(&tree, 0);
	cr_expect_eq(files(&tree, "second", &p, ".*"), 2);
	cr_expect_eq(all_files(&tree), 2);
	remove_tree(&tree);
}

Test(loop, keeps_the_segment_file_when_the_profiles_cannot_be_written, .timeout = 60)
{
	struct tree tree;
	struct process p;
	prepare(&tree);
	process_start_on_disk(&tree, &p);
	strcpy(fake_control(&p.segments[0])->out_dir, "/proc/self/nowhere");
	start(&tree, &p);
	process_register(&p, 'r');
	process_kill(&p);
	expect_end(&tree, 0);
	cr_expect_eq(all_files(&tree), 2);
	remove_tree(&tree);
}
