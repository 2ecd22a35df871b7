/* SPDX-License-Identifier: MIT */
/*
 * Gives up rights after its start, with threads and children: user ids (libc signals every
 * thread for that), capabilities, dumpability, the root directory, namespaces.
 *
 *     drops_rights setuid|dumpable|chroot|namespaces|mount-namespace|net-namespace|no-new-privileges
 *
 * Context: test program.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "hostile.h"

static pthread_barrier_t dropped;

static void *thread_works(void *unused)
{
	hostile_allocates(5);
	pthread_barrier_wait(&dropped);
	hostile_allocates(5);
	spin_cpu_ns(20000000);
	say("thread uid %d\n", (int)getuid());
	return unused;
}

static long drop(const char *what)
{
	if (!strcmp(what, "setuid"))
		return setgid(65534) || setuid(65534) ? -1 : 0;
	if (!strcmp(what, "dumpable"))
		return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (!strcmp(what, "chroot"))
		return mkdir("empty", 0755) && errno != EEXIST ? -1 : chroot("empty") || chdir("/") ? -1 : 0;
	if (!strcmp(what, "namespaces"))
		return unshare(CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP);
	if (!strcmp(what, "net-namespace"))
		return unshare(CLONE_NEWNET);
	if (!strcmp(what, "mount-namespace"))
		return unshare(CLONE_NEWNS | CLONE_FS);
	if (!strcmp(what, "no-new-privileges"))
		return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return -1;
}

int main(int argc, char **argv)
{
	pthread_t threads[3];
	pthread_barrier_init(&dropped, NULL, 4);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, thread_works, NULL);
	const long result = drop(argc > 1 ? argv[1] : "");
	if (result == -1 && (errno == EPERM || errno == ENOSYS))
		return CANNOT_RUN;
	say("%s: %s, uid %d, dumpable %d, open %s\n", argv[1], outcome(result), (int)getuid(), prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
	    outcome(open("/etc/passwd", O_RDONLY)));
	pthread_barrier_wait(&dropped);
	const pid_t child = fork();
	if (child == 0) {
		hostile_allocates(10);
		hostile_burns(20);
		_exit(19);
	}
	int status = 0;
	waitpid(child, &status, 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	say("child %d\nowes 40\n", WEXITSTATUS(status));
	hostile_works();
	return 0;
}
