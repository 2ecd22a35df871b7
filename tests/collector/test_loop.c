/* SPDX-License-Identifier: MIT */
/*
 * The whole collector against fake processes: registration, requests, ends, take-over.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "fake_tree.h"

#define ONE CPROF_WEIGHT_ONE

static struct fake_tree tree;
static struct fake_process p; /* mostly the first of the tree */

static void open_tree(void)
{
	fake_tree_open(&tree);
}

static void close_tree(void)
{
	fake_tree_close(&tree);
}

TestSuite(loop, .init = open_tree, .fini = close_tree, .timeout = 60);

/* The collector, and the first process, which it knows. */
static void serve_first(void)
{
	fake_process_start(&tree, &p, true);
	fake_tree_collect(&tree, &p);
	fake_process_register(&p, 'r');
}

/* After it the collector has nothing left to do. */
static void end_last(struct fake_process *process)
{
	fake_process_kill(process);
	fake_tree_expect_end(&tree, 0);
}

Test(loop, writes_the_files_of_a_process_that_waits_for_them)
{
	serve_first();
	uint32_t stack = fake_leaf(&p.segments[0], 0x10);
	fake_record(&p.segments[0], p.slot, stack, CPROF_KIND_CPU, ONE, 10000000);
	fake_process_ask_final(&p);
	WAIT_FOR(load_acquire(&fake_control(&p.segments[0])->final_done) == 1);
	cr_expect_eq(fake_tree_files(&tree, "fake", &p, ".cpu.pb.gz"), 1);
	cr_expect_eq(fake_tree_files(&tree, "fake", &p, ".heap.pb.gz"), 1);
	cr_expect_eq(load_relaxed(&fake_control(&p.segments[0])->instance), 1);
	end_last(&p);
	cr_expect_eq(fake_tree_count(&tree), 2);
	cr_expect_str_empty(fake_tree_said(&tree));
}

Test(loop, writes_the_files_of_a_killed_process)
{
	serve_first();
	end_last(&p);
	cr_expect_eq(fake_tree_files(&tree, "fake", &p, ".cpu.pb.gz"), 1);
	cr_expect_eq(fake_tree_files(&tree, "fake", &p, ".heap.pb.gz"), 1);
	cr_expect_eq(fake_tree_count(&tree), 2);
}

Test(loop, serves_a_process_that_died_before_it_was_accepted)
{
	fake_process_start(&tree, &p, true);
	fake_process_register(&p, 'r');
	fake_process_kill(&p);
	fake_tree_collect(&tree, &p);
	fake_tree_expect_end(&tree, 0);
	cr_expect_eq(fake_tree_count(&tree), 2);
}

Test(loop, writes_only_profiles_with_samples_for_later_processes)
{
	struct fake_process first;
	struct fake_process idle;
	struct fake_process busy;
	fake_process_start(&tree, &first, true);
	fake_process_start(&tree, &idle, false);
	fake_process_start(&tree, &busy, false);
	fake_tree_collect(&tree, &first);
	fake_process_register(&first, 'r');
	fake_process_register(&idle, 'r');
	fake_process_register(&busy, 'r');
	uint32_t stack = fake_leaf(&busy.segments[0], 0x10);
	fake_record(&busy.segments[0], busy.slot, stack, CPROF_KIND_CPU, ONE, 10000000);
	fake_process_kill(&idle);
	fake_process_kill(&first);
	end_last(&busy);
	cr_expect_eq(fake_tree_files(&tree, "fake", &first, ".*"), 2);
	cr_expect_eq(fake_tree_files(&tree, "fake", &idle, ".*"), 0);
	cr_expect_eq(fake_tree_files(&tree, "fake", &busy, ".cpu.pb.gz"), 1);
	cr_expect_eq(fake_tree_count(&tree), 3);
}

