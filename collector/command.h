/* SPDX-License-Identifier: MIT */
/*
 * Who sent a command, and what it is to be answered.  A peer reads when it likes: what
 * it has not taken yet waits here, and nobody waits for it.  One that takes nothing
 * for COMMAND_PATIENCE_MS, or that is to be told more than COMMAND_ANSWER_BYTES_MAX,
 * is dropped.
 *
 * Context: collector, main thread.  Never blocks.
 */
#ifndef COLLECTOR_COMMAND_H
#define COLLECTOR_COMMAND_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "cprof_compiler.h"
#include "cprof_wire.h"

/* All of them are ours or root's: strangers are turned away before they get a place. */
#define COMMANDS_MAX 32
#define COMMAND_PATIENCE_MS 5000
#define COMMAND_ANSWER_BYTES_MAX ((size_t)64 << 20)

/* A command and its sender.  Fields are read by who serves it, and written here. */
struct command_peer {
	int fd;             /* -1: the place is free */
	int target_fd;      /* pidfd of the target, or -1 */
	bool is_checked;    /* commands_next() gave it out as new; quick ones are not checked */
	bool is_in_service; /* commands_next() gave it out */
	bool is_answered;   /* the last answer is in `bytes`: it is sent from now on */
	bool is_too_much;
	uid_t uid;
	struct cprof_command command;
	/* What it has not taken yet: messages, each behind its size (uint32_t). */
	unsigned char *bytes;
	size_t begin, end, capacity;
	int64_t taken_ms; /* when it last took a message; monotonic, 0: it could not yet */
};

struct commands {
	struct command_peer peers[COMMANDS_MAX];
};

void commands_init(struct commands *commands);
void commands_close(struct commands *commands);

/* Whether a peer's message is a command, if not one that is understood. */
bool commands_is_one(const void *message, size_t size);

/*
 * Takes over a peer and its command, which has been read from fd.  Refuses at once who
 * has no business here or finds no place.  target_fd: what came with it, or -1; taken
 * over with the peer.
 */
void commands_take(struct commands *commands, int fd, const void *message, size_t size, int target_fd,
		   const struct ucred *sender);

enum command_stage {
	COMMAND_IS_QUICK, /* takes no time */
	COMMAND_IS_NEW,   /* takes long, and is to be checked before it waits for its turn */
	COMMAND_IS_LONG   /* takes long, and was checked */
};

/*
 * The first at that stage; NULL: none.  QUICK and LONG: is to be served, by command_end()
 * at last.  NEW: either command_end(), or command_tell_to_wait().
 */
struct command_peer *commands_next(struct commands *commands, enum command_stage stage);

/* Tells the peer at once that it is in the right place, and will have to wait. */
void command_tell_to_wait(struct command_peer *peer);

/* Answers.  At most CPROF_ANSWER_BYTES_MAX; longer texts go in pieces. */
void command_answer(struct command_peer *peer, enum cprof_answer_what what, const void *bytes, size_t size);
void command_answer_text(struct command_peer *peer, const char *text, size_t size);

/* The last answer: 0, or -errno and one line that says what is wrong. */
void command_end(struct command_peer *peer, int error, const char *format, ...) PRINTF_LIKE(3, 4);

/* Whether the peer has gone away, so that nothing needs to be done for it. */
bool command_is_abandoned(const struct command_peer *peer);

/* Sends what peers take now, and lets go of those that are done, gone or too slow. */
void commands_send(struct commands *commands, int64_t now_ms);

/* Whether nobody is waiting for anything. */
bool commands_are_done(const struct commands *commands);

/* Descriptors to poll for commands_send().  fds has room for COMMANDS_MAX. */
size_t commands_poll_fds(const struct commands *commands, struct pollfd *fds);

#endif
