/* SPDX-License-Identifier: MIT */
/*
 * What is read of a sleeping thread counts only if it slept all the time: its system
 * call and its count of context switches are compared before and after its stack was
 * copied.  The stack is unwound from the copy.
 *
 * Context: collector, main thread; read_all() and what it calls: the child.
 */
#include "thread_reader.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "blocking_calls.h"
#include "thread_since.h"
#include "thread_stop.h"

#define THREADS_MAX 65536u
#define ATTEMPTS 3
/* After a stop: until the thread sleeps in the same call again. */
#define SETTLE_ATTEMPTS 20
#define SETTLE_PAUSE_NS 100000
/* Frames further up are read as the walk comes to them. */
#define STACK_COPY_BYTES ((size_t)64 << 10)
/* A wait's functions of libc need less stack than this. */
#define PUBLISHED_DEPTH_MAX 65536u
#define CRASHES_MAX 16
#define DEADLINE_MS 5000
#define TICK_MS 10

/* What the child works with. */
struct reader {
	pid_t pid;
	const struct segment_reader *segment; /* NULL: none */
	uint32_t next_slot;                   /* where a thread's slot is looked for first */
	struct remote_unwind *unwind;
	struct remote_memory *memory;
	struct thread_stop_late late;
	struct thread_since_clocks clocks;
	unsigned char stack[STACK_COPY_BYTES];
};

static int64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- child: the thread's slot -------------------------------------------------------------- */

/*
 * The slot of a thread, by its tid as the process sees it; NULL if it has none.  Threads
 * that were started one after the other mostly have slots one after the other.
 */
static const struct cprof_thread *find_slot(struct reader *reader, uint32_t tid)
{
	const struct segment_reader *segment = reader->segment;
	if (!segment || tid == 0)
		return NULL;
	/* Relaxed: a thread that sleeps has long written what it says. */
	uint32_t used = load_relaxed(&segment_reader_control(segment)->threads_used);
	if (used > segment->geometry.thread_count)
		used = segment->geometry.thread_count;
	for (uint32_t i = 0; i < used; i++) {
		uint32_t index = (reader->next_slot + i) % used;
		const struct cprof_thread *slot = segment_reader_thread(segment, index);
		/* Acquire: pairs with the release of LIVE, which publishes tid. */
		if (load_acquire(&slot->state) != CPROF_THREAD_LIVE || load_relaxed(&slot->tid) != tid)
			continue;
		reader->next_slot = index + 1;
		return slot;
	}
	return NULL;
}

/* A published wait, as one moment. */
struct published {
	uint32_t what;
	uint64_t object, since_ns, function, pc, sp, fp;
};

static bool read_published(const struct cprof_thread *slot, struct published *out_wait)
{
	const struct cprof_waiting *waiting = &slot->waiting;
	/* Acquire: pairs with the writer's release of an even number. */
	uint32_t before = load_acquire(&waiting->sequence);
	if (before % 2)
		return false;
	/* Acquire, each: the sequence below is not loaded before them. */
	struct published wait = {
		.what = load_acquire(&waiting->what),
		.object = load_acquire(&waiting->object),
		.since_ns = load_acquire(&waiting->since_ns),
		.function = load_acquire(&waiting->function),
		.pc = load_acquire(&waiting->pc),
		.sp = load_acquire(&waiting->sp),
		.fp = load_acquire(&waiting->fp),
	};
	if (load_relaxed(&waiting->sequence) != before || wait.what == CPROF_WAIT_NONE ||
	    wait.what >= CPROF_WAIT_COUNT)
		return false;
	*out_wait = wait;
	return true;
}

/*
 * Whether the thread sleeps in the very wait that it published, and not in a handler
 * that interrupted it or in something that the waiting function does besides.
 */
static bool is_in_published(const struct thread_reading *reading, const struct published *wait)
{
	/* How far from the object's address its futex word may be. */
	uint64_t extent = wait->what == CPROF_WAIT_JOIN ? 4096 : 64;
	const struct thread_call *call = &reading->call;
	return call->kind == THREAD_CALL_INSIDE && call->number == SYS_futex && call->sp < wait->sp &&
	       wait->sp - call->sp < PUBLISHED_DEPTH_MAX && call->arguments[0] >= wait->object &&
	       call->arguments[0] - wait->object < extent;
}

