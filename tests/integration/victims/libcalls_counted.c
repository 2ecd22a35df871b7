/* SPDX-License-Identifier: MIT */
/*
 * Somebody else's interposer of calls that may block: counts them, passes them on, and
 * says at the end how many there were.
 */
#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int reads, polls, sleeps;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t read(int fd, void *bytes, size_t count)
{
	reads++;
	return NEXT(read)(fd, bytes, count);
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	polls++;
	return NEXT(poll)(fds, count, timeout_ms);
}

int nanosleep(const struct timespec *time, struct timespec *out_left)
{
	sleeps++;
	return NEXT(nanosleep)(time, out_left);
}

__attribute__((destructor)) static void tell(void)
{
	printf("another interposer saw read %d poll %d nanosleep %d\n", reads, polls, sleeps);
}
