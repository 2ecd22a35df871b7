/* SPDX-License-Identifier: MIT */
/*
 * What people may mean by a PID: whose process it is, in which network namespace its
 * collector listens, and why it cannot be commanded.
 *
 * Context: command line.
 */
#include "collector_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cprof_units.h"

pid_t collector_parse_pid(const char *name, const char *text)
{
	uint64_t pid;
	if (cprof_read_number(text, INT32_MAX, &pid) && pid > 0)
		return (pid_t)pid;
	fprintf(stderr, "cprof %s: %s: accepted is the PID of a live process\n", name, text);
	return 0;
}

static bool has_ended(pid_t pid)
{
	char path[64];
	char state = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	bool has_state = file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
	if (file)
		fclose(file);
	return !file || (has_state && (state == 'Z' || state == 'X'));
}

/* Goes into the process's namespace of this kind.  0; -EALREADY: it is ours; -errno. */
static int enter(pid_t pid, const char *kind, int flag)
{
	char path[64];
	struct stat here, there;
	snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
	bool is_known = stat(path, &here) == 0;
	snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int error = 0;
	if (is_known && fstat(fd, &there) == 0 && here.st_ino == there.st_ino && here.st_dev == there.st_dev)
		error = -EALREADY;
	else if (setns(fd, flag))
		error = -errno;
	close(fd);
	return error;
}

/* The same for the user namespace, and become its root, if that is given to us. */
static int enter_user(pid_t pid)
{
	int error = enter(pid, "user", CLONE_NEWUSER);
	if (!error && geteuid() != 0 && setresuid(0, 0, 0))
		error = -errno;
	return error;
}

static void say(const char *name, pid_t pid, const char *line)
{
	fprintf(stderr, "cprof %s: process %d: ", name, pid);
	collector_print(stderr, line, strlen(line), false);
	fputc('\n', stderr);
}

/* Why nobody could be asked about the process, or nobody knew it; `line`: what a collector said. */
static void explain_absence(const char *name, pid_t pid, int network_error, const char *line)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d", pid);
	if (stat(path, &st) || has_ended(pid)) {
		fprintf(stderr, "cprof %s: there is no process %d\n", name, pid);
		return;
	}
	if (geteuid() != 0 && st.st_uid != geteuid()) {
		const struct passwd *owner = getpwuid(st.st_uid);
		fprintf(stderr,
			"cprof %s: process %d belongs to another user (%s): accepted are your own, or be "
			"root\n",
			name, pid, owner ? owner->pw_name : "of no name");
	} else if (network_error) {
		fprintf(stderr,
			"cprof %s: process %d cannot be reached: its network namespace cannot be entered: "
			"%s\n",
			name, pid, strerror(-network_error));
	} else if (line[0]) {
		fprintf(stderr, "cprof %s: process %d is not profiled as far as is known: ", name, pid);
		collector_print(stderr, line, strlen(line), false);
		fputc('\n', stderr);
	} else {
		fprintf(stderr,
			"cprof %s: process %d is not profiled: accepted is one that runs with libcprof.so, "
			"see `cprof list`\n",
			name, pid);
	}
}

int collector_ask_about(const char *name, pid_t pid, struct cprof_command *command,
			collector_on_answer on_answer, void *argument)
{
	char line[COLLECTOR_LINE_BYTES] = "";
	command->magic = CPROF_COMMAND_MAGIC;
	command->version = CPROF_SHM_VERSION;
	command->pid = (uint32_t)pid;
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int own_network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int error = -ESRCH;
	/* Its own network first: an image that it left by exec may still be known in another. */
	int network_error = enter(pid, "net", CLONE_NEWNET);
	if (network_error == 0) {
		error = collector_link_ask(command, pidfd, on_answer, argument, line);
		if (error == -ESRCH && setns(own_network, CLONE_NEWNET))
			network_error = -errno;
	}
	if (error == -ESRCH)
		error = collector_link_ask(command, pidfd, on_answer, argument, line);
	/*
	 * Last, since there is no way back: in its user namespace our user may enter its
	 * network, and be somebody whom its collector knows.
	 */
	if (((error == -ESRCH && network_error == -EPERM) || error == -EPERM) && enter_user(pid) == 0) {
		network_error = enter(pid, "net", CLONE_NEWNET);
		if (network_error == 0 || network_error == -EALREADY)
			error = collector_link_ask(command, pidfd, on_answer, argument, line);
	}
	if (network_error == -EALREADY)
		network_error = 0;
	if (own_network >= 0)
		close(own_network);
	if (pidfd >= 0)
		close(pidfd);
	if (error == -ESRCH)
		explain_absence(name, pid, network_error, line);
	else if (error)
		say(name, pid, line);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

void collector_ask_all(struct cprof_command *command, collector_on_answer on_answer, void *argument)
{
	command->magic = CPROF_COMMAND_MAGIC;
	command->version = CPROF_SHM_VERSION;
	if (collector_link_ask_all(command, on_answer, argument))
		fputs("cprof list: a collector does not answer, or is of another version: its processes are "
		      "missing\n",
		      stderr);
}

void collector_print(FILE *stream, const char *bytes, size_t size, bool is_text)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)bytes[i];
		bool is_harmless = (c >= 0x20 && c != 0x7f) || (is_text && (c == '\n' || c == '\t'));
		fputc(is_harmless ? c : '?', stream);
	}
}
