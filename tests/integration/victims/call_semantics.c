/* SPDX-License-Identifier: MIT */
/* cflags: -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -Wno-deprecated-declarations */
/*
 * Every call of the C library that may block: what it gives at once, at a timeout, when a
 * signal interrupts it, when its thread is cancelled in it, and when a handler jumps out
 * of it.  Sizes that the compiler does not know make it use the checking variants.
 *
 * Context: test program.
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>

#include "lock_victim.h"

static int empty[2];  /* a pipe that nobody writes to */
static int full[2];   /* a pipe with no room */
static int pair[2];   /* sockets, nothing sent */
static int packets[2]; /* of datagrams, likewise */
static int stuffed[2]; /* sockets with no room */
static int listener, busy_listener, epoll, file, child;
static struct sockaddr_un busy_address = {.sun_family = AF_UNIX};
static volatile size_t room = 64; /* not known to the compiler */
static volatile int minus_one = -1;

/* ---- calls that block --------------------------------------------------------------------------- */

#define BUFFER char *bytes = alloca(room)
#define PARTS                                        \
	char bytes[16];                              \
	struct iovec parts[2] = {{bytes, 8}, {bytes + 8, 8}}
#define MESSAGE \
	PARTS;  \
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2}
#define MESSAGES \
	MESSAGE; \
	struct mmsghdr messages = {.msg_hdr = message}
#define SIGNALS \
	sigset_t signals; \
	int number;       \
	sigemptyset(&signals); \
	sigaddset(&signals, SIGWINCH)