/* The same for a thread that spins. */
static bool is_spinning(const struct published *wait, uint64_t sp)
{
	return wait->what == CPROF_WAIT_SPIN && sp < wait->sp && wait->sp - sp < PUBLISHED_DEPTH_MAX;
}

static void take_published(struct thread_reading *reading, const struct published *wait)
{
	reading->wait = wait->what;
	reading->object = wait->object;
	reading->since_ns = wait->since_ns;
}

/* ---- child: one thread --------------------------------------------------------------------- */

static void walk(struct reader *reader, struct thread_reading *reading, const struct remote_regs *regs)
{
	uint32_t skipped = reading->frame_count;
	uint32_t count;
	reading->end = remote_unwind_walk(reader->unwind, regs, reading->frames + skipped,
					  reading->is_exact + skipped, THREAD_FRAMES_MAX - skipped, &count);
	reading->frame_count = skipped + count;
	reading->error = 0;
}

static void walk_published(struct reader *reader, struct thread_reading *reading,
			   const struct published *wait)
{
	struct remote_regs regs = {.pc_is_return_address = true};
	remote_regs_set(&regs, REMOTE_REG_PC, wait->pc);
	remote_regs_set(&regs, REMOTE_REG_SP, wait->sp);
	remote_regs_set(&regs, REMOTE_REG_FP, wait->fp);
	reading->how = THREAD_HOW_PUBLISHED;
	take_published(reading, wait);
	reading->frames[0] = wait->function;
	reading->is_exact[0] = true;
	reading->frame_count = 1;
	walk(reader, reading, &regs);
}

static void walk_read(struct reader *reader, struct thread_reading *reading)
{
	struct remote_regs regs = {0};
	remote_regs_set(&regs, REMOTE_REG_PC, reading->call.pc);
	remote_regs_set(&regs, REMOTE_REG_SP, reading->call.sp);
	reading->how = THREAD_HOW_READ;
	reading->frame_count = 0;
	walk(reader, reading, &regs);
}

/* Whether the thread may be stopped at all: not one that somebody else has stopped or traces. */
static bool may_stop(const struct thread_state *state)
{
	return state->tracer_pid == 0 && (state->state == 'R' || state->state == 'S');
}

/* 0 or -errno; what there was of a stack stays then. */
static int read_stopped(struct reader *reader, struct thread_reading *reading,
			const struct cprof_thread *slot)
{
	struct thread_stop stop;
	struct published wait;
	if (!may_stop(&reading->state))
		return -EBUSY;
	int error = thread_stop_copy(reading->tid, &reading->call, reader->stack, sizeof reader->stack,
				     &reader->late, &stop);
	if (error)
		return error;
	remote_memory_set_copy(reader->memory, stop.regs.values[REMOTE_REG_SP], reader->stack,
			       stop.stack_bytes);
	reading->how = THREAD_HOW_STOPPED;
	reading->frame_count = 0;
	walk(reader, reading, &stop.regs);
	if (slot && read_published(slot, &wait) && is_spinning(&wait, stop.regs.values[REMOTE_REG_SP]))
		take_published(reading, &wait);
	return 0;
}

bool thread_reader_is_unchanged(pid_t pid, const struct thread_reading *reading)
{
	struct thread_call call;
	struct thread_state state;
	return thread_state_read_call(pid, reading->tid, &call) == 0 &&
	       thread_state_is_same_call(&call, &reading->call) &&
	       thread_state_read_status(pid, reading->tid, &state) == 0 &&
	       state.switches == reading->state.switches;
}

/*
 * Our own stop made the thread leave its sleep for a moment: from here on counts
 * whether it leaves it again.
 */
static void settle(const struct reader *reader, struct thread_reading *reading)
{
	struct timespec pause = {.tv_nsec = SETTLE_PAUSE_NS};
	for (int attempt = 0; attempt < SETTLE_ATTEMPTS; attempt++) {
		struct thread_state state;
		struct thread_call call;
		if (thread_state_read_status(reader->pid, reading->tid, &state) ||
		    thread_state_read_call(reader->pid, reading->tid, &call))
			return;
		if (thread_state_is_same_call(&call, &reading->call)) {
			reading->state.switches = state.switches;
			return;
		}
		nanosleep(&pause, NULL);
	}
}

