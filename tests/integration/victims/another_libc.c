/* SPDX-License-Identifier: MIT */
/*
 * A little of what is interposed, as a program of another libc uses it: test_real_others.sh builds it
 * with musl-gcc as well.
 *
 * Context: test program.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int handled;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int count;

static void on_signal(int number)
{
	handled += number;
}

static void *work(void *unused)
{
	for (size_t i = 0; i < 1000; i++) {
		pthread_mutex_lock(&mutex);
		count++;
		pthread_cond_signal(&changed);
		pthread_mutex_unlock(&mutex);
		free(realloc(malloc(i + 1), 2 * i + 1));
	}
	return unused;
}

static void try_signals(void)
{
	sigset_t set;
	signal(SIGUSR1, on_signal);
	signal(SIGPROF, on_signal);
	raise(SIGUSR1);
	raise(SIGPROF);
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	raise(SIGPROF);
	printf("handled %d\n", handled);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	printf("handled %d\n", handled);
}

int main(void)
{
	pthread_t threads[4];
	int status = 0;
	try_signals();
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	pthread_mutex_lock(&mutex);
	while (count < 4000)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("counted %d\n", count);
	fflush(stdout);
	const pid_t child = fork();
	if (child == 0)
		_exit(4);
	waitpid(child, &status, 0);
	errno = 0;
	close(-1);
	printf("child %d, EBADF %d, system %d\n", status >> 8, errno == EBADF, system("exit 5") >> 8);
	exit(3);
}
