/* SPDX-License-Identifier: MIT */
/*
 * A program that is its own profiler: SIGPROF, the interval timers and POSIX timers with
 * handlers, SIGUSR1 by signalfd and sigwaitinfo, all signals blocked in most threads, also by
 * the bare system call.
 *
 * Context: test program.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "hostile.h"

static volatile sig_atomic_t prof, virtual_, real, timers;

static void on_signal(int signal)
{
	prof += signal == SIGPROF;
	virtual_ += signal == SIGVTALRM;
	real += signal == SIGALRM;
	timers += signal == SIGRTMIN + 1;
}

static void *blocked(void *raw)
{
	sigset_t all, seen;
	sigfillset(&all);
	if (raw)
		syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 8L);
	else
		pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &seen);
	spin_cpu_ns(30000000);
	return sigismember(&seen, SIGPROF) && sigismember(&seen, SIGUSR1) ? (void *)1 : NULL;
}

int main(void)
{
	struct sigaction action = {0};
	action.sa_handler = on_signal;
	action.sa_flags = SA_RESTART;
	const int all[] = {SIGPROF, SIGVTALRM, SIGALRM, SIGRTMIN + 1};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		say("sigaction: %s\n", outcome(sigaction(all[i], &action, NULL)));
	const struct itimerval every = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
	struct itimerval old;
	timer_t timer;
	struct sigevent event = {0};
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = SIGRTMIN + 1;
	const struct itimerspec every_too = {{0, 10000000}, {0, 10000000}};
	say("timer: %s\n", outcome(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer)));
	timer_settime(timer, 0, &every_too, NULL);
	for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++)
		say("setitimer: %s\n", outcome(setitimer((__itimer_which_t)which, &every, NULL)));
	hostile_works();
	/* 20 ticks of each; more where the machine is busy and ticks find another program running.  cprof's would be 50 more. */
	int burnt_ms = 60;
	do {
		hostile_burns(140);
		burnt_ms += 140;
	} while (burnt_ms < 4000 && (prof <= 5 || virtual_ <= 5 || timers <= 5));
	const int many = burnt_ms / 5;
	for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
		setitimer((__itimer_which_t)which, &never, &old);
		say("interval %ld\n", (long)old.it_interval.tv_usec);
	}
	timer_delete(timer);
	say("ticks: prof %d virtual %d real %d timer %d\n", prof > 5 && prof < many, virtual_ > 5 && virtual_ < many,
	    real > 5, timers > 5 && timers < many);

	pthread_t threads[4];
	long held = 0;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, blocked, (void *)(long)(i % 2));
	for (int i = 0; i < 4; i++) {
		void *result;
		pthread_join(threads[i], &result);
		held += (long)result;
	}
	say("threads that see all blocked %ld\n", held);

	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	const pid_t self = getpid();
	for (int i = 0; i < 20; i++) {
		const pid_t child = fork();
		if (child == 0) {
			kill(self, SIGUSR1);
			_exit(0);
		}
		struct pollfd ready = {fd, POLLIN, 0};
		struct signalfd_siginfo info;
		int usr1 = 0, chld = 0;
		while (usr1 + chld < 2 && poll(&ready, 1, 5000) == 1)
			while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
				usr1 += info.ssi_signo == SIGUSR1 && (pid_t)info.ssi_pid == child;
				chld += info.ssi_signo == SIGCHLD && (pid_t)info.ssi_pid == child;
			}
		waitpid(child, NULL, 0);
		if (i == 19)
			say("signalfd: usr1 %d chld %d\n", usr1, chld);
	}
	siginfo_t info;
	kill(self, SIGUSR1);
	say("sigwaitinfo %d\n", sigwaitinfo(&set, &info) == SIGUSR1 && info.si_pid == self);
	const struct timespec none = {0, 0};
	say("sigtimedwait: %s\n", outcome(sigtimedwait(&set, &info, &none)));
	return 0;
}
