/* SPDX-License-Identifier: MIT */
/*
 * Threads that slip into a call which the kernel does not restart before our stop
 * reaches them: whatever signals wait, the call ends only as it would have ended
 * without us.  A process that is stopped (SIGSTOP) collects signals without being woken
 * by them: so what was pending at our stop is known.
 *
 * Context: tests.  Children end with their test.
 */
#include "thread_stop.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cprof_atomic.h"

/* Shared with the children. */
static struct shared {
	atomic_u32 handled; /* signals */
	atomic_u32 result;  /* 0: still waiting; 1000 + what the call returned; or errno */
} * shared;
static int event_fd;
static pid_t child;

static void begin(void)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	event_fd = eventfd(0, 0);
	cr_assert(shared != MAP_FAILED && event_fd >= 0);
}

static void end(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
}

TestSuite(thread_stop, .init = begin, .fini = end, .timeout = 60);

/* ---- children ------------------------------------------------------------------------------ */

static char state_of(pid_t pid)
{
	struct thread_state state;
	return thread_state_read_status(pid, pid, &state) == 0 ? state.state : '?';
}

/* Until a condition holds: a bound for hangs, not a measurement. */
#define WAIT_FOR(condition)                                                \
	do {                                                               \
		int polls = 5000;                                          \
		while (!(condition) && polls-- > 0)                        \
			poll(NULL, 0, 2);                                  \
		cr_assert(condition, "it did not happen: %s", #condition); \
	} while (0)

static void count_signal(int number)
{
	(void)number;
	add_relaxed(&shared->handled, 1);
}

static void block(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int wait_for_usr1(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigtimedwait(&set, NULL, &(struct timespec){.tv_sec = 1000});
}

static int wait_for_event(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = epoll_create1(0);
	epoll_ctl(fd, EPOLL_CTL_ADD, event_fd, &event);
	return epoll_wait(fd, &event, 1, -1);
}

static int poll_for_event(void)
{
	struct pollfd event = {.fd = event_fd, .events = POLLIN};
	return poll(&event, 1, -1);
}

/* A child that blocks SIGUSR1 and SIGUSR2, handles SIGPROF and SIGALRM (SA_RESTART), and waits. */
static void start(int (*wait)(void), void (*prepare)(void))
{
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		block(SIGUSR1);
		block(SIGUSR2);
		signal(SIGPROF, count_signal);
		signal(SIGALRM, count_signal);
		if (prepare)
			prepare();
		int result = wait();
		store_release(&shared->result, result < 0 ? (uint32_t)errno : (uint32_t)result + 1000);
		pause();
		_exit(0);
	}
	cr_assert_gt(child, 0);
	WAIT_FOR(state_of(child) == 'S');
}

/* As for a thread that ran when the decision was made, and sleeps by now. */
static void stop(void)
{
	static unsigned char stack[4096];
	struct thread_call running = {.kind = THREAD_CALL_RUNNING};
	struct thread_stop_late late = {.count = 0};
	struct thread_stop copy;
	int error = thread_stop_copy(child, &running, stack, sizeof stack, &late, &copy);
	cr_expect(error == -ETIMEDOUT || (error == 0 && copy.stack_bytes > 0), "%d", error);
	thread_stop_await_late(&late, INT64_MAX); /* as much as a busy machine needs */
}

static void freeze(void)
{
	kill(child, SIGSTOP);
	WAIT_FOR(state_of(child) == 'T');
}

static void thaw(void)
{
	kill(child, SIGCONT);
	WAIT_FOR(state_of(child) == 'S');
}

static void expect_undisturbed(void)
{
	cr_expect_eq(load_acquire(&shared->result), 0, "it ended: %s",
		     strerror((int)load_acquire(&shared->result)));
}

/* ---- tests --------------------------------------------------------------------------------- */

Test(thread_stop, no_call_ends_by_a_stop)
{
	start(wait_for_usr1, NULL);
	for (int i = 0; i < 100; i++) {
		stop();
		WAIT_FOR(state_of(child) == 'S');
	}
	expect_undisturbed();
	kill(child, SIGUSR1);
	WAIT_FOR(load_acquire(&shared->result) != 0);
	cr_expect_eq(load_acquire(&shared->result), 1000 + SIGUSR1);
}

Test(thread_stop, no_call_ends_while_blocked_signals_wait)
{
	start(wait_for_usr1, NULL);
	kill(child, SIGUSR2);
	for (int i = 0; i < 100; i++) {
		stop();
		WAIT_FOR(state_of(child) == 'S');
	}
	expect_undisturbed();
	kill(child, SIGUSR1);
	WAIT_FOR(load_acquire(&shared->result) != 0);
	cr_expect_eq(load_acquire(&shared->result), 1000 + SIGUSR1);
}

/* Another signal would be lost: its handler, which was to end the wait, would run and the wait go on. */
Test(thread_stop, a_handled_signal_ends_a_call_as_ever)
{
	start(wait_for_event, NULL);
	freeze();
	kill(child, SIGALRM);
	stop();
	thaw();
	WAIT_FOR(load_acquire(&shared->result) != 0);
	cr_expect_eq(load_acquire(&shared->result), EINTR);
	cr_expect_eq(load_acquire(&shared->handled), 1);
}

/* Ours is sent when the thread stops, for the time that it has run: without us it would have come later. */
static void start_profiling_timer(void)
{
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct itimerspec spec = {.it_value = {.tv_nsec = 300000000}};
	event._sigev_un._tid = getpid();
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &spec, NULL);
}

