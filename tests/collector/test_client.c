/* SPDX-License-Identifier: MIT */
/*
 * A client whose process ends while it is looked at.
 *
 * Context: tests.
 */
#include "client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_segment.h"

static pid_t child;
static struct fake_segment segment;
static struct writer_dir dir = {.fd = -1};

static struct client *open_client(void)
{
	fake_segment_create(&segment, CPROF_SEGMENT_BYTES_MIN);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	cr_assert_gt(child, 0);
	struct client_handle handle = {
		.pid = (uint32_t)child,
		.peer_pid = child,
		.segment_fd = dup(segment.fd),
		.pidfd = (int)syscall(SYS_pidfd_open, child, 0),
		.root_fd = -1,
	};
	cr_assert_geq(handle.pidfd, 0);
	struct client *client = client_open(&handle, &dir);
	cr_assert(client != NULL);
	return client;
}

static void end_child(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
}

static void tick_end(void *arg)
{
	*(int *)arg += 1;
	end_child();
}

/* From there on the pid may be another's. */
Test(client, a_dump_during_which_the_process_ends_is_none, .timeout = 60)
{
	struct client *client = open_client();
	struct thread_dump dump = {.sample_count = 7};
	int ticks = 0;
	cr_assert_eq(client_dump_threads(client, NULL, NULL, &dump), 0);
	cr_expect_eq(dump.sample_count, 1);
	thread_dump_free(&dump);
	cr_expect_eq(client_dump_threads(client, tick_end, &ticks, &dump), -ESRCH);
	cr_expect_gt(ticks, 0);
	cr_expect_eq(client_dump_threads(client, NULL, NULL, &dump), -ESRCH);
	client_close(client);
	end_child();
	fake_segment_destroy(&segment);
}