Test(loop, finds_the_samples_of_those_who_ended_before_they_were_looked_at)
{
	struct fake_process idle[8];
	struct fake_process busy;
	serve_first();
	for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++)
		fake_process_start(&tree, &idle[i], false);
	fake_process_start(&tree, &busy, false);
	uint32_t stack = fake_leaf(&busy.segments[0], 0x10);
	fake_record(&busy.segments[0], busy.slot, stack, CPROF_KIND_CPU, ONE, 10000000);
	for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
		fake_process_register(&idle[i], 'r');
		fake_process_kill(&idle[i]);
	}
	fake_process_register(&busy, 'r');
	fake_process_kill(&busy);
	end_last(&p);
	cr_expect_eq(fake_tree_files(&tree, "fake", &busy, ".cpu.pb.gz"), 1);
	cr_expect_eq(fake_tree_count(&tree), 3);
	cr_expect_str_empty(fake_tree_said(&tree));
}

Test(loop, finishes_an_image_when_its_process_execs)
{
	serve_first();
	uint32_t stack = fake_leaf(&p.segments[0], 0x10);
	fake_record(&p.segments[0], p.slot, stack, CPROF_KIND_CPU, ONE, 10000000);
	fake_process_register(&p, 'x');
	/* What was left behind has samples of one kind; what it has become is the first process. */
	WAIT_FOR(fake_tree_files(&tree, "fake", &p, ".cpu.pb.gz") == 1);
	cr_expect_eq(fake_tree_files(&tree, "second", &p, ".*"), 0);
	end_last(&p);
	cr_expect_eq(fake_tree_files(&tree, "second", &p, ".*"), 2);
	cr_expect_eq(fake_tree_count(&tree), 3);
}

Test(loop, numbers_snapshots_from_one)
{
	serve_first();
	struct cprof_control *control = fake_control(&p.segments[0]);
	add_release(&control->snapshot_requested, 1);
	WAIT_FOR(load_acquire(&control->snapshots_taken) == 1);
	add_release(&control->snapshot_requested, 2);
	WAIT_FOR(load_acquire(&control->snapshots_taken) == 3);
	cr_expect_eq(fake_tree_files(&tree, "fake", &p, ".heap.1.pb.gz"), 1);
	cr_expect_eq(fake_tree_files(&tree, "fake", &p, ".heap.2.pb.gz"), 1);
	cr_expect_eq(fake_tree_count(&tree), 2);
	end_last(&p);
}

Test(loop, replaces_a_killed_worker_without_loss)
{
	struct fake_process q;
	fake_process_start(&tree, &p, true);
	fake_process_start(&tree, &q, false);
	fake_tree_collect(&tree, &p);
	fake_process_register(&p, 'r');
	struct cprof_control *control = fake_control(&p.segments[0]);
	uint32_t stack = fake_leaf(&p.segments[0], 0x10);
	fake_record(&p.segments[0], p.slot, stack, CPROF_KIND_CPU, ONE, 1);
	fake_process_ask_final(&p);
	WAIT_FOR(load_acquire(&control->final_done) == 1);
	pid_t worker = (pid_t)load_relaxed(&control->collector_pid);
	cr_assert_gt(worker, 1);
	cr_assert_neq(worker, tree.supervisor);
	kill(worker, SIGKILL);
	/* While nobody serves: records, a registration and a request. */
	fake_record(&p.segments[0], p.slot, stack, CPROF_KIND_CPU, ONE, 10);
	fake_process_register(&q, 'r');
	fake_record(&q.segments[0], q.slot, fake_leaf(&q.segments[0], 1), CPROF_KIND_CPU, ONE, 10);
	fake_process_ask_final(&p);
	WAIT_FOR(load_acquire(&control->final_done) == 2);
	cr_expect_neq((pid_t)load_relaxed(&control->collector_pid), worker);
	uint64_t weight;
	uint64_t value;
	fake_total_get(&p.segments[0], cprof_total_key(stack, CPROF_KIND_CPU, 0), &weight, &value);
	cr_expect_eq(weight, 2 * ONE);
	cr_expect_eq(value, 11);
	fake_process_kill(&q);
	end_last(&p);
	/* The second worker replaced the first one's files, and did not write new ones beside them. */
	cr_expect_eq(fake_tree_files(&tree, "fake", &p, ".*"), 2);
	cr_expect_eq(fake_tree_files(&tree, "fake", &q, ".cpu.pb.gz"), 1);
	cr_expect_eq(fake_tree_count(&tree), 3);
	cr_expect(strstr(fake_tree_said(&tree), "another one takes over"), "%s", fake_tree_said(&tree));
}

