/* SPDX-License-Identifier: MIT */
/*
 * Threads that work when one of them, or all (TSYNC), enter a seccomp filter that kills at
 * any call but the few that they make: malloc's, the locks', a thread's end.  One that is tight kills at
 * the end of a signal handler, too: there is none in this program.
 *
 *     sandbox one|all|tight-one|tight-all|tight-one-later|tight-all-later
 *
 * Later: after a filter that allows everything.
 *
 * Context: test program.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "hostile.h"

#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t begun, inside;

static int is_tight, is_later;

static int set_filter(unsigned flags, struct sock_filter *filter, size_t length)
{
	struct sock_fprog program = {(unsigned short)length, filter};
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static int enter(unsigned flags)
{
	struct sock_filter wide[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_write),
		ALLOW(SYS_futex),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		/* Any number once more where it is not allowed. */
		ALLOW(is_tight ? SYS_write : SYS_rt_sigreturn),
		ALLOW(SYS_rt_sigprocmask),
		ALLOW(SYS_clock_gettime),
		ALLOW(SYS_mmap),
		ALLOW(SYS_munmap),
		ALLOW(SYS_mprotect),
		ALLOW(SYS_madvise),
		ALLOW(SYS_brk),
		ALLOW(SYS_restart_syscall),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || (is_later && set_filter(flags, wide, 1)))
		return -1;
	return set_filter(flags, filter, sizeof filter / sizeof *filter);
}

static void works_inside(void)
{
	for (int i = 0; i < 200; i++) {
		void *block = malloc(1000);
		pthread_mutex_lock(&mutex);
		spin_briefly();
		pthread_mutex_unlock(&mutex);
		free(block);
	}
	hostile_allocates(50);
	spin_cpu_ns(30000000);
}

static void *worker(void *enters)
{
	free(malloc(10)); /* this thread's arena is there */
	pthread_barrier_wait(&begun);
	pthread_barrier_wait(&inside);
	if (enters && enter(0))
		_exit(CANNOT_RUN);
	works_inside();
	return NULL;
}

int main(int argc, char **argv)
{
	is_tight = argc > 1 && !strncmp(argv[1], "tight", 5);
	is_later = argc > 1 && strstr(argv[1], "later") != NULL;
	const int all = argc > 1 && strstr(argv[1], "all") != NULL;
	pthread_t threads[3];
	pthread_barrier_init(&begun, NULL, 4);
	pthread_barrier_init(&inside, NULL, 4);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, worker, i == 0 && !all ? (void *)1 : NULL);
	pthread_barrier_wait(&begun);
	if (all && enter(SECCOMP_FILTER_FLAG_TSYNC))
		return CANNOT_RUN;
	pthread_barrier_wait(&inside);
	works_inside();
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	say("inside\nowes 200\n");
	if (!is_tight || !all)
		hostile_works(); /* with samples */
	return 13;
}