static long call_read(void) { BUFFER; return read(empty[0], bytes, room); }
static long call_readv(void) { PARTS; return readv(empty[0], parts, 2); }
static long call_preadv2(void) { PARTS; return preadv2(empty[0], parts, 2, -1, 0); }
static long call_preadv64v2(void) { PARTS; return preadv64v2(empty[0], parts, 2, -1, 0); }
static long call_recv(void) { BUFFER; return recv(pair[0], bytes, room, 0); }
static long call_recvfrom(void)
{
	BUFFER;
	struct sockaddr_un from;
	socklen_t from_bytes = sizeof from;
	return recvfrom(packets[0], bytes, room, 0, (struct sockaddr *)&from, &from_bytes);
}
static long call_recvmsg(void) { MESSAGE; return recvmsg(pair[0], &message, 0); }
static long call_recvmmsg(void) { MESSAGES; return recvmmsg(packets[0], &messages, 1, 0, NULL); }
static long call_write(void) { char bytes[8192] = ""; return write(full[1], bytes, sizeof bytes); }
static long call_writev(void) { char bytes[8192] = ""; struct iovec part = {bytes, sizeof bytes}; return writev(full[1], &part, 1); }
static long call_pwritev2(void) { char bytes[8192] = ""; struct iovec part = {bytes, sizeof bytes}; return pwritev2(full[1], &part, 1, -1, 0); }
static long call_pwritev64v2(void) { char bytes[8192] = ""; struct iovec part = {bytes, sizeof bytes}; return pwritev64v2(full[1], &part, 1, -1, 0); }
static long call_send(void) { char bytes[8] = ""; return send(stuffed[0], bytes, 8, MSG_NOSIGNAL); }
static long call_sendto(void) { char bytes[8] = ""; return sendto(stuffed[0], bytes, 8, MSG_NOSIGNAL, NULL, 0); }
static long call_sendmsg(void) { MESSAGE; memset(bytes, 0, 16); return sendmsg(stuffed[0], &message, MSG_NOSIGNAL); }
static long call_sendmmsg(void) { MESSAGES; memset(bytes, 0, 16); return sendmmsg(stuffed[0], &messages, 1, MSG_NOSIGNAL); }
static long call_poll(void) { struct pollfd *fds = alloca(room * sizeof *fds); fds[0] = (struct pollfd){empty[0], POLLIN, 0}; return poll(fds, (nfds_t)(room / 64), -1); }
static long call_ppoll(void) { struct pollfd *fds = alloca(room * sizeof *fds); fds[0] = (struct pollfd){empty[0], POLLIN, 0}; return ppoll(fds, (nfds_t)(room / 64), NULL, NULL); }
static long call_select(void) { fd_set in; FD_ZERO(&in); FD_SET(empty[0], &in); return select(empty[0] + 1, &in, NULL, NULL, NULL); }
static long call_pselect(void) { fd_set in; FD_ZERO(&in); FD_SET(empty[0], &in); return pselect(empty[0] + 1, &in, NULL, NULL, NULL, NULL); }
static long call_epoll_wait(void) { struct epoll_event event; return epoll_wait(epoll, &event, 1, -1); }
static long call_epoll_pwait(void) { struct epoll_event event; return epoll_pwait(epoll, &event, 1, -1, NULL); }
static long call_epoll_pwait2(void) { struct epoll_event event; return epoll_pwait2(epoll, &event, 1, NULL, NULL); }
static long call_accept(void) { return accept(listener, NULL, NULL); }
static long call_accept4(void) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }
static void close_it(void *fd) { close(*(int *)fd); }
static long call_connect(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	long result;
	int error;
	pthread_cleanup_push(close_it, &fd);
	result = connect(fd, (struct sockaddr *)&busy_address, sizeof busy_address);
	error = errno;
	pthread_cleanup_pop(1);
	errno = error;
	return result;
}
static long call_nanosleep(void) { struct timespec t = {60, 0}, left = {0, 0}; long result = nanosleep(&t, &left); return result < 0 && left.tv_sec < 58 ? -2 : result; }
static long call_clock_nanosleep(void) { struct timespec t = {60, 0}; return clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL); }
static long call_thrd_sleep(void) { struct timespec t = {60, 0}; return thrd_sleep(&t, NULL); }
static long call_usleep(void) { return usleep(999999) < 0 ? -1 : 0; }
static long call_sleep(void) { return sleep(60) > 50; }
static long call_pause(void) { return pause(); }
static long call_sigsuspend(void) { sigset_t none; sigemptyset(&none); return sigsuspend(&none); }
static long call_sigwaitinfo(void) { SIGNALS; siginfo_t info; (void)number; return sigwaitinfo(&signals, &info); }
static long call_sigtimedwait(void) { SIGNALS; struct timespec t = {60, 0}; (void)number; return sigtimedwait(&signals, NULL, &t); }
static long call_sigwait(void) { SIGNALS; return sigwait(&signals, &number); }
static long call_wait(void) { return wait(NULL); }
static long call_wait3(void) { int status; struct rusage usage; return wait3(&status, 0, &usage); }
static long call_wait4(void) { int status; struct rusage usage; return wait4(child, &status, 0, &usage); }
static long call_waitpid(void) { return waitpid(child, NULL, 0); }
static long call_waitid(void) { siginfo_t info; return waitid(P_PID, (id_t)child, &info, WEXITED); }

static const struct call {
	const char *name;
	long (*make)(void);
	bool restarts; /* a handler does not end it: glibc's sigwait goes on */
} calls[] = {
#define CALL(name) {#name, call_##name, false}
	CALL(read), CALL(readv), CALL(preadv2), CALL(preadv64v2), CALL(recv), CALL(recvfrom), CALL(recvmsg),
	CALL(recvmmsg), CALL(write), CALL(writev), CALL(pwritev2), CALL(pwritev64v2), CALL(send), CALL(sendto),
	CALL(sendmsg), CALL(sendmmsg), CALL(poll), CALL(ppoll), CALL(select), CALL(pselect), CALL(epoll_wait),
	CALL(epoll_pwait), CALL(epoll_pwait2), CALL(accept), CALL(accept4), CALL(connect), CALL(nanosleep),
	CALL(clock_nanosleep), CALL(thrd_sleep), CALL(usleep), CALL(sleep), CALL(pause), CALL(sigsuspend),
	CALL(sigwaitinfo), CALL(sigtimedwait), {"sigwait", call_sigwait, true}, CALL(wait), CALL(wait3),
	CALL(wait4), CALL(waitpid), CALL(waitid),
};
#define CALLS (sizeof calls / sizeof calls[0])

/* ---- interrupted, left, cancelled ----------------------------------------------------------------- */

