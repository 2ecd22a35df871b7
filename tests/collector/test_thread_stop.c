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
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "blocking_calls.h"
#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "watched_child.h"

/* Shared with the children. */
static struct shared {
	atomic_u32 handled; /* signals */
	atomic_u32 result;  /* 0: still waiting; 1000 + what the call returned; or errno */
	atomic_u32 futex;
	atomic_u32 may_end;
} * shared;
static int event_fd;

static void begin(void)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	event_fd = eventfd(0, 0);
	cr_assert(shared != MAP_FAILED && event_fd >= 0);
}

TestSuite(thread_stop, .init = begin, .fini = child_end, .timeout = 60);

/* ---- children ------------------------------------------------------------------------------ */

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
	WAIT_FOR(child_state() == 'S');
}

/* thread_stop_copy(), with all the time that a busy machine needs. */
static int stop_and_copy(const struct thread_call *assumed, struct thread_stop *out_stop)
{
	static unsigned char stack[4096];
	struct thread_stop_late late = {.count = 0};
	int error = thread_stop_copy(child, assumed, stack, sizeof stack, &late, out_stop);
	thread_stop_await_late(&late, INT64_MAX);
	return error;
}

/* As for a thread that ran when the decision was made, and sleeps by now. */
static void stop(void)
{
	struct thread_call running = {.kind = THREAD_CALL_RUNNING};
	struct thread_stop copy;
	int error = stop_and_copy(&running, &copy);
	cr_expect(error == -ETIMEDOUT || (error == 0 && copy.stack_bytes > 0), "%d", error);
}

static void freeze(void)
{
	kill(child, SIGSTOP);
	WAIT_FOR(child_state() == 'T');
}

static void thaw(void)
{
	kill(child, SIGCONT);
	WAIT_FOR(child_state() == 'S');
}

static void expect_undisturbed(void)
{
	cr_expect_eq(load_acquire(&shared->result), 0, "it ended: %s",
		     strerror((int)load_acquire(&shared->result)));
}

/* ---- tests --------------------------------------------------------------------------------- */

static void stop_again_and_again(void)
{
	for (int i = 0; i < 100; i++) {
		stop();
		WAIT_FOR(child_state() == 'S');
	}
	expect_undisturbed();
}

/* The call ends by what it waits for, with this result. */
static void expect_end(uint32_t result)
{
	WAIT_FOR(load_acquire(&shared->result) != 0);
	cr_expect_eq(load_acquire(&shared->result), result, "%u", load_acquire(&shared->result));
}

Test(thread_stop, no_call_ends_by_a_stop)
{
	start(wait_for_usr1, NULL);
	stop_again_and_again();
	kill(child, SIGUSR1);
	expect_end(1000 + SIGUSR1);
	child_end();
	store_relaxed(&shared->result, UINT32_C(0));
	start(wait_for_event, NULL);
	stop_again_and_again();
	eventfd_write(event_fd, 1);
	expect_end(1001);
}

Test(thread_stop, no_call_ends_while_blocked_signals_wait)
{
	start(wait_for_usr1, NULL);
	kill(child, SIGUSR2);
	stop_again_and_again();
	kill(child, SIGUSR1);
	expect_end(1000 + SIGUSR1);
}

/* Another signal would be lost: its handler, which was to end the wait, would run and the wait go on. */
Test(thread_stop, a_handled_signal_ends_a_call_as_ever)
{
	start(wait_for_event, NULL);
	freeze();
	kill(child, SIGALRM);
	stop();
	thaw();
	expect_end(EINTR);
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
	expect_end(1001);
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
	expect_end(1001);
}

Test(thread_stop, a_profiling_signal_of_somebody_else_does)
{
	start(wait_for_event, NULL);
	freeze();
	kill(child, SIGPROF);
	stop();
	thaw();
	expect_end(EINTR);
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
	child_end();
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
		WAIT_FOR(child_state() == 't');
		kill(stopper, SIGKILL);
		waitpid(stopper, NULL, 0);
		WAIT_FOR(child_state() == 'S');
	}
	stop(); /* nobody else holds it */
	expect_undisturbed();
	eventfd_write(event_fd, 1);
	expect_end(1001);
}

/* ---- calls that the kernel restarts ------------------------------------------------------- */

/* Calls that are said to be restarted: each returns 0 if it ended only when it should. */
static volatile sig_atomic_t signals;

static void count_own_signal(int number)
{
	(void)number;
	signals++;
}

static int call_sigsuspend(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigsuspend(&none);
	return signals == 1 ? 0 : 1;
}

static int call_pause(void)
{
	pause();
	return signals == 1 ? 0 : 1;
}

