/* SPDX-License-Identifier: MIT */
/* One thread in each kind of wait, for SECONDS; prints how each ended: a disturbed one ends otherwise. */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int seconds;
static int pipe_fds[2];
static int event_fd;
static int listen_fd;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_bytes;
static int semaphores;
static int queue;
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_t holder;
static unsigned futex_word;
static atomic_bool is_over;
static atomic_ulong turns;

#define NOINLINE __attribute__((noinline, noclone))

static struct timespec deadline(clockid_t clock)
{
	struct timespec at;
	clock_gettime(clock, &at);
	at.tv_sec += seconds;
	return at;
}

/* Each returns what the call returned; errno is the call's.  The barrier keeps the call from being the last. */
#define WAITER(name, ...)                        \
	static NOINLINE long in_##name(void)     \
	{                                        \
		long result;                     \
		__VA_ARGS__                      \
		__asm__ volatile("" ::: "memory"); \
		return result;                   \
	}

WAITER(poll, result = poll(NULL, 0, seconds * 1000);)
WAITER(ppoll, struct timespec t = {.tv_sec = seconds}; result = ppoll(NULL, 0, &t, NULL);)
WAITER(select, struct timeval t = {.tv_sec = seconds}; result = select(0, NULL, NULL, NULL, &t);)
WAITER(epoll_wait, int fd = epoll_create1(0); struct epoll_event e; result = epoll_wait(fd, &e, 1, seconds * 1000);)
WAITER(nanosleep, struct timespec t = {.tv_sec = seconds}; result = nanosleep(&t, NULL);)
WAITER(clock_nanosleep, struct timespec t = deadline(CLOCK_MONOTONIC);
       result = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);)
WAITER(read_pipe, char c; result = read(pipe_fds[0], &c, 1);)
WAITER(read_eventfd, uint64_t n; result = read(event_fd, &n, sizeof n);)
WAITER(accept, result = accept(listen_fd, NULL, NULL) < 0 ? -1 : 0;)
WAITER(recv_timeout, int fd[2]; char c; struct timeval t = {.tv_sec = seconds}; socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
       setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t); result = recv(fd[0], &c, 1, 0);)
WAITER(sem_timedwait, struct timespec t = deadline(CLOCK_REALTIME); result = sem_timedwait(&semaphore, &t);)
WAITER(sigtimedwait, sigset_t s; struct timespec t = {.tv_sec = seconds}; sigemptyset(&s); sigaddset(&s, SIGUSR2);
       result = sigtimedwait(&s, NULL, &t);)
WAITER(semtimedop, struct sembuf b = {0, -1, 0}; struct timespec t = {.tv_sec = seconds};
       result = semtimedop(semaphores, &b, 1, &t);)
WAITER(msgrcv, struct { long type; char text[8]; } m; result = msgrcv(queue, &m, sizeof m.text, 0, 0);)
WAITER(cond_timedwait, struct timespec t = deadline(CLOCK_REALTIME); pthread_mutex_lock(&mutex);
       result = pthread_cond_timedwait(&condition, &mutex, &t); pthread_mutex_unlock(&mutex);)
WAITER(mutex_lock, result = pthread_mutex_lock(&held); pthread_mutex_unlock(&held);)
WAITER(rwlock_rdlock, result = pthread_rwlock_rdlock(&rwlock); pthread_rwlock_unlock(&rwlock);)
WAITER(futex, struct timespec t = {.tv_sec = seconds};
       result = syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);)
WAITER(join, result = pthread_join(holder, NULL);)
WAITER(waitpid, int status = 0; pid_t child = fork(); if (child == 0) { sleep(seconds); _exit(0); }
       result = waitpid(child, &status, 0) == child ? status : -1;)
WAITER(spin, result = 0; while (!is_over) turns++;)

