/* SPDX-License-Identifier: MIT */
/*
 * How a process and its collector find each other.
 *
 * The first process of a tree makes an abstract SOCK_SEQPACKET unix socket with an
 * unguessable name, starts the collector with that listening socket as descriptor
 * CPROF_COLLECTOR_LISTEN_FD, and puts into its environment, for its descendants,
 *
 *     CPROF_SESSION=<name>:<token>:<pid of the first process>
 *
 * (name and token: 32 hex digits each).  The collector gets the same variable.  Each
 * process, the first one too, registers by one connect and one message: a struct
 * cprof_hello with its segment as SCM_RIGHTS descriptor 0 and, where the kernel has
 * pidfds, its own pidfd as descriptor 1.  There is no answer and no wait.
 *
 * The token proves descent, also for a process that changed its uid.
 *
 * The same socket takes commands, from `cprof list`, `set` and `snapshot`: one struct
 * cprof_command, with a pidfd of the target as SCM_RIGHTS descriptor 0 where the kernel
 * has pidfds (the two may live in different pid namespaces).  The answers are messages
 * that begin with a struct cprof_answer, the last one being CPROF_ANSWER_END; then the
 * collector closes.  Here no token is needed: whoever is root, or of the collector's uid
 * with a target of that uid, could read and write the collector's memory anyhow.
 *
 * Context: any: types only.
 */
#ifndef CPROF_WIRE_H
#define CPROF_WIRE_H

#include "cprof_shm.h"

#define CPROF_SESSION_ENV "CPROF_SESSION"
#define CPROF_SESSION_HEX 32
/* Name of the abstract socket: a NUL byte, this, and the name's 32 hex digits. */
#define CPROF_SOCKET_PREFIX "cprof-"

/* In the collector at its start. 2 is the first process's stderr. */
#define CPROF_COLLECTOR_LISTEN_FD 3

struct cprof_hello {
	uint64_t magic;   /* CPROF_MAGIC */
	uint32_t version; /* CPROF_SHM_VERSION */
	uint32_t pid;     /* as the process sees itself */
	uint8_t token[CPROF_TOKEN_BYTES];
	uint32_t is_first;
	uint32_t
		is_again; /* its collector died: in place of what this process registered before, if anything */
};
_Static_assert(sizeof(struct cprof_hello) == 40, "layout");

/* ---- commands ------------------------------------------------------------------------------- */

#define CPROF_COMMAND_MAGIC UINT64_C(0x31444d4346525043) /* "CPRFCMD1" in memory */

enum cprof_command_what {
	CPROF_COMMAND_LIST = 1,     /* a PROCESS answer for each process of the tree */
	CPROF_COMMAND_SET = 2,      /* a PROCESS answer with the rates that are in force now */
	CPROF_COMMAND_SNAPSHOT = 3, /* a FILE answer for each profile that was written */
	CPROF_COMMAND_TOP = 4       /* TEXT: what it did since the same command before */
};

/* Kinds of a snapshot: bits. */
#define CPROF_SNAPSHOT_CPU 1u
#define CPROF_SNAPSHOT_HEAP 2u
#define CPROF_SNAPSHOT_BLOCK 4u
#define CPROF_SNAPSHOT_MUTEX 8u
#define CPROF_SNAPSHOT_THREADCREATE 16u
#define CPROF_SNAPSHOT_THREADS 32u
#define CPROF_SNAPSHOT_ALL 63u
/* Not one of all: the flight recorder's window, in both forms. */
#define CPROF_SNAPSHOT_FLIGHT 64u

/* Which of the rates are meant: bits. */
#define CPROF_RATE_CPU_HZ 1u
#define CPROF_RATE_HEAP 2u
#define CPROF_RATE_BLOCK 4u
#define CPROF_RATE_MUTEX 8u
#define CPROF_RATE_TRACE 16u
#define CPROF_RATE_ALL 31u

struct cprof_rates {
	uint32_t which; /* CPROF_RATE_* */
	uint32_t cpu_hz;
	uint64_t heap_rate_bytes;
	uint64_t block_rate_ns;
	uint32_t mutex_fraction;
	uint32_t trace; /* bits CPROF_TRACE_*; to be set: 0 or FLIGHT */
};
_Static_assert(sizeof(struct cprof_rates) == 32, "layout");

struct cprof_command {
	uint64_t magic;   /* CPROF_COMMAND_MAGIC */
	uint32_t version; /* CPROF_SHM_VERSION */
	uint32_t what;    /* enum cprof_command_what */
	uint32_t pid;     /* of the target as the sender sees it: used when there is no pidfd */
	uint32_t kinds;   /* CPROF_SNAPSHOT_*; 0: each one that is on */
	struct cprof_rates rates;
	uint64_t reserved;
};
_Static_assert(sizeof(struct cprof_command) == 64, "layout");

enum cprof_answer_what {
	CPROF_ANSWER_PROCESS = 1, /* struct cprof_process */
	CPROF_ANSWER_FILE = 2,    /* an absolute path, without a terminator */
	CPROF_ANSWER_TEXT = 3,    /* a piece of a thread dump as text */
	CPROF_ANSWER_WAIT = 4,    /* the process is known here; what is wanted of it takes a while */
	CPROF_ANSWER_END = 5      /* one line that says what is wrong, empty if `error` is 0 */
};

/* No answer is longer. */
#define CPROF_ANSWER_BYTES_MAX 8192u

struct cprof_answer {
	uint64_t magic;   /* CPROF_COMMAND_MAGIC */
	uint32_t version; /* CPROF_SHM_VERSION: of another one only an END is understood */
	uint32_t what;    /* enum cprof_answer_what */
	int32_t error;    /* END: 0 or -errno; -ESRCH: this collector does not know the process */
	uint32_t bytes;   /* that follow */
};
_Static_assert(sizeof(struct cprof_answer) == 24, "layout");

#define CPROF_WIRE_KINDS_MAX 8u
#define CPROF_WIRE_COUNTERS_MAX 32u

/* A live process as `cprof list` shows it. */
struct cprof_process {
	uint32_t pid;     /* as the collector sees it; 0: not visible from there */
	uint32_t own_pid; /* as it sees itself */
	uint32_t uid;     /* that its segment belongs to */
	uint32_t thread_count;
	uint64_t running_ns;
	struct cprof_rates rates; /* in force */
	uint32_t heap_state;      /* enum cprof_heap_state */
	uint32_t pid_namespace; /* in which the collector sees `pid`: the inode of its ns/pid, 0: not known */
	uint64_t segment_bytes;
	uint64_t segment_used_bytes;
	/* By enum cprof_kind: what the samples so far stand for. */
	uint64_t weights[CPROF_WIRE_KINDS_MAX]; /* events; 16 fractional bits */
	uint64_t values[CPROF_WIRE_KINDS_MAX];
	uint64_t counters[CPROF_WIRE_COUNTERS_MAX]; /* by enum cprof_counter */
	char name[CPROF_NAME_BYTES];
};
_Static_assert(sizeof(struct cprof_process) == 528, "layout");
_Static_assert(CPROF_KIND_COUNT <= CPROF_WIRE_KINDS_MAX, "kinds fit");
_Static_assert(CPROF_COUNTER_COUNT <= CPROF_WIRE_COUNTERS_MAX, "counters fit");

/* A raw segment that was kept: $CPROF_OUT/.NAME.PID.cprof, read by `cprof recover`. */
#define CPROF_SEGMENT_FILE_PREFIX "."
#define CPROF_SEGMENT_FILE_SUFFIX ".cprof"

#endif
