/* SPDX-License-Identifier: MIT */
/*
 * A wait that was published says what it is.  Others are told by the function of the
 * C library that sleeps in futex(); where the futex word is the object's first word,
 * the object is known too.  Holders are read from the lock itself, at the places
 * where glibc keeps them.
 *
 * Context: collector, main thread.
 */
#include "thread_waits.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>

#include "cprof_compiler.h"
#include "thread_look.h"

/* In pthread_mutex_t and pthread_rwlock_t (glibc 2.0 and 2.25 until 2.41, x86-64). */
#define MUTEX_OWNER_OFFSET 8
#define RWLOCK_WRITER_OFFSET 24

/* How far from the leaf a waiting function may be. */
#define LEAF_FRAMES 6

static const char *const names[CPROF_WAIT_COUNT] = {
	[CPROF_WAIT_NONE] = "",
	[CPROF_WAIT_MUTEX] = "mutex",
	[CPROF_WAIT_RWLOCK_READ] = "rwlock (to read)",
	[CPROF_WAIT_RWLOCK_WRITE] = "rwlock (to write)",
	[CPROF_WAIT_SPIN] = "spin lock",
	[CPROF_WAIT_COND] = "condition variable",
	[CPROF_WAIT_SEMAPHORE] = "semaphore",
	[CPROF_WAIT_BARRIER] = "barrier",
	[CPROF_WAIT_JOIN] = "end of thread",
	[CPROF_WAIT_FUTEX] = "futex",
	[CPROF_WAIT_READ] = "input",
	[CPROF_WAIT_WRITE] = "output",
	[CPROF_WAIT_POLL] = "poll",
	[CPROF_WAIT_ACCEPT] = "accept",
	[CPROF_WAIT_CONNECT] = "connect",
	[CPROF_WAIT_SLEEP] = "sleep",
	[CPROF_WAIT_CHILD] = "end of process",
	[CPROF_WAIT_SIGNAL] = "signal",
};

/* By their beginnings: variants end in _np, _ex, 64, @version and the like. */
static const struct {
	const char *prefix;
	enum cprof_wait what;
} functions[] = {
	{"pthread_mutex_lock", CPROF_WAIT_MUTEX},
	{"pthread_mutex_timedlock", CPROF_WAIT_MUTEX},
	{"pthread_mutex_clocklock", CPROF_WAIT_MUTEX},
	{"pthread_mutex_cond_lock", CPROF_WAIT_MUTEX},
	{"mtx_lock", CPROF_WAIT_MUTEX},
	{"mtx_timedlock", CPROF_WAIT_MUTEX},
	{"pthread_rwlock_rdlock", CPROF_WAIT_RWLOCK_READ},
	{"pthread_rwlock_timedrdlock", CPROF_WAIT_RWLOCK_READ},
	{"pthread_rwlock_clockrdlock", CPROF_WAIT_RWLOCK_READ},
	{"pthread_rwlock_wrlock", CPROF_WAIT_RWLOCK_WRITE},
	{"pthread_rwlock_timedwrlock", CPROF_WAIT_RWLOCK_WRITE},
	{"pthread_rwlock_clockwrlock", CPROF_WAIT_RWLOCK_WRITE},
	{"pthread_cond_wait", CPROF_WAIT_COND},
	{"pthread_cond_timedwait", CPROF_WAIT_COND},
	{"pthread_cond_clockwait", CPROF_WAIT_COND},
	{"cnd_wait", CPROF_WAIT_COND},
	{"cnd_timedwait", CPROF_WAIT_COND},
	{"sem_wait", CPROF_WAIT_SEMAPHORE},
	{"sem_timedwait", CPROF_WAIT_SEMAPHORE},
	{"sem_clockwait", CPROF_WAIT_SEMAPHORE},
	{"new_sem_wait", CPROF_WAIT_SEMAPHORE},
	{"pthread_barrier_wait", CPROF_WAIT_BARRIER},
	{"pthread_join", CPROF_WAIT_JOIN},
	{"pthread_timedjoin", CPROF_WAIT_JOIN},
	{"pthread_clockjoin", CPROF_WAIT_JOIN},
	{"thrd_join", CPROF_WAIT_JOIN},
};

const char *thread_waits_name(enum cprof_wait what)
{
	return (uint32_t)what < CPROF_WAIT_COUNT ? names[what] : "";
}

enum cprof_wait thread_waits_of_function(const char *name)
{
	while (*name == '_')
		name++;
	for (size_t i = 0; i < ARRAY_LENGTH(functions); i++)
		if (strncmp(name, functions[i].prefix, strlen(functions[i].prefix)) == 0)
			return functions[i].what;
	return CPROF_WAIT_NONE;
}

static bool is_in_futex(const struct thread_reading *reading)
{
	return reading->has_call && reading->call.kind == THREAD_CALL_INSIDE &&
	       reading->call.number == SYS_futex;
}

/* Whether the operation waits; the waits' word is the first argument. */
static bool is_futex_wait(const struct thread_reading *reading)
{
	switch (reading->call.arguments[1] & (uint64_t)FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
#ifdef FUTEX_LOCK_PI2
	case FUTEX_LOCK_PI2:
#endif
	case FUTEX_WAIT_REQUEUE_PI:
		return true;
	default:
		return false;
	}
}