static const struct {
	const char *name;
	long (*wait)(void);
	long result;
	int error;
} waiters[] = {
	{"poll", in_poll, 0, 0},
	{"ppoll", in_ppoll, 0, 0},
	{"select", in_select, 0, 0},
	{"epoll_wait", in_epoll_wait, 0, 0},
	{"nanosleep", in_nanosleep, 0, 0},
	{"clock_nanosleep", in_clock_nanosleep, 0, 0},
	{"read_pipe", in_read_pipe, 1, 0},
	{"read_eventfd", in_read_eventfd, 8, 0},
	{"accept", in_accept, 0, 0},
	{"recv_timeout", in_recv_timeout, -1, EAGAIN},
	{"sem_timedwait", in_sem_timedwait, -1, ETIMEDOUT},
	{"sigtimedwait", in_sigtimedwait, -1, EAGAIN},
	{"semtimedop", in_semtimedop, -1, EAGAIN},
	{"msgrcv", in_msgrcv, 8, 0},
	{"cond_timedwait", in_cond_timedwait, ETIMEDOUT, 0},
	{"mutex_lock", in_mutex_lock, 0, 0},
	{"rwlock_rdlock", in_rwlock_rdlock, 0, 0},
	{"futex", in_futex, -1, ETIMEDOUT},
	{"join", in_join, 0, 0},
	{"waitpid", in_waitpid, 0, 0},
	{"spin", in_spin, 0, 0},
};
#define WAITERS (sizeof waiters / sizeof waiters[0])

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double start;
static double ended_at[WAITERS];
static int failures;

static NOINLINE void *run(void *number)
{
	size_t i = (size_t)number;
	pthread_setname_np(pthread_self(), waiters[i].name);
	errno = 0;
	long result = waiters[i].wait();
	int error = errno;
	ended_at[i] = now();
	if (result != waiters[i].result || (waiters[i].error && error != waiters[i].error)) {
		printf("%s: %ld %s\n", waiters[i].name, result, strerror(error));
		failures++;
	}
	return NULL;
}

/* Holds what others wait for, to the end. */
static NOINLINE void *hold(void *unused)
{
	pthread_setname_np(pthread_self(), "holder");
	pthread_mutex_lock(&held);
	pthread_rwlock_wrlock(&rwlock);
	*(atomic_bool *)unused = 1;
	while (!is_over)
		usleep(1000);
	pthread_rwlock_unlock(&rwlock);
	pthread_mutex_unlock(&held);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[WAITERS];
	atomic_bool is_held = 0;
	seconds = argc > 1 ? atoi(argv[1]) : 2;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pipe(pipe_fds))
		return 2;
	event_fd = eventfd(0, 0);
	listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "thread_waits-%d", getpid());
	address_bytes = sizeof(sa_family_t) + 1 + strlen(address.sun_path + 1);
	bind(listen_fd, (struct sockaddr *)&address, address_bytes);
	listen(listen_fd, 1);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	queue = msgget(IPC_PRIVATE, 0600);
	sem_init(&semaphore, 0, 0);
	pthread_create(&holder, NULL, hold, &is_held);
	while (!is_held)
		usleep(1000);
	start = now();
	for (size_t i = 0; i < WAITERS; i++)
		pthread_create(&threads[i], NULL, run, (void *)i);
	printf("ready\n");
	fflush(stdout);
	while (now() < start + seconds + 0.2)
		usleep(10000);
	/* Whoever has no time limit of its own is released now. */
	is_over = 1;
	struct { long type; char text[8]; } message = {1, "bye"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (write(pipe_fds[1], "x", 1) != 1 || eventfd_write(event_fd, 1) || msgsnd(queue, &message, 8, 0) ||
	    connect(fd, (struct sockaddr *)&address, address_bytes))
		return 2;
	for (size_t i = 0; i < WAITERS; i++)
		pthread_join(threads[i], NULL);
	semctl(semaphores, 0, IPC_RMID);
	msgctl(queue, IPC_RMID, NULL);
	for (size_t i = 0; i < WAITERS; i++)
		if (ended_at[i] < start + seconds - 0.01) {
			printf("%s: %.3f s early\n", waiters[i].name, start + seconds - ended_at[i]);
			failures++;
		}
	printf("disturbed %d, turns %d\n", failures, turns > 0);
	return failures != 0;
}
