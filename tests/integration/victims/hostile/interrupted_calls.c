/* SPDX-License-Identifier: MIT */
/*
 * Blocks in the calls that no SA_RESTART restarts (signal(7)), while other threads use CPU time, and
 * counts how many end with EINTR: none.  The argument says how often.  Context: test program.
 */
#include <arpa/inet.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

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

struct letter {
	long type;
	char text[8];
};

static int letters; /* a System V message queue */

/* One every few milliseconds, as long as there is room. */
static void *writes_letters(void *unused)
{
	const struct letter letter = {1, "letter"};
	while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
		usleep(3000);
		msgsnd(letters, &letter, sizeof letter.text, IPC_NOWAIT);
	}
	return unused;
}

static struct timespec in_5_ms(clockid_t clock)
{
	struct timespec until;
	clock_gettime(clock, &until);
	until.tv_nsec += 5 * MS;
	if (until.tv_nsec >= 1000 * MS) {
		until.tv_sec++;
		until.tv_nsec -= 1000 * MS;
	}
	return until;
}

/* Those of System V, asynchronous I/O, message queues, signals and futexes. */
static void other_calls(int semaphores, mqd_t mails, aio_context_t io)
{
	const struct timespec brief = {0, 5 * MS};
	struct sembuf down = {0, -1, 0};
	count("semtimedop", semtimedop(semaphores, &down, 1, &brief));
	struct letter letter;
	while (msgrcv(letters, &letter, sizeof letter.text, 0, IPC_NOWAIT) >= 0)
		;
	count("msgrcv", msgrcv(letters, &letter, sizeof letter.text, 0, 0));
	char mail[16];
	struct timespec until = in_5_ms(CLOCK_REALTIME);
	if (mails >= 0)
		count("mq_timedreceive", mq_timedreceive(mails, mail, sizeof mail, NULL, &until));
	struct timespec wait = brief;
	struct io_event done;
	if (io)
		count("io_getevents", syscall(SYS_io_getevents, io, 1, 1, &done, &wait));
	sigset_t usr2;
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	count("sigtimedwait", sigtimedwait(&usr2, NULL, &brief));
	const int word = 0;
	count("futex", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &brief, NULL, 0));
	until = in_5_ms(CLOCK_MONOTONIC);
	const int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	errno = error;
	count("clock_nanosleep", error ? -1 : 0);
}

/* With a time limit of the socket's own. */
static void socket_calls(int server, int silent, int full)
{
	static const char data[4096];
	char c;
	count("recv", recv(silent, &c, 1, 0));
	count("accept", accept(server, NULL, NULL));
	while (send(full, data, sizeof data, MSG_DONTWAIT) > 0)
		;
	count("send", send(full, data, sizeof data, 0));
}

int main(int argc, char **argv)
{
	const int rounds = argument(argc, argv, 1, 8);
	pthread_t threads[3];
	const int semaphores = semget(IPC_PRIVATE, 1, 0600);
	letters = msgget(IPC_PRIVATE, 0600);
	struct mq_attr attributes = {0, 1, 16, 0, {0}};
	const mqd_t mails = mq_open("/cprof-interrupted", O_RDONLY | O_CREAT | O_CLOEXEC, 0600, &attributes);
	mq_unlink("/cprof-interrupted");
	aio_context_t io = 0;
	syscall(SYS_io_setup, 1, &io);
	errno = 0;
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, i == 2 ? writes_letters : burns, NULL);
	int ends[2], pair[2], other_pair[2];
	if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, other_pair))
		return 1;
	struct pollfd one = {ends[0], POLLIN, 0};
	const int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;
	const struct timespec brief = {0, 5 * MS};
	struct timeval wait = {0, 5000};
	sem_t semaphore;
	sem_init(&semaphore, 0, 0);
	const int server = socket(AF_INET, SOCK_STREAM, 0);
	if (listen(server, 1))
		return 1;
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	setsockopt(other_pair[0], SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	for (int round = 0; round < rounds; round++) {
		count("poll", poll(&one, 1, 5));
		count("ppoll", ppoll(&one, 1, &brief, NULL));
		wait = (struct timeval){0, 5000};
		count("select", select(0, NULL, NULL, NULL, &wait));
		count("pselect", pselect(0, NULL, NULL, NULL, &brief, NULL));
		count("epoll_wait", epoll_wait(poller, &event, 1, 5));
		count("nanosleep", nanosleep(&brief, NULL));
		count("usleep", usleep(5000));
		socket_calls(server, pair[0], other_pair[0]);
		other_calls(semaphores, mails, io);
		const struct timespec until = in_5_ms(CLOCK_REALTIME);
		count("sem_timedwait", sem_timedwait(&semaphore, &until));
		const pid_t child = fork();
		if (child == 0) {
			usleep(5000);
			_exit(round & 127);
		}
		int status = 0;
		count("waitpid", waitpid(child, &status, 0));
		if (WEXITSTATUS(status) != (round & 127))
			say("another status\n");
		errno = 0;
	}
	say("sleep %u\n", sleep(1) ? 1u : 0u);
	__atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	semctl(semaphores, 0, IPC_RMID);
	msgctl(letters, IPC_RMID, NULL);
	/* One that is meant: it still arrives. */
	struct sigaction action = {0};
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	alarm(1);
	say("interrupted %d, by its own alarm: %s\n", interrupted, outcome(poll(&one, 1, 5000)));
	hostile_works();
	return 0;
}