static struct thread_wait wait_by_frames(const struct thread_reading *reading,
					 const struct dump_modules *modules)
{
	struct thread_wait wait = {.what = CPROF_WAIT_FUTEX, .object = reading->call.arguments[0]};
	for (uint32_t i = 0; i < reading->frame_count && i < LEAF_FRAMES; i++) {
		struct image_line lines[IMAGE_LINES_MAX];
		uint64_t frame = dump_modules_frame(modules, reading->frames[i], reading->is_exact[i]);
		size_t count = dump_modules_lines(modules->items, modules->count, frame, lines);
		for (size_t l = 0; l < count; l++) {
			enum cprof_wait what = thread_waits_of_function(lines[l].name);
			if (what == CPROF_WAIT_NONE)
				continue;
			wait.what = what;
			/* Of the others, the word is somewhere inside. */
			if (what != CPROF_WAIT_MUTEX && what != CPROF_WAIT_SEMAPHORE)
				wait.object = 0;
			return wait;
		}
	}
	return wait;
}

/* ---- holders ------------------------------------------------------------------------------- */

static uint32_t read_word(pid_t pid, uint64_t address)
{
	uint32_t word = 0;
	if (remote_memory_copy_all(pid, address, &word, sizeof word) != 0)
		return 0;
	return word & FUTEX_TID_MASK;
}

static uint32_t holder_of(pid_t pid, const struct thread_reading *reading, const struct thread_wait *wait)
{
	switch (wait->what) {
	case CPROF_WAIT_MUTEX:
		return wait->object ? read_word(pid, wait->object + MUTEX_OWNER_OFFSET) : 0;
	case CPROF_WAIT_RWLOCK_READ:
	case CPROF_WAIT_RWLOCK_WRITE:
		return wait->object ? read_word(pid, wait->object + RWLOCK_WRITER_OFFSET) : 0;
	case CPROF_WAIT_JOIN:
		/* The kernel clears the thread's id when it ends: that is what join waits for. */
		return is_in_futex(reading) ? read_word(pid, reading->call.arguments[0]) : 0;
	default:
		return 0;
	}
}

static bool is_thread(const struct thread_reading *reading, uint32_t tid)
{
	return reading->has_state && reading->state.tid == tid;
}

static uint32_t index_of(const struct thread_readings *readings, uint32_t tid)
{
	uint32_t low = 0;
	for (uint32_t high = (uint32_t)readings->count; low < high;) {
		uint32_t middle = low + (high - low) / 2;
		if ((uint32_t)readings->items[middle].tid < tid)
			low = middle + 1;
		else
			high = middle;
	}
	if (tid && low < readings->count && is_thread(&readings->items[low], tid))
		return low;
	/* In a pid namespace of its own the process has other numbers than we. */
	for (uint32_t i = 0; tid && i < readings->count; i++)
		if (is_thread(&readings->items[i], tid))
			return i;
	return THREAD_NOBODY;
}

/* ---- circles ------------------------------------------------------------------------------- */

/* Whether all of a circle slept through: then what each waits for and holds was so at one moment. */
static bool is_circle_still(pid_t pid, const struct thread_readings *readings,
			    const struct thread_wait *waits, uint32_t start)
{
	uint32_t i = start;
	do {
		if (!thread_look_is_unchanged(pid, &readings->items[i]))
			return false;
		i = waits[i].holder;
	} while (i != start);
	return true;
}

/* Each thread waits for at most one other: walks end, or come back to where they were. */
static uint32_t find_circles(pid_t pid, const struct thread_readings *readings, struct thread_wait *waits)
{
	uint32_t found = 0;
	for (uint32_t start = 0; start < readings->count; start++) {
		uint32_t i = start;
		uint32_t steps = 0;
		while (i != THREAD_NOBODY && steps <= readings->count && !(steps && i == start)) {
			i = waits[i].holder;
			steps++;
		}
		if (i != start || waits[start].cycle || !is_circle_still(pid, readings, waits, start))
			continue;
		found++;
		do {
			waits[i].cycle = found;
			i = waits[i].holder;
		} while (i != start);
	}
	return found;
}

uint32_t thread_waits_find(pid_t pid, const struct thread_readings *readings,
			   const struct dump_modules *modules, struct thread_wait *out_waits)
{
	for (size_t i = 0; i < readings->count; i++) {
		const struct thread_reading *reading = &readings->items[i];
		struct thread_wait wait = {.what = CPROF_WAIT_NONE};
		if (reading->wait != CPROF_WAIT_NONE && reading->wait < CPROF_WAIT_COUNT)
			wait = (struct thread_wait){.what = (enum cprof_wait)reading->wait,
						    .object = reading->object};
		else if (is_in_futex(reading) && is_futex_wait(reading))
			wait = wait_by_frames(reading, modules);
		wait.holder_tid = holder_of(pid, reading, &wait);
		wait.holder = index_of(readings, wait.holder_tid);
		out_waits[i] = wait;
	}
	return find_circles(pid, readings, out_waits);
}