static volatile int is_over, is_inside, jumps;
static __thread sigjmp_buf way_out;
static volatile int handled;

static void on_signal(int number)
{
	int saved_errno = errno;
	char c = 'x';
	(void)number;
	/* The calls themselves, in a handler, in another call. */
	struct pollfd none = {-1, 0, 0};
	handled += write(file, &c, 1) == 1 && pread(file, &c, 1, 0) == 1 && poll(&none, 1, 0) == 0;
	errno = saved_errno;
	if (jumps && is_inside) {
		is_inside = 0;
		siglongjmp(way_out, 1);
	}
}

/* Signals the thread again and again until its call is over: the first may come before it. */
static void *poke(void *thread)
{
	while (!is_over) {
		nap(2);
		if (!is_over)
			pthread_kill(*(pthread_t *)thread, SIGUSR2);
	}
	return NULL;
}

static void interrupt(const struct call *call)
{
	pthread_t self = pthread_self(), poker;
	is_over = 0;
	pthread_create(&poker, NULL, poke, &self);
	errno = ERRNO_BEFORE;
	long result = call->make();
	int error = errno;
	is_over = 1;
	pthread_join(poker, NULL);
	printf("  interrupted %s: %ld %s\n", call->name, result, error == ERRNO_BEFORE ? "-" : error_name(error));
}

static void leave_by_jump(const struct call *call)
{
	pthread_t self = pthread_self(), poker;
	is_over = 0;
	jumps = 1;
	pthread_create(&poker, NULL, poke, &self);
	if (sigsetjmp(way_out, 1) == 0) {
		is_inside = 1;
		call->make();
		is_inside = 0;
		printf("  %s came back\n", call->name);
	}
	jumps = 0;
	is_over = 1;
	pthread_join(poker, NULL);
	printf("  left %s by a jump\n", call->name);
}

static void say_left(void *name)
{
	printf("  cancelled in %s\n", (const char *)name);
}

