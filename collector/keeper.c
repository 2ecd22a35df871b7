/* SPDX-License-Identifier: MIT */
/*
 * The descriptors are shared, not copied: one that is accepted is the keeper's as soon as it
 * is the worker's.  So is the memory, since a copy would be a third of what a short program's
 * profile costs; the keeper writes to its stack alone, and to the main thread's errno while that waits.
 * Where the kernel kills all that share a memory (for want of it; for a core dump before
 * Linux 5.16) the gap is open.
 *
 * The link to the supervisor ends when the keeper does, so that the supervisor has heard all before it
 * starts the next worker.
 *
 * Context: collector, a process of its own with one thread.
 */
#include "keeper.h"

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cprof_wire.h"
#include "supervisor.h"

/* The kernel gives out the lowest number that is free. */
#define LOOKED_AT_MAX 65536
/* supervisor_tell_*() have a message with a path on it. */
#define STACK_BYTES 32768

static pid_t keeper; /* written and read by the worker's main thread */

/* Whether it was accepted on a session's address; what listens there is the supervisor's as well. */
static bool is_peer(int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNSPEC};
	socklen_t size = sizeof address;
	int is_listening = 1;
	socklen_t flag_size = sizeof is_listening;
	return getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.sun_family == AF_UNIX &&
	       size > offsetof(struct sockaddr_un, sun_path) + sizeof CPROF_SOCKET_PREFIX &&
	       address.sun_path[0] == '\0' &&
	       memcmp(address.sun_path + 1, CPROF_SOCKET_PREFIX, sizeof CPROF_SOCKET_PREFIX - 1) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &flag_size) == 0 && !is_listening;
}

/* Without /proc, which may not be there. */
static void hand_on(int link_fd)
{
	struct rlimit limit = {.rlim_cur = LOOKED_AT_MAX};
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	int end = limit.rlim_cur < LOOKED_AT_MAX ? (int)limit.rlim_cur : LOOKED_AT_MAX;
	for (int fd = 0; fd < end; fd++)
		if (is_peer(fd))
			supervisor_tell_peer_kept(link_fd, fd);
}

struct keep {
	int link_fd;
	pid_t worker;
};

static int keep(void *argument)
{
	const struct keep *keep = argument;
	sigset_t all;
	prctl(PR_SET_NAME, "cprof-keeper");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* Blocked, so it is not lost before it is waited for; somebody else may send it too. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0)
		while (getppid() == keep->worker)
			sigwaitinfo(&all, NULL);
	hand_on(keep->link_fd);
	return 0;
}

void keeper_start(int link_fd)
{
	static struct keep argument;
	static char stack[STACK_BYTES] __attribute__((aligned(16)));
	argument = (struct keep){.link_fd = link_fd, .worker = getpid()};
	/* No signal tells its end: the worker never waits for it. */
	keeper = clone(keep, stack + sizeof stack, CLONE_FILES | CLONE_VM, &argument);
}

bool keeper_is_there(void)
{
	return keeper > 0;
}

void keeper_stop(void)
{
	if (keeper > 0)
		kill(keeper, SIGKILL);
}