static bool has_pending(int number)
{
	struct thread_state state;
	return thread_state_read_status(child, child, &state) == 0 &&
	       (state.signals & UINT64_C(1) << (number - 1));
}

Test(thread_stop, a_profiling_signal_ends_no_call)
{
	start(wait_for_event, start_profiling_timer);
	freeze();
	WAIT_FOR(has_pending(SIGPROF));
	stop();
	thaw();
	expect_undisturbed();
	eventfd_write(event_fd, 1);
	WAIT_FOR(load_acquire(&shared->result) != 0);
	cr_expect_eq(load_acquire(&shared->result), 1001);
	cr_expect_eq(load_acquire(&shared->handled), 0);
}

/* What the kernel restarts itself ends by a handler too. */
Test(thread_stop, a_profiling_signal_ends_no_poll)
{
	start(poll_for_event, start_profiling_timer);
	freeze();
	WAIT_FOR(has_pending(SIGPROF));
	stop();
	thaw();
	expect_undisturbed();
	eventfd_write(event_fd, 1);
	WAIT_FOR(load_acquire(&shared->result) != 0);
	cr_expect_eq(load_acquire(&shared->result), 1001);
}

Test(thread_stop, a_profiling_signal_of_somebody_else_does)
{
	start(wait_for_event, NULL);
	freeze();
	kill(child, SIGPROF);
	stop();
	thaw();
	WAIT_FOR(load_acquire(&shared->result) != 0);
	cr_expect_eq(load_acquire(&shared->result), EINTR);
}

static void *stay(void *unused)
{
	pause();
	return unused;
}

static int wait_with_child(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, stay, NULL);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
	}
	add_relaxed(&shared->handled, 1);
	return poll_for_event();
}

static void handle_sigchld(void)
{
	signal(SIGCHLD, count_signal);
}

/* A SIGCHLD that came during the stop would wake the other thread; one that is handled comes anyway. */
Test(thread_stop, a_parent_is_stopped_only_if_its_children_are_minded)
{
	static unsigned char stack[4096];
	struct thread_stop_late late = {.count = 0};
	struct thread_call running = {.kind = THREAD_CALL_RUNNING};
	struct thread_stop copy;
	start(wait_with_child, NULL);
	WAIT_FOR(load_acquire(&shared->handled) == 1);
	cr_expect_eq(thread_stop_copy(child, &running, stack, sizeof stack, &late, &copy), -EBUSY);
	end();
	store_relaxed(&shared->handled, UINT32_C(0));
	start(wait_with_child, handle_sigchld);
	WAIT_FOR(load_acquire(&shared->handled) == 1);
	stop();
	expect_undisturbed();
}

/* Whoever stops it may be killed at any moment. */
Test(thread_stop, a_thread_goes_on_when_its_stopper_dies)
{
	start(poll_for_event, NULL);
	for (int i = 0; i < 20; i++) {
		pid_t stopper = fork();
		if (stopper == 0) {
			int status;
			ptrace(PTRACE_SEIZE, child, NULL, NULL);
			ptrace(PTRACE_INTERRUPT, child, NULL, NULL);
			waitpid(child, &status, __WALL);
			pause();
		}
		WAIT_FOR(state_of(child) == 't');
		kill(stopper, SIGKILL);
		waitpid(stopper, NULL, 0);
		WAIT_FOR(state_of(child) == 'S');
	}
	stop(); /* nobody else holds it */
	expect_undisturbed();
	eventfd_write(event_fd, 1);
	WAIT_FOR(load_acquire(&shared->result) != 0);
	cr_expect_eq(load_acquire(&shared->result), 1001);
}
