/* SPDX-License-Identifier: MIT */
/*
 * The name of the session's socket is free once all processes of the collector are gone, so
 * bind() decides who of those that noticed starts another one.
 *
 * Context: any (async-signal-safe).
 */
#include "revive.h"

#include <errno.h>
#include <time.h>

#include "control.h"
#include "launch.h"
#include "process.h"
#include "segment.h"
#include "segment_copy.h"
#include "segment_file.h"
#include "sys.h"
#include "thread.h"

#define NS_PER_S UINT64_C(1000000000)
#define SILENCE_NS (3 * NS_PER_S)
#define PAUSE_NS (60 * NS_PER_S)
/* How long a collector that has closed its door may take to be gone. */
#define ENDING_SLICE_NS UINT64_C(2000000)
#define ENDING_SLICES 25
/* What this needs of a thread's stack, the collector's start included. */
#define STACK_BYTES UINT64_C(8192)

/* Whoever sets it is the one that acts, and owns what follows. */
static atomic_u32 is_busy;
static uint64_t next_start_ns;

atomic_u32 revive_beat_seen;
atomic_u32 revive_quiet_samples;
static atomic_u64 quiet_since_ns;

/* Whether a collector had this process's segment, or its parent's before the fork. */
static bool has_worked;

static bool may_replace(void)
{
	has_worked = has_worked || load_relaxed(&segment_control()->heartbeat) != 0; /* only ever grows */
	return has_worked || session_has_left_network();
}

/* Starts a collector.  Descriptor of its socket, with which it cannot be missed, or -errno. */
static int start_another(void)
{
	uint64_t now = control_clock_ns(CLOCK_MONOTONIC);
	if (now < next_start_ns)
		return -EAGAIN;
	int listen_fd = session_listen();
	if (listen_fd < 0)
		return listen_fd;
	next_start_ns = now + PAUSE_NS;
	int error = launch_another(listen_fd);
	if (!error)
		return listen_fd;
	(void)sys_call1(SYS_close, listen_fd);
	return error;
}

/* With the name taken somebody else was faster, or is about to end and hears nobody any more. */
static int register_with_another(int segment_fd, uint32_t pid, bool is_first, enum session_turn turn)
{
	for (int slice = 0;; slice++) {
		int listen_fd = start_another();
		if (listen_fd < 0 && listen_fd != -EADDRINUSE)
			return -ECONNREFUSED;
		int error = session_register(segment_fd, pid, is_first, turn);
		if (listen_fd >= 0)
			(void)sys_call1(SYS_close, listen_fd);
		if (listen_fd >= 0 || error != -ECONNREFUSED || slice == ENDING_SLICES)
			return error;
		struct timespec rest = {.tv_nsec = ENDING_SLICE_NS};
		(void)sys_call4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&rest, 0);
	}
}

int revive_register(int segment_fd, uint32_t pid, bool is_first, enum session_turn turn)
{
	uint32_t no = 0;
	int error = session_register(segment_fd, pid, is_first, turn);
	if (error != -ECONNREFUSED || !may_replace() || !cas_acq_rel(&is_busy, &no, UINT32_C(1)))
		return error;
	error = register_with_another(segment_fd, pid, is_first, turn);
	store_release(&is_busy, UINT32_C(0));
	return error;
}

void revive_inherit(void)
{
	(void)may_replace();
	store_relaxed(&is_busy, UINT32_C(0)); /* whoever was at it is not here */
	store_relaxed(&revive_quiet_samples, UINT32_C(0));
}

/* The handler may run on any stack: only a thread's own is known to have room. */
static bool has_room(void)
{
	uint64_t here = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	return here < thread_tls.bounds.high && here >= thread_tls.bounds.low + STACK_BYTES;
}

static COLD void register_again(void)
{
	uint32_t no = 0;
	if (!process_may_call() || !process_is_self() || segment_file_is_used() || !has_room() ||
	    session_has_listener())
		return;
	if (!cas_acq_rel(&is_busy, &no, UINT32_C(1)))
		return;
	int fd = segment_reopen(SEGMENT_NO_OTHERS);
	store_release(&is_busy, UINT32_C(0)); /* as the registration takes it itself */
	if (fd < 0)
		return;
	process_register_again(fd);
	(void)sys_call1(SYS_close, fd);
}

void revive_look(void)
{
	/* It has not begun, or there was none that could be had. */
	if (load_relaxed(&segment_control()->heartbeat) == 0 && (process_has_collector() || !may_replace()))
		return;
	/* Relaxed: a hint, as the others. */
	uint64_t now = control_clock_ns(CLOCK_MONOTONIC);
	if (load_relaxed(&revive_quiet_samples) == REVIVE_QUIET_SAMPLES) {
		store_relaxed(&quiet_since_ns, now);
	} else if (now - load_relaxed(&quiet_since_ns) >= SILENCE_NS) {
		store_relaxed(&revive_quiet_samples, UINT32_C(0));
		register_again();
	}
}

int revive_at_end(uint32_t pid, bool is_first)
{
	if (segment_file_is_used() || !may_replace())
		return -ECONNREFUSED;
	int fd = segment_reopen(SEGMENT_WITH_OTHERS);
	if (fd < 0)
		return fd;
	int error = revive_register(fd, pid, is_first, SESSION_AGAIN);
	(void)sys_call1(SYS_close, fd);
	return error;
}
