/* SPDX-License-Identifier: MIT */
/*
 * What /proc says of threads, with names and numbers that nobody promised.
 *
 * Context: tests.
 */
#include "thread_state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int parse_status(const char *text, struct thread_state *out_state)
{
	return thread_state_parse_status(text, strlen(text), out_state);
}

static int parse_call(const char *text, struct thread_call *out_call)
{
	return thread_state_parse_call(text, strlen(text), out_call);
}

Test(thread_state, reads_a_status)
{
	struct thread_state state;
	cr_assert_eq(
		parse_status(
			"Name:\tnet worker\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t100\n"
			"TracerPid:\t17\nThreads:\t12\nNSpid:\t4711\t12\t7\nSigPnd:\t8000000000000033\n"
			"ShdPnd:\t0000000000000f00\nSigBlk:\t0000000000000110\n"
			"SigIgn:\tffffffffffffffff\nSigCgt:\t8000000000000321\nvoluntary_ctxt_switches:\t41\n"
			"nonvoluntary_ctxt_switches:\t1\n",
			&state),
		0);
	cr_expect_str_eq(state.name, "net worker");
	cr_expect_eq(state.state, 'S');
	cr_expect_eq(state.tid, 7);
	cr_expect_eq(state.tracer_pid, 17);
	cr_expect_eq(state.switches, 42);
	cr_expect_eq(state.process_signals, 0x200, "neither blocked (0x100) nor without a handler (0xc00)");
	cr_expect_eq(state.signals, 0x8000000000000221);
	cr_expect_eq(state.thread_count, 12);
	cr_expect(!state.drops_sigchld, "ignored: not sent");
	cr_assert_eq(parse_status("State:\tS\nSigBlk:\t0000000000000000\n", &state), 0);
	cr_expect(state.drops_sigchld);
	cr_assert_eq(parse_status("State:\tS\nSigCgt:\t0000000000010000\n", &state), 0);
	cr_expect(!state.drops_sigchld);
}

Test(thread_state, does_not_take_a_name_for_a_line)
{
	struct thread_state state;
	cr_assert_eq(parse_status("Name:\tx\\nState:\tR\nState:\tD (disk sleep)\n", &state), 0);
	cr_expect_eq(state.state, 'D');
	cr_expect_str_eq(state.name, "x\\nState:\tR");
}

Test(thread_state, refuses_what_has_no_state)
{
	struct thread_state state = {.tid = 5};
	static const char *const texts[] = {
		"", "\n\n\n", "Name:\tx\n", "State:", "State:\n", "State:   \t", "xState:\tR\n"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		cr_expect_eq(parse_status(texts[i], &state), -EINVAL, "%s", texts[i]);
	cr_expect_eq(state.tid, 5, "untouched");
}

Test(thread_state, cuts_names_and_ignores_numbers_that_do_not_fit)
{
	char text[4096] = "State:\tR\nNSpid:\t99999999999999999999\nTracerPid:\t99999999999\nName:\t";
	struct thread_state state;
	memset(text + strlen(text), 'n', 1000);
	cr_assert_eq(parse_status(text, &state), 0);
	cr_expect_eq(strlen(state.name), sizeof state.name - 1);
	cr_expect_eq(state.tid, 0);
	cr_expect_eq(state.tracer_pid, UINT32_MAX, "somebody traces it all the same");
}

Test(thread_state, reads_a_call)
{
	struct thread_call call;
	cr_assert_eq(parse_call("202 0x7f01 0x80 0x2 0x0 0x0 0xffffffff 0x7ffc10 0x7f0a\n", &call), 0);
	cr_expect_eq(call.kind, THREAD_CALL_INSIDE);
	cr_expect_eq(call.number, 202);
	cr_expect_eq(call.arguments[0], 0x7f01);
	cr_expect_eq(call.arguments[5], 0xffffffff);
	cr_expect_eq(call.sp, 0x7ffc10);
	cr_expect_eq(call.pc, 0x7f0a);
	cr_assert_eq(parse_call("running\n", &call), 0);
	cr_expect_eq(call.kind, THREAD_CALL_RUNNING);
	cr_assert_eq(parse_call("-1 0x7ffc10 0x55\n", &call), 0);
	cr_expect_eq(call.kind, THREAD_CALL_NONE);
	cr_expect_eq(call.pc, 0x55);
}

Test(thread_state, refuses_nonsense_for_a_call)
{
	static const char *const texts[] = {"",
					    "\n",
					    "runnin",
					    "running away",
					    "-1",
					    "-1 0x1",
					    "-1 1 2\n",
					    "-2 0x1 0x2\n",
					    "0",
					    "0 0x0 0x0 0x0 0x0 0x0 0x0 0x1",
					    "0 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x",
					    "0 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2 0x3\n",
					    "99999999999 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2\n",
					    "0 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x11112222333344445\n"};
	struct thread_call call = {.number = 77};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		cr_expect_eq(parse_call(texts[i], &call), -EINVAL, "%s", texts[i]);
	cr_expect_eq(call.number, 77, "untouched");
}

Test(thread_state, survives_random_bytes)
{
	static const char alphabet[] = "Name:State\t \n0x123456789afSRDTZ-NSpid";
	unsigned seed = 1;
	for (int round = 0; round < 20000; round++) {
		char text[80];
		size_t size = (size_t)rand_r(&seed) % sizeof text;
		struct thread_state state;
		struct thread_call call;
		for (size_t i = 0; i < size; i++)
			text[i] = alphabet[(size_t)rand_r(&seed) % sizeof alphabet];
		/* At the end of an allocation, where a sanitizer sees a byte too much. */
		char *copy = malloc(size + 1);
		memcpy(copy + 1, text, size);
		(void)thread_state_parse_status(copy + 1, size, &state);
		(void)thread_state_parse_call(copy + 1, size, &call);
		free(copy);
	}
}

Test(thread_state, reads_ourselves)
{
	struct thread_state state;
	struct thread_call call;
	pid_t tid = (pid_t)syscall(SYS_gettid);
	cr_assert_eq(thread_state_read_status(getpid(), tid, &state), 0);
	cr_expect_eq(state.state, 'R');
	cr_expect_eq(state.tid, (uint32_t)tid);
	int error = thread_state_read_call(getpid(), tid, &call);
	cr_expect(error == 0 || error == -ENOENT);
	cr_expect_eq(thread_state_read_status(getpid(), INT32_MAX, &state), -ESRCH);
}
