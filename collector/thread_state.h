/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says about a thread in /proc/PID/task/TID: its name and state, and
 * the system call that it is in.  Names are the program's to choose, so the parsers
 * take any bytes.
 *
 * Context: any process of the collector; parsing is pure.
 */
#ifndef COLLECTOR_THREAD_STATE_H
#define COLLECTOR_THREAD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define THREAD_NAME_BYTES 64

/* From /proc/PID/task/TID/status. */
struct thread_state {
	char name[THREAD_NAME_BYTES]; /* escaped by the kernel: no newline in it; "" if there is none */
	char state;                   /* R, S, D, T, t, Z, X ...; '?' if the kernel does not say */
	uint32_t tid;                 /* as the process sees it; 0: not said */
	uint32_t tracer_pid;          /* who debugs it; 0: nobody */
	uint64_t switches;            /* how often it left the CPU: a thread that has run since has more */
	uint64_t signals;             /* pending for it or its process, open and handled; bit number - 1 */
	uint64_t process_signals;     /* those of them that any thread of the process may take */
	uint32_t thread_count;        /* of its process */
	bool drops_sigchld;           /* it is neither blocked nor has an action */
};

/* 0, or -EINVAL if the text has no state. */
int thread_state_parse_status(const char *text, size_t size, struct thread_state *out_state);

/* From /proc/PID/task/TID/syscall. */
enum thread_call_kind {
	THREAD_CALL_RUNNING, /* on a CPU, or about to be: there is nothing to know */
	THREAD_CALL_NONE,    /* sleeps outside of a system call: a page fault, a stop */
	THREAD_CALL_INSIDE   /* in the system call */
};

#define THREAD_CALL_ARGUMENTS 6

struct thread_call {
	enum thread_call_kind kind;
	int64_t number; /* INSIDE only, as are the arguments */
	uint64_t arguments[THREAD_CALL_ARGUMENTS];
	uint64_t sp; /* 0 when RUNNING */
	uint64_t pc;
};

/* 0 or -EINVAL. */
int thread_state_parse_call(const char *text, size_t size, struct thread_call *out_call);

/* Whether nothing of it differs. */
bool thread_state_is_same_call(const struct thread_call *a, const struct thread_call *b);

/*
 * Reads them.  -ESRCH: the thread is gone; -EPERM or -EACCES: not for us;
 * -ENOENT also where the kernel has no such file; -EINVAL: nonsense.
 */
int thread_state_read_status(pid_t pid, pid_t tid, struct thread_state *out_state);
int thread_state_read_call(pid_t pid, pid_t tid, struct thread_call *out_call);

/* Whether the thread has made a process that nobody has waited for; false also if that is not told. */
bool thread_state_has_children(pid_t pid, pid_t tid);

/*
 * The name of the kernel function that the thread sleeps in, "" if it is not told.
 * Needs less permission than the system call.
 */
void thread_state_read_wchan(pid_t pid, pid_t tid, char out_name[THREAD_NAME_BYTES]);

#endif
