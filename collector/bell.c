/* SPDX-License-Identifier: MIT */
/*
 * The futex word belongs to the program, which may ring without end: the thread
 * rests a millisecond after each ring, and the main thread finds out for itself
 * what is asked.
 *
 * Context: collector; see bell.h.
 */
#include "bell.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES 65536

static void *listen_to_bell(void *argument)
{
	struct bell *bell = argument;
	const struct timespec rest = {.tv_nsec = 1000000};
	/* Relaxed: a word to compare; what it announces is loaded with order elsewhere. */
	uint32_t heard = load_relaxed(bell->word);
	while (!load_acquire(&bell->is_stopping)) {
		uint32_t now = load_relaxed(bell->word);
		if (now == heard) {
			syscall(SYS_futex, bell->word, FUTEX_WAIT, heard, NULL, NULL, 0);
			continue;
		}
		heard = now;
		uint64_t one = 1;
		if (write(bell->event_fd, &one, sizeof one) < 0)
			break;
		nanosleep(&rest, NULL);
	}
	return NULL;
}

void bell_init(struct bell *bell)
{
	*bell = (struct bell){.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
}

int bell_listen(struct bell *bell, atomic_u32 *word)
{
	pthread_attr_t attributes;
	bell_unlisten(bell);
	if (bell->event_fd < 0)
		return -EBADF;
	bell->word = word;
	store_relaxed(&bell->is_stopping, 0); /* the thread does not run yet */
	int error = pthread_attr_init(&attributes);
	if (!error) {
		pthread_attr_setstacksize(&attributes, STACK_BYTES);
		error = pthread_create(&bell->thread, &attributes, listen_to_bell, bell);
		pthread_attr_destroy(&attributes);
	}
	if (error)
		bell->word = NULL;
	return -error;
}

void bell_unlisten(struct bell *bell)
{
	if (!bell->word)
		return;
	/* Release: before the ring that makes the thread look. */
	store_release(&bell->is_stopping, 1);
	/* The changed value stops a wait that is just about to begin, the wake one that has begun. */
	add_release(bell->word, 1);
	syscall(SYS_futex, bell->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	pthread_join(bell->thread, NULL);
	bell->word = NULL;
}

void bell_hear(struct bell *bell)
{
	uint64_t rings;
	while (read(bell->event_fd, &rings, sizeof rings) < 0 && errno == EINTR)
		;
}
