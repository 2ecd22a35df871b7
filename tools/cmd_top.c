/* SPDX-License-Identifier: MIT */
/*
 * `cprof top PID`: where CPU time, allocation and waiting go, anew each second until q is
 * pressed; without a terminal, once.
 *
 * Each question is asked by a child: whoever asks may have to enter the namespaces of the
 * process, and there is no way back from all of them.
 *
 * Context: command line.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cmd.h"
#include "collector_peer.h"

#define FRAME_MS 1000
#define CLEAR "\033[H\033[2J"

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
	(void)number;
	is_interrupted = 1;
}

static void print_help(void)
{
	puts("usage: cprof top PID\n\n"
	     "Shows, anew each second, where a live process spends CPU time, who allocates, who waits and\n"
	     "who keeps others waiting; q ends it.  Where the output is no terminal, shows one second.");
}

/* What becomes of an answer. */
enum page { PAGE_NOT_SHOWN, PAGE_BELOW, PAGE_ON_SCREEN };

static void print_page(enum cprof_answer_what what, const void *bytes, size_t size, void *page)
{
	if (what != CPROF_ANSWER_TEXT || *(enum page *)page == PAGE_NOT_SHOWN)
		return;
	if (*(enum page *)page == PAGE_ON_SCREEN)
		fputs(CLEAR, stdout);
	*(enum page *)page = PAGE_BELOW; /* the rest of it */
	collector_print(stdout, bytes, size, true);
}

/* One question.  0, or EXIT_FAILURE and said why. */
static int ask(pid_t pid, enum page page)
{
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		struct cprof_command command = {.what = CPROF_COMMAND_TOP};
		int failed = collector_ask_about("top", pid, &command, print_page, &page);
		_exit(fflush(stdout) == 0 ? failed : EXIT_FAILURE);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0 && !is_interrupted)
		;
	return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

/* Waits for the next frame.  False: it is enough. */
static bool wait_for_frame(bool has_keys)
{
	struct pollfd key = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
	char c = 0;
	if (poll(&key, 1, FRAME_MS) == 1 && (read(STDIN_FILENO, &c, 1) <= 0 || c == 'q' || c == 'Q'))
		return false;
	return !is_interrupted;
}

static int show_frames(pid_t pid)
{
	int status = 0;
	struct termios before;
	struct termios keys;
	const struct sigaction interrupt = {.sa_handler = on_interrupt};
	bool has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGTERM, &interrupt, NULL);
	if (has_keys) {
		keys = before;
		keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &keys);
	}
	while (!status && wait_for_frame(has_keys))
		status = ask(pid, PAGE_ON_SCREEN);
	if (has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return status;
}

static int show_once(pid_t pid)
{
	wait_for_frame(false);
	return ask(pid, PAGE_BELOW);
}

int cmd_top(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return EXIT_SUCCESS;
	}
	if (argc != 2) {
		fputs("cprof top: accepted: cprof top PID\n", stderr);
		return EXIT_FAILURE;
	}
	pid_t pid = collector_parse_pid("top", argv[1]);
	if (!pid)
		return EXIT_FAILURE;
	/* The first question only begins a second. */
	int status = ask(pid, PAGE_NOT_SHOWN);
	if (status)
		return status;
	return isatty(STDOUT_FILENO) ? show_frames(pid) : show_once(pid);
}
