/* SPDX-License-Identifier: MIT */
/*
 * Uses up all descriptors, then starts threads and children, loads a library that cannot be
 * opened, and closes what it finds.  Context: test program.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "hostile.h"

static void *works(void *unused)
{
	hostile_allocates(20);
	spin_cpu_ns(30000000);
	return unused;
}

int main(void)
{
	const struct rlimit few = {30, 30};
	setrlimit(RLIMIT_NOFILE, &few);
	int opened = 0, fd;
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		opened++;
	say("opened %d then %s\n", opened, strerrorname_np(errno));
	pthread_t thread;
	pthread_create(&thread, NULL, works, NULL);
	pthread_join(thread, NULL);
	const pid_t child = fork();
	if (child == 0) {
		free(malloc(10));
		spin_cpu_ns(30000000);
		_exit(16);
	}
	int status = 0;
	waitpid(child, &status, 0);
	say("child %d, next descriptor %s\nowes 20\n", WEXITSTATUS(status), outcome(open("/dev/null", O_RDONLY)));
	for (fd = 3; fd < 40; fd++)
		close(fd);
	say("next descriptor %d\n", open("/dev/null", O_RDONLY));
	hostile_works();
	return 0;
}
