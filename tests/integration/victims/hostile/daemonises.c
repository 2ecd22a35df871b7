/* SPDX-License-Identifier: MIT */
/*
 * Becomes a daemon the old way: two forks, a session of its own, another directory, another
 * umask, all descriptors closed (in a loop, or by close_range), signals at their defaults.
 * The first process waits for it through a FIFO that the daemon opens by name.
 *
 * Context: test program.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hostile.h"

static void work_as_daemon(const char *fifo)
{
	umask(0);
	if (chdir("/"))
		_exit(1);
	for (int signal = 1; signal < 32; signal++)
		(void)sigaction(signal, &(const struct sigaction){.sa_handler = SIG_DFL}, NULL);
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	syscall(SYS_close_range, 0, ~0u, 0);
	const int zero = open("/dev/null", O_RDWR);
	const int one = dup(zero), two = dup(zero), three = open(fifo, O_WRONLY);
	char line[100];
	hostile_allocates(50);
	hostile_burns(60);
	const int length = snprintf(line, sizeof line, "descriptors %d %d %d %d, session %d\nowes 50\nburnt\n", zero, one, two, three,
				    getsid(0) != getpid());
	if (write(three, line, (size_t)length) != length)
		_exit(2);
	_exit(0);
}

int main(void)
{
	char fifo[4096];
	if (!getcwd(fifo, sizeof fifo - 20))
		return 1;
	strcat(fifo, "/daemon.fifo");
	unlink(fifo);
	if (mkfifo(fifo, 0600))
		return 1;
	const pid_t first = fork();
	if (first == 0) {
		if (setsid() < 0)
			_exit(1);
		const pid_t second = fork();
		if (second == 0)
			work_as_daemon(fifo);
		_exit(second < 0);
	}
	int status = 0;
	waitpid(first, &status, 0);
	char text[200];
	const int fd = open(fifo, O_RDONLY);
	ssize_t got;
	while ((got = read(fd, text, sizeof text)) > 0)
		say("%.*s", (int)got, text);
	unlink(fifo);
	say("status %d\n", status);
	return 0;
}