Test(loop, goes_on_without_its_supervisor)
{
	serve_first();
	struct cprof_control *control = fake_control(&p.segments[0]);
	WAIT_FOR(load_relaxed(&control->collector_pid) != 0);
	kill(tree.supervisor, SIGKILL);
	cr_assert_eq(waitpid(tree.supervisor, NULL, 0), tree.supervisor);
	fake_process_kill(&p);
	WAIT_FOR(fake_tree_count(&tree) == 2);
}

Test(loop, closes_the_stderr_of_the_first_process_with_it)
{
	struct fake_process first;
	struct fake_process later;
	fake_process_start(&tree, &first, true);
	fake_process_start(&tree, &later, false);
	fake_tree_collect(&tree, &first);
	fake_process_register(&first, 'r');
	fake_process_register(&later, 'r');
	WAIT_FOR(load_relaxed(&fake_control(&later.segments[0])->collector_pid) != 0);
	struct pollfd end = {.fd = tree.log_fd, .events = POLLIN};
	cr_expect_eq(poll(&end, 1, 0), 0);
	fake_process_kill(&first);
	cr_assert_eq(poll(&end, 1, PATIENCE_MS), 1);
	cr_expect(end.revents & POLLHUP);
	cr_expect_eq(waitpid(tree.supervisor, NULL, WNOHANG), 0);
	end_last(&later);
}

Test(loop, refuses_strangers_and_drops_the_silent)
{
	serve_first();
	struct fake_session stranger = tree.session;
	memset(stranger.token, 'a', CPROF_SESSION_HEX);
	fake_register(&stranger, &p.segments[1], -1);
	fake_process_ask_final(&p);
	WAIT_FOR(load_acquire(&fake_control(&p.segments[0])->final_done) == 1);
	cr_expect_str_eq(fake_tree_said(&tree), "", "a stranger can write to the program's stderr");
	cr_expect_eq(load_relaxed(&fake_control(&p.segments[1])->collector_pid), 0);
	end_last(&p);
	cr_expect_eq(fake_tree_count(&tree), 2);
}

Test(loop, says_in_one_line_that_a_directory_cannot_be_written)
{
	fake_process_start(&tree, &p, true);
	strcpy(fake_control(&p.segments[0])->out_dir, "/proc/self/nowhere");
	fake_tree_collect(&tree, &p);
	fake_process_register(&p, 'r');
	fake_record(&p.segments[0], p.slot, 0, CPROF_KIND_CPU, ONE, 1);
	fake_process_ask_final(&p);
	WAIT_FOR(load_acquire(&fake_control(&p.segments[0])->final_done) == 1);
	end_last(&p);
	const char *text = fake_tree_said(&tree);
	cr_expect(strstr(text, "cannot write profiles to /proc/self/nowhere"), "%s", text);
	cr_expect_eq(strchr(text, '\n'), strrchr(text, '\n'), "%s", text);
}

Test(loop, leaves_no_segment_file_once_the_profiles_exist)
{
	fake_process_start_on_disk(&tree, &p);
	fake_tree_collect(&tree, &p);
	fake_process_register(&p, 'r');
	fake_process_register(&p, 'x');
	end_last(&p);
	cr_expect_eq(fake_tree_files(&tree, "second", &p, ".*"), 2);
	cr_expect_eq(fake_tree_count(&tree), 2);
}

Test(loop, keeps_the_segment_file_when_the_profiles_cannot_be_written)
{
	fake_process_start_on_disk(&tree, &p);
	strcpy(fake_control(&p.segments[0])->out_dir, "/proc/self/nowhere");
	fake_tree_collect(&tree, &p);
	fake_process_register(&p, 'r');
	end_last(&p);
	cr_expect_eq(fake_tree_count(&tree), 2);
}
