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
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define STACK_BYTES 65536
#define REST_NS 1000000
#define BEAT_NS 500000000
#define HUNG_NS UINT64_C(60000000000)

/* Waits until the word is no longer `heard`, or for one beat while the main thread is at work. */
static void wait_and_beat(struct bell *bell, uint32_t heard)
{
	const struct timespec beat = {.tv_nsec = BEAT_NS};
	/* Acquire: pairs with bell_begin_work(), which rings after it has stored this. */
	uint64_t since = load_acquire(&bell->working_since_ns);
	bool is_at_work = since && clock_ns(CLOCK_MONOTONIC) - since < HUNG_NS;
	if (is_at_work)
		add_relaxed(&bell->control->heartbeat, 1); /* says nothing but "alive" */
	syscall(SYS_futex, &bell->control->bell, FUTEX_WAIT, heard, is_at_work ? &beat : NULL, NULL, 0);
}

static void *listen_to_bell(void *argument)
{
	struct bell *bell = argument;
	const struct timespec rest = {.tv_nsec = REST_NS};
	/* Relaxed: a word to compare; what it announces is loaded with order elsewhere. */
	uint32_t heard = load_relaxed(&bell->control->bell);
	while (!load_acquire(&bell->is_stopping)) {
		uint32_t now = load_relaxed(&bell->control->bell);
		if (now == heard) {
			wait_and_beat(bell, heard);
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

/*
 * Makes the thread look.  The changed value stops a wait that is just about to begin,
 * the wake one that has begun.
 */
static void ring(struct bell *bell)
{
	add_release(&bell->control->bell, 1); /* after what it shall look at */
	syscall(SYS_futex, &bell->control->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void bell_init(struct bell *bell)
{
	*bell = (struct bell){.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
}

int bell_listen(struct bell *bell, struct cprof_control *control)
{
	pthread_attr_t attributes;
	bell_unlisten(bell);
	if (bell->event_fd < 0)
		return -EBADF;
	bell->control = control;
	store_relaxed(&bell->is_stopping, 0); /* the thread does not run yet */
	int error = pthread_attr_init(&attributes);
	if (!error) {
		pthread_attr_setstacksize(&attributes, STACK_BYTES);
		error = pthread_create(&bell->thread, &attributes, listen_to_bell, bell);
		pthread_attr_destroy(&attributes);
	}
	if (error)
		bell->control = NULL;
	return -error;
}

void bell_unlisten(struct bell *bell)
{
	if (!bell->control)
		return;
	/* Release: before the ring that makes the thread look. */
	store_release(&bell->is_stopping, 1);
	ring(bell);
	pthread_join(bell->thread, NULL);
	bell->control = NULL;
}

void bell_begin_work(struct bell *bell)
{
	store_release(&bell->working_since_ns, clock_ns(CLOCK_MONOTONIC)); /* before the ring */
	if (bell->control)
		ring(bell);
}

void bell_end_work(struct bell *bell)
{
	store_release(&bell->working_since_ns, 0); /* nothing depends on when it is seen */
}

void bell_hear(struct bell *bell)
{
	uint64_t rings;
	while (read(bell->event_fd, &rings, sizeof rings) < 0 && errno == EINTR)
		;
}
