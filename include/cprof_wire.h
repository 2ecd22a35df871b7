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
	uint32_t reserved;
};
_Static_assert(sizeof(struct cprof_hello) == 40, "layout");

/* A raw segment that was kept: $CPROF_OUT/.NAME.PID.cprof, read by `cprof recover`. */
#define CPROF_SEGMENT_FILE_PREFIX "."
#define CPROF_SEGMENT_FILE_SUFFIX ".cprof"

#endif
