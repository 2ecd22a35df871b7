/* SPDX-License-Identifier: MIT */
/*
 * Blocks in the calls that no SA_RESTART restarts, while other threads use CPU time, and
 * counts how many end with EINTR: none.  Context: test program.
 */
#include <arpa/inet.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "hostile.h"

#define MS 1000000

static int is_over, interrupted;

static void *burns(void *unused)
{
	while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
		spin_cpu_ns(MS);
		free(malloc(100));
	}
	return unused;
}

/* After the call some CPU time of this thread, so that its own timer is due in the next. */
static void count(const char *what, long result)
{
	if (result == -1 && errno == EINTR) {
		interrupted++;
		say("%s: EINTR\n", what);
	}
	spin_cpu_ns(3 * MS);
}

static void on_alarm(int signal)
{
	(void)signal;
}

int main(void)
{
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, burns, NULL);
	int ends[2], pair[2];
	if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 1;
	struct pollfd one = {ends[0], POLLIN, 0};
	const int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;
	const struct timespec brief = {0, 5 * MS};
	struct timeval wait = {0, 5000};
	sem_t semaphore;
	sem_init(&semaphore, 0, 0);
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	for (int round = 0; round < 12; round++) {
		char c;
		count("poll", poll(&one, 1, 5));
		count("ppoll", ppoll(&one, 1, &brief, NULL));
		wait = (struct timeval){0, 5000};
		count("select", select(0, NULL, NULL, NULL, &wait));
		count("pselect", pselect(0, NULL, NULL, NULL, &brief, NULL));
		count("epoll_wait", epoll_wait(poller, &event, 1, 5));
		count("nanosleep", nanosleep(&brief, NULL));
		count("usleep", usleep(5000));
		count("recv", recv(pair[0], &c, 1, 0));
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec = (until.tv_nsec + 5 * MS) % 1000000000;
		count("sem_timedwait", sem_timedwait(&semaphore, &until));
		const pid_t child = fork();
		if (child == 0) {
			usleep(5000);
			_exit(round);
		}
		int status = 0;
		count("waitpid", waitpid(child, &status, 0));
		if (WEXITSTATUS(status) != round)
			say("another status\n");
		errno = 0;
	}
	say("sleep %u\n", sleep(1) ? 1u : 0u);
	__atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	/* One that is meant: it still arrives. */
	struct sigaction action = {0};
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	alarm(1);
	say("interrupted %d, by its own alarm: %s\n", interrupted, outcome(poll(&one, 1, 5000)));
	hostile_works();
	return 0;
}
