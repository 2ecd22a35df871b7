/* SPDX-License-Identifier: MIT */
/*
 * The ranges are an array that the handler can read at any moment: it only ever
 * grows into a new array, and the old one is kept, because a handler may still be
 * looking at it (together they are no larger than the newest).  The idea of putting
 * a page under the fault is systemd's (src/basic/sigbus.c, 2023).
 *
 * Context: collector; see sigbus_guard.h.
 */
#include "sigbus_guard.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cprof_atomic.h"

struct guarded {
	atomic_u64 start; /* 0: free */
	atomic_u64 end;
	atomic_u32 was_hit;
};

struct guarded_array {
	size_t capacity;
	struct guarded_array *older;
	struct guarded ranges[];
};

/* Written by the main thread, read by the handler. */
static _Atomic(struct guarded_array *) guarded;

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	int saved_errno = errno;
	uint64_t address = (uint64_t)(uintptr_t)info->si_addr;
	uint64_t page = address & ~(uint64_t)4095;
	struct guarded_array *array = load_acquire(&guarded);
	for (size_t i = 0; info->si_code > 0 && array && i < array->capacity; i++) {
		uint64_t start = load_acquire(&array->ranges[i].start);
		if (!start || address < start || address >= load_relaxed(&array->ranges[i].end))
			continue;
		if (mmap((void *)(uintptr_t)page, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			break;
		store_relaxed(&array->ranges[i].was_hit, 1); /* read later by the same thread */
		errno = saved_errno;
		return;
	}
	/* Not ours: let the same access happen again and end the process as it should. */
	signal(signal_number, SIG_DFL);
	errno = saved_errno;
}

static int install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

static struct guarded_array *grow(struct guarded_array *old)
{
	size_t capacity = old ? old->capacity * 2 : 16;
	struct guarded_array *array = calloc(1, sizeof *array + capacity * sizeof array->ranges[0]);
	if (!array)
		return NULL;
	array->capacity = capacity;
	array->older = old;
	for (size_t i = 0; old && i < old->capacity; i++) {
		/* Relaxed: published as a whole by the store below. */
		store_relaxed(&array->ranges[i].start, load_relaxed(&old->ranges[i].start));
		store_relaxed(&array->ranges[i].end, load_relaxed(&old->ranges[i].end));
		store_relaxed(&array->ranges[i].was_hit, load_relaxed(&old->ranges[i].was_hit));
	}
	/* Release: pairs with the handler's load; it must not see the array before its entries. */
	store_release(&guarded, array);
	return array;
}

int sigbus_guard_add(void *start, size_t size)
{
	struct guarded_array *array = load_relaxed(&guarded); /* only this thread stores it */
	int error = array ? 0 : install();
	if (error)
		return error;
	size_t i = 0;
	while (array && i < array->capacity && load_relaxed(&array->ranges[i].start))
		i++;
	if (!array || i == array->capacity)
		array = grow(array);
	if (!array)
		return -ENOMEM;
	store_relaxed(&array->ranges[i].was_hit, 0);
	store_relaxed(&array->ranges[i].end, (uint64_t)(uintptr_t)start + size);
	/* Release: the handler must not pair this start with the slot's former end. */
	store_release(&array->ranges[i].start, (uint64_t)(uintptr_t)start);
	return (int)i;
}

void sigbus_guard_remove(int handle)
{
	struct guarded_array *array = load_relaxed(&guarded);
	if (handle >= 0 && array)
		store_release(&array->ranges[handle].start, 0);
}

bool sigbus_guard_was_hit(int handle)
{
	struct guarded_array *array = load_relaxed(&guarded);
	return handle >= 0 && array && load_relaxed(&array->ranges[handle].was_hit);
}