static void *call_in_thread(void *argument)
{
	const struct call *call = argument;
	pthread_cleanup_push(say_left, (void *)call->name);
	call->make();
	printf("  %s came back\n", call->name);
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancel(const struct call *call, bool before)
{
	pthread_t thread;
	void *result;
	pthread_create(&thread, NULL, call_in_thread, (void *)call);
	if (!before)
		nap(5);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	if (result != PTHREAD_CANCELED)
		printf("  %s: not cancelled\n", call->name);
}

/* ---- results ---------------------------------------------------------------------------------------- */

#define SAY_LONG(call)                                                                              \
	do {                                                                                        \
		errno = ERRNO_BEFORE;                                                               \
		const long say_result_ = (long)(call);                                              \
		const int say_errno_ = errno;                                                       \
		printf("  %s: %ld %s\n", #call, say_result_, say_errno_ == ERRNO_BEFORE ? "-" : error_name(say_errno_)); \
	} while (0)

static void errors(void)
{
	char c[64] = "";
	struct pollfd fds = {empty[0], POLLIN, 0};
	struct timespec soon = {0, 1000000}, bad = {0, -1}, left;
	struct timeval none = {0, 0};
	struct epoll_event event;
	struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
	sigset_t signals;
	siginfo_t info;
	sigemptyset(&signals);
	sigaddset(&signals, SIGWINCH);
	SAY_LONG(read(-1, c, room));
	SAY_LONG(read(empty[0], NULL, 0));
	SAY_LONG(pread(empty[0], c, room, 0));
	SAY_LONG(pread64(empty[0], c, room, 0));
	SAY_LONG(readv(empty[0], NULL, minus_one));
	SAY_LONG(preadv(-1, NULL, 0, 0));
	SAY_LONG(preadv64(-1, NULL, 0, 0));
	SAY_LONG(recv(pair[0], c, room, MSG_DONTWAIT));
	SAY_LONG(recvfrom(packets[0], c, room, MSG_DONTWAIT, NULL, NULL));
	SAY_LONG(recv(empty[0], c, room, 0));
	SAY_LONG(write(-1, c, 1));
	SAY_LONG(write(file, NULL, 1));
	SAY_LONG(pwrite(full[1], c, 1, 0));
	SAY_LONG(pwrite64(-1, c, 1, 0));
	SAY_LONG(pwritev(-1, NULL, 0, 0));
	SAY_LONG(pwritev64(-1, NULL, 0, 0));
	SAY_LONG(send(stuffed[0], c, 1, MSG_DONTWAIT | MSG_NOSIGNAL));
	SAY_LONG(sendto(empty[0], c, 1, 0, NULL, 0));
	SAY_LONG(sendmsg(-1, NULL, 0));
	SAY_LONG(poll(&fds, 1, 2));
	SAY_LONG(ppoll(&fds, 1, &soon, NULL));
	SAY_LONG(ppoll(&fds, 1, &bad, NULL));
	SAY_LONG(select(0, NULL, NULL, NULL, &none));
	SAY_LONG(select(-1, NULL, NULL, NULL, &none));
	SAY_LONG(pselect(0, NULL, NULL, NULL, &soon, NULL));
	SAY_LONG(epoll_wait(epoll, &event, 1, 2));
	SAY_LONG(epoll_wait(empty[0], &event, 1, 0));
	SAY_LONG(epoll_pwait(epoll, &event, 0, 0, NULL));
	SAY_LONG(epoll_pwait2(epoll, &event, 1, &soon, NULL));
	SAY_LONG(accept(empty[0], NULL, NULL));
	SAY_LONG(accept4(listener, NULL, NULL, -1));
	SAY_LONG(connect(pair[0], (struct sockaddr *)&nowhere, sizeof nowhere));
	SAY_LONG(connect(-1, NULL, 0));
	SAY_LONG(nanosleep(&bad, NULL));
	SAY_LONG(nanosleep(&soon, &left));
	SAY_LONG(clock_nanosleep(12345, 0, &soon, NULL));
	SAY_LONG(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &soon, NULL));
	SAY_LONG(thrd_sleep(&bad, NULL));
	SAY_LONG(usleep(100));
	SAY_LONG(sleep(0));
	SAY_LONG(sigtimedwait(&signals, &info, &soon));
	SAY_LONG(waitpid(child, NULL, WNOHANG));
	SAY_LONG(waitpid(1, NULL, 0));
	SAY_LONG(wait4(-99999, NULL, 0, NULL));
	SAY_LONG(waitid(P_ALL, 0, NULL, 0));
}

/* What goes in comes out, whatever the call. */
/* What cannot be read is the kernel's to refuse. */
static void bad_paths(void)
{
	char *const words[] = {"x", NULL};
	const size_t page = 4096;
	char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(pages, 'a', page);
	mprotect(pages + page, page, PROT_NONE);
	char *volatile bad = (char *)8;
	SAY_LONG(execve(bad, words, environ));
	SAY_LONG(execv(pages + page, words));
	SAY_LONG(execve(pages + page - 8, words, environ));
	strcpy(pages + page - 6, "/no/x");
	SAY_LONG(execv(pages + page - 6, words));
}

static void transfers(void)
{
	int fds[2];
	char in[64], out[64];
	pid_t pid;
	int status;
	socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
	for (int i = 0; i < 64; i++)
		out[i] = (char)(i * 7);
	struct iovec parts[2] = {{out, 10}, {out + 10, 54}}, into[2] = {{in, 33}, {in + 33, 31}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2}, received = {.msg_iov = into, .msg_iovlen = 2};
#define SAME(put, get)                                                     \
	do {                                                               \
		memset(in, 0, sizeof in);                                  \
		long put_ = (long)(put), get_ = (long)(get);               \
		printf("  " #put " " #get ": %ld %ld %s\n", put_, get_, memcmp(in, out, 64) ? "differ" : "same"); \
	} while (0)
	SAME(write(fds[0], out, room), read(fds[1], in, room));
	SAME(send(fds[0], out, room, 0), recv(fds[1], in, room, 0));
	SAME(sendto(fds[0], out, room, 0, NULL, 0), recvfrom(fds[1], in, room, 0, NULL, NULL));
	SAME(writev(fds[0], parts, 2), readv(fds[1], into, 2));
	SAME(sendmsg(fds[0], &message, 0), recvmsg(fds[1], &received, 0));
	SAME(pwrite(file, out, room, 5), pread(file, in, room, 5));
	SAME(pwrite64(file, out, room, 9), pread64(file, in, room, 9));
	SAME(pwritev(file, parts, 2, 100), preadv(file, into, 2, 100));
	SAME(pwritev64(file, parts, 2, 200), preadv64(file, into, 2, 200));
	SAME(pwritev2(file, parts, 2, 300, 0), preadv2(file, into, 2, 300, 0));
	struct pollfd ready = {fds[0], POLLOUT, 0};
	SAY_LONG(poll(&ready, (nfds_t)(room / 64), -1));
	SAY_LONG(ready.revents == POLLOUT);
	pid = fork();
	if (pid == 0) {
		usleep(2000);
		_exit(write(fds[1], "child", 5) == 5 ? 7 : 8);
	}
	SAY_LONG(read(fds[0], in, 5));
	SAY_LONG(waitpid(pid, &status, 0) == pid);
	SAY_LONG(WEXITSTATUS(status));
	pid = vfork();
	if (pid == 0) {
		(void)!write(fds[1], "vfork", 5);
		usleep(1000);
		_exit(9);
	}
	SAY_LONG(read(fds[0], in, 5));
	SAY_LONG(wait(&status) == pid);
	SAY_LONG(WEXITSTATUS(status));
	close(fds[0]);
	close(fds[1]);
}

/* A call that goes over its buffer is stopped where it was. */
static void overflow(void)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		char small[8];
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 2);
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		_exit(read(empty[0], small, room) == 0);
	}
	SAY_LONG(waitpid(pid, &status, 0) == pid);
	SAY_LONG(WIFSIGNALED(status) ? WTERMSIG(status) : -1);
}