static int call_waitid(void)
{
	siginfo_t info;
	pid_t grandchild = fork();
	if (grandchild == 0) {
		while (load_acquire(&shared->may_end) == 0)
			poll(NULL, 0, 1);
		_exit(0);
	}
	return waitid(P_PID, (id_t)grandchild, &info, WEXITED) == 0 ? 0 : errno;
}

static int call_pselect(void)
{
	struct timespec limit = {.tv_sec = 1};
	return pselect(0, NULL, NULL, NULL, &limit, NULL) == 0 ? 0 : errno;
}

static int call_poll(void)
{
	return poll(NULL, 0, 1000) == 0 ? 0 : errno;
}

static int call_futex_bitset(void)
{
	return syscall(SYS_futex, &shared->futex, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1) == 0 ? 0 : errno;
}

static int call_futex_pi(void)
{
	store_relaxed(&shared->futex, (uint32_t)getppid());
	return syscall(SYS_futex, &shared->futex, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0 ? 0 : errno;
}

static const struct {
	const char *name;
	int (*call)(void);
	enum { BY_ITSELF, BY_SIGNAL, BY_FLAG, BY_WAKE, BY_UNLOCK } ended;
} restarting[] = {
	{"sigsuspend", call_sigsuspend, BY_SIGNAL},
	{"pause", call_pause, BY_SIGNAL},
	{"waitid", call_waitid, BY_FLAG},
	{"pselect", call_pselect, BY_ITSELF},
	{"poll", call_poll, BY_ITSELF},
	{"FUTEX_WAIT_BITSET", call_futex_bitset, BY_WAKE},
	{"FUTEX_LOCK_PI", call_futex_pi, BY_UNLOCK},
};

static void run_restarting(size_t i)
{
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGUSR1, count_own_signal);
		store_release(&shared->result, 1000 + (uint32_t)restarting[i].call());
		_exit(0);
	}
}

static void end_restarting(size_t i)
{
	if (restarting[i].ended == BY_SIGNAL)
		kill(child, SIGUSR1);
	else if (restarting[i].ended == BY_FLAG)
		store_release(&shared->may_end, UINT32_C(1));
	else if (restarting[i].ended == BY_WAKE)
		syscall(SYS_futex, &shared->futex, FUTEX_WAKE_BITSET, 1, NULL, NULL, 1);
	else if (restarting[i].ended == BY_UNLOCK)
		syscall(SYS_futex, &shared->futex, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
}

Test(thread_stop, stops_only_calls_that_go_on)
{
	for (size_t i = 0; i < ARRAY_LENGTH(restarting); i++) {
		store_relaxed(&shared->result, UINT32_C(0));
		store_relaxed(&shared->futex, UINT32_C(0));
		run_restarting(i);
		WAIT_FOR(child_state() == 'S');
		int stopped = 0;
		for (int stops = 0; stops < 20; stops++) {
			struct thread_stop stop;
			struct thread_call call;
			cr_assert_eq(thread_state_read_call(child, child, &call), 0);
			if (call.kind != THREAD_CALL_INSIDE || !blocking_calls_restarts(child, &call))
				continue; /* before the call, or between two sleeps */
			stopped += stop_and_copy(&call, &stop) == 0;
			poll(NULL, 0, 1);
		}
		cr_expect_gt(stopped, 0, "%s was not stopped", restarting[i].name);
		cr_expect_eq(load_acquire(&shared->result), 0, "%s ended", restarting[i].name);
		/* Again and again: what comes while it is on its way back into the call is lost. */
		WAIT_FOR((end_restarting(i), load_acquire(&shared->result) != 0));
		cr_expect_eq(load_acquire(&shared->result), 1000, "%s: %s", restarting[i].name,
			     strerror((int)load_acquire(&shared->result) - 1000));
		child_end();
	}
}

Test(thread_stop, lets_a_thread_go_that_is_elsewhere)
{
	static unsigned char stack[4096];
	struct thread_stop_late late = {.count = 0};
	struct thread_stop stop;
	start(poll_for_event, NULL);
	struct thread_call assumed;
	cr_assert_eq(thread_state_read_call(child, child, &assumed), 0);
	assumed.sp += 16;
	cr_expect_eq(thread_stop_copy(child, &assumed, stack, sizeof stack, &late, &stop), -EAGAIN);
	struct thread_state state;
	cr_assert_eq(thread_state_read_status(child, child, &state), 0);
	cr_expect_eq(state.tracer_pid, 0);
	cr_expect_eq(thread_stop_copy(INT_MAX, &assumed, stack, sizeof stack, &late, &stop), -ESRCH);
}
