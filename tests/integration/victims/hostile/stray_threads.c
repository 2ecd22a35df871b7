/* SPDX-License-Identifier: MIT */
// ldflags: -ldl
/*
 * Threads that no call of the program's own makes: libc's for SIGEV_THREAD and for
 * asynchronous I/O, and those of a library that is bound to libc directly.  They come and
 * go, and leave nothing behind: timers are few, as a process may have so many only.
 *
 *     stray_threads LIBRARY
 *
 * Context: test program.
 */
#include <aio.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "hostile.h"

static int notified;

static void on_notice(union sigval value)
{
	hostile_allocates(1);
	__atomic_add_fetch((int *)value.sival_ptr, 1, __ATOMIC_RELEASE);
}

static int timers_of_process(void)
{
	char line[200];
	int count = 0;
	FILE *file = fopen("/proc/self/timers", "r");
	while (file && fgets(line, sizeof line, file))
		count += !strncmp(line, "ID:", 3);
	if (file)
		fclose(file);
	return count;
}

int main(int argc, char **argv)
{
	timer_t timer;
	struct sigevent event = {0};
	event.sigev_notify = SIGEV_THREAD;
	event.sigev_notify_function = on_notice;
	event.sigev_value.sival_ptr = &notified;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer))
		return CANNOT_RUN;
	for (int i = 1; i <= 150; i++) {
		const struct itimerspec soon = {{0, 0}, {0, 100000}};
		timer_settime(timer, 0, &soon, NULL);
		while (__atomic_load_n(&notified, __ATOMIC_ACQUIRE) < i)
			usleep(100);
	}
	timer_delete(timer);
	say("notified %d\n", notified);

	char byte;
	int done = 0;
	for (int i = 0; i < 30; i++) {
		struct aiocb request = {.aio_fildes = open("/dev/zero", O_RDONLY), .aio_buf = &byte, .aio_nbytes = 1};
		request.aio_sigevent = event;
		request.aio_sigevent.sigev_value.sival_ptr = &done;
		if (aio_read(&request))
			return CANNOT_RUN;
		while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) <= i)
			usleep(100);
		say("read %zd\n", aio_return(&request));
		close(request.aio_fildes);
	}

	int uses = 0;
	for (int i = 0; argc > 1 && i < 20; i++) {
		void *handle = dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
		int (*piece_use)(void) = handle ? (int (*)(void))dlsym(handle, "piece_use") : NULL;
		for (int k = 0; piece_use && k < 10; k++)
			uses += piece_use() > 0;
		if (handle)
			dlclose(handle);
	}
	say("uses %d\n", uses);
	const int timers = timers_of_process();
	say("timers are few: %d\nowes 180\n", timers < 60);
	hostile_works();
	return 0;
}