/* A sleeping thread: 0, -EAGAIN if it moved meanwhile, or another error. */
static int read_asleep(struct reader *reader, struct thread_reading *reading, const struct cprof_thread *slot)
{
	struct published wait = {0};
	bool is_published = slot && read_published(slot, &wait) && is_in_published(reading, &wait);
	ssize_t copied = remote_memory_copy(reader->pid, reading->call.sp, reader->stack,
					    sizeof reader->stack);
	if (!thread_reader_is_unchanged(reader->pid, reading))
		return -EAGAIN;
	if (copied <= 0)
		return copied ? (int)copied : -EFAULT;
	remote_memory_set_copy(reader->memory, reading->call.sp, reader->stack, (size_t)copied);
	if (is_published)
		walk_published(reader, reading, &wait);
	else /* before a stop, from which it would count anew */
		reading->since_ns = thread_since_read(&reader->clocks, reader->pid, reading->tid);
	if (!is_published || reading->end != REMOTE_END_FIRST_FRAME)
		walk_read(reader, reading);
	if (reading->end == REMOTE_END_UNKNOWN_REGISTER &&
	    blocking_calls_restarts(reader->pid, &reading->call) && read_stopped(reader, reading, slot) == 0)
		settle(reader, reading);
	return 0;
}

/* The thread may not be looked into: what it published of a wait is known all the same. */
static void take_unverified(struct reader *reader, struct thread_reading *reading,
			    const struct cprof_thread *slot)
{
	struct published wait;
	struct thread_state state;
	if (!slot || reading->state.state != 'S' || !read_published(slot, &wait) ||
	    thread_state_read_status(reader->pid, reading->tid, &state) ||
	    state.switches != reading->state.switches)
		return;
	take_published(reading, &wait);
	reading->how = THREAD_HOW_PUBLISHED;
	reading->frames[0] = wait.function;
	reading->is_exact[0] = true;
	reading->frames[1] = wait.pc;
	reading->is_exact[1] = false;
	reading->frame_count = 2;
	reading->end = REMOTE_END_MEMORY;
}

static void read_thread(struct reader *reader, struct thread_reading *reading)
{
	const struct cprof_thread *slot = NULL;
	reading->error = -EAGAIN;
	for (int attempt = 0; attempt < ATTEMPTS && reading->error == -EAGAIN; attempt++) {
		int error = thread_state_read_status(reader->pid, reading->tid, &reading->state);
		if (error) {
			reading->error = error;
			return;
		}
		reading->has_state = true;
		if (!slot)
			slot = find_slot(reader, reading->state.tid);
		reading->created_by = slot ? load_relaxed(&slot->created_by) : 0; /* ordered by LIVE */
		if (strchr("ZXx", reading->state.state)) {
			reading->error = -ESRCH;
			return;
		}
		error = thread_state_read_call(reader->pid, reading->tid, &reading->call);
		if (error) {
			reading->error = error;
			thread_state_read_wchan(reader->pid, reading->tid, reading->wchan);
			take_unverified(reader, reading, slot);
			return;
		}
		reading->has_call = true;
		if (reading->call.kind == THREAD_CALL_RUNNING)
			break;
		reading->error = read_asleep(reader, reading, slot);
	}
	if (reading->error == -EAGAIN) {
		/* It runs, or sleeps too shortly to be read: as good as running. */
		reading->call.kind = THREAD_CALL_RUNNING;
		reading->error = read_stopped(reader, reading, slot);
	}
}

static _Noreturn void read_all(struct reader *reader, struct thread_readings *readings, size_t first)
{
	/* What we copy of our parent's descriptors must not outlive anything. */
	int kept = reader->segment ? reader->segment->fd : 0;
	if (kept > 3)
		syscall(SYS_close_range, 3, kept - 1, 0);
	syscall(SYS_close_range, kept < 3 ? 3 : kept + 1, ~0U, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "cprof-collector");
	prctl(PR_SET_TIMERSLACK, 1); /* a stopped thread waits for us */
	for (size_t i = first; i < readings->count; i++) {
		struct thread_reading *reading = &readings->items[i];
		store_release(&reading->progress, (uint32_t)THREAD_BEGUN);
		read_thread(reader, reading);
		remote_memory_set_copy(reader->memory, 0, NULL, 0);
		/* Release: who sees it done sees all of it. */
		store_release(&reading->progress, (uint32_t)THREAD_DONE);
		thread_stop_release_late(&reader->late);
	}
	_exit(0);
}

/* ---- parent -------------------------------------------------------------------------------- */

