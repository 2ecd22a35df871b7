/* SPDX-License-Identifier: MIT */
/* ldflags: -rdynamic */
/*
 * A program with functions of its own under names of the C library's, which even behave
 * otherwise; and calls of the library's made in all the usual ways.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int own_writes, own_sleeps;

ssize_t write(int fd, const void *bytes, size_t count)
{
	own_writes++;
	return syscall(SYS_write, fd, bytes, count);
}

unsigned int sleep(unsigned int seconds)
{
	own_sleeps++;
	return seconds + 42;
}

int main(void)
{
	int ends[2];
	char bytes[8];
	struct timespec soon = {0, 1000000};
	struct pollfd fds = {.events = POLLIN};
	if (pipe(ends) || write(ends[1], "abc", 3) != 3)
		return 1;
	fds.fd = ends[0];
	printf("poll %d read %d sleep %u nanosleep %d\n", poll(&fds, 1, 1000), (int)read(ends[0], bytes, 8), sleep(1),
	       nanosleep(&soon, NULL));
	printf("poll %d, own: write %d sleep %d\n", poll(&fds, 1, 1), own_writes, own_sleeps);
	return 0;
}