static void stuff(int fd)
{
	char bytes[4096] = "";
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, bytes, sizeof bytes) > 0 || write(fd, bytes, 1) > 0)
		;
	fcntl(fd, F_SETFL, 0);
}

static int listen_at(const char *name, int backlog, struct sockaddr_un *out_address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*out_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(out_address->sun_path, sizeof out_address->sun_path, "%s.%d", name, (int)getpid());
	unlink(out_address->sun_path);
	if (bind(fd, (struct sockaddr *)out_address, sizeof *out_address) || listen(fd, backlog))
		abort();
	return fd;
}

static void set_up(void)
{
	struct sockaddr_un address;
	char name[] = "call-file-XXXXXX";
	if (pipe(empty) || pipe(full) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    socketpair(AF_UNIX, SOCK_DGRAM, 0, packets) || socketpair(AF_UNIX, SOCK_STREAM, 0, stuffed))
		abort();
	stuff(full[1]);
	stuff(stuffed[0]);
	listener = listen_at("call-listener", 4, &address);
	unlink(address.sun_path);
	busy_listener = listen_at("call-busy", 0, &busy_address);
	int first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* fills its queue */
	if (connect(first, (struct sockaddr *)&busy_address, sizeof busy_address))
		abort();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};
	epoll_ctl(epoll, EPOLL_CTL_ADD, empty[0], &event);
	file = mkstemp(name);
	unlink(name);
	child = fork();
	if (child == 0) {
		for (;;)
			pause();
	}
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGUSR2, &action, NULL);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	set_up();
	printf("at once\n");
	errors();
	transfers();
	overflow();
	bad_paths();
	printf("interrupted\n");
	for (size_t i = 0; i < CALLS; i++)
		if (!calls[i].restarts)
			interrupt(&calls[i]);
	printf("left\n");
	for (size_t i = 0; i < CALLS; i++)
		leave_by_jump(&calls[i]);
	printf("cancelled\n");
	for (size_t i = 0; i < CALLS; i++) {
		cancel(&calls[i], true);
		cancel(&calls[i], false);
	}
	kill(child, SIGKILL);
	SAY_LONG(waitpid(child, NULL, 0) == child);
	SAY_LONG(wait(NULL));
	unlink(busy_address.sun_path);
	printf("handlers made their calls: %s\n", handled > 0 ? "yes" : "no");
	return 0;
}