static int compare_tids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a;
	pid_t y = *(const pid_t *)b;
	return (x > y) - (x < y);
}

/* The threads that there are.  0 with *out_tids to be freed, or -errno. */
static int list_tids(pid_t pid, pid_t **out_tids, size_t *out_count)
{
	char path[64];
	pid_t *tids = NULL;
	size_t count = 0;
	size_t capacity = 0;
	int error = 0;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? -ESRCH : -errno;
	struct dirent *entry;
	while (!error && count < THREADS_MAX && (entry = readdir(directory))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		if (count == capacity) {
			size_t wanted = capacity ? 2 * capacity : 64;
			pid_t *grown = reallocarray(tids, wanted, sizeof *grown);
			error = grown ? 0 : -ENOMEM;
			if (grown) {
				tids = grown;
				capacity = wanted;
			}
		}
		if (!error)
			tids[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	closedir(directory);
	if (!error && count == 0)
		error = -ESRCH;
	if (error) {
		free(tids);
		return error;
	}
	qsort(tids, count, sizeof *tids, compare_tids);
	*out_tids = tids;
	*out_count = count;
	return 0;
}

static int make_readings(pid_t pid, struct thread_readings *readings)
{
	pid_t *tids = NULL;
	int error = list_tids(pid, &tids, &readings->count);
	if (error)
		return error;
	void *items = mmap(NULL, readings->count * sizeof *readings->items, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (items == MAP_FAILED) {
		free(tids);
		return -ENOMEM;
	}
	readings->items = items;
	for (size_t i = 0; i < readings->count; i++)
		readings->items[i].tid = tids[i];
	free(tids);
	return 0;
}

/* Waits for the child's end, or ends it.  Whether it did all it had to. */
static bool wait_for(pid_t child, int64_t deadline_ms, void (*tick)(void *), void *tick_arg,
		     bool *out_is_late)
{
	int status = 0;
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	for (;;) {
		struct pollfd ended = {.fd = pidfd, .events = POLLIN};
		poll(&ended, 1, TICK_MS);
		pid_t got = waitpid(child, &status, WNOHANG);
		if (got == child || (got < 0 && errno != EINTR))
			break;
		if (tick)
			tick(tick_arg);
		if (monotonic_ms() < deadline_ms)
			continue;
		*out_is_late = true;
		kill(child, SIGKILL);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		break;
	}
	if (pidfd >= 0)
		close(pidfd);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The first thread that was not reached yet. */
static size_t next_of(const struct thread_readings *readings, size_t from)
{
	while (from < readings->count && load_acquire(&readings->items[from].progress) != THREAD_NOT_REACHED)
		from++;
	return from;
}

int thread_reader_run(pid_t pid, const struct remote_objects *objects, const struct segment_reader *segment,
		      void (*tick)(void *), void *tick_arg, struct thread_readings *out_readings)
{
	struct thread_readings readings = {0};
	struct reader *reader = calloc(1, sizeof *reader);
	struct remote_memory *memory = calloc(1, sizeof *memory);
	struct remote_unwind *unwind = memory ? remote_unwind_open(memory, objects) : NULL;
	int error = reader && unwind ? make_readings(pid, &readings) : -ENOMEM;
	int64_t deadline_ms = monotonic_ms() + DEADLINE_MS;
	if (!error) {
		remote_memory_init(memory, pid);
		reader->pid = pid;
		reader->segment = segment;
		reader->unwind = unwind;
		reader->memory = memory;
	}
	for (size_t next = 0;
	     !error && next < readings.count && readings.crashes < CRASHES_MAX && !readings.is_late;) {
		pid_t child = fork();
		if (child == 0)
			read_all(reader, &readings, next);
		if (child < 0) {
			error = -errno;
		} else if (!wait_for(child, deadline_ms, tick, tick_arg, &readings.is_late) &&
			   !readings.is_late) {
			readings.crashes++;
			next = next_of(&readings, next);
		} else {
			next = readings.count;
		}
	}
	remote_unwind_close(unwind);
	free(memory);
	free(reader);
	if (error) {
		thread_reader_free(&readings);
		return error;
	}
	*out_readings = readings;
	return 0;
}

void thread_reader_free(struct thread_readings *readings)
{
	if (readings->items)
		munmap(readings->items, readings->count * sizeof *readings->items);
	*readings = (struct thread_readings){0};
}
