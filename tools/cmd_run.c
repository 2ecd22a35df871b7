/* SPDX-License-Identifier: MIT */
/*
 * `cprof run [options] -- CMD [ARG...]`: the convenient front.  Options become CPROF_
 * variables, the command runs in the foreground with the library preloaded, and when
 * it has ended and its files are there, a summary of them goes to stderr.
 *
 * Which files are its own is told by the files: CPROF_RUN holds a mark that no other
 * run has, and the collector writes it into each profile.
 *
 * Context: command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "cprof_compiler.h"
#include "cprof_wire.h"
#include "run_files.h"
#include "run_tree.h"
#include "summary.h"

#define STATUS_CANNOT_EXECUTE 126
#define STATUS_NOT_FOUND 127
#define POLL_NS (10 * 1000 * 1000)
#define SETTLED_POLLS 3
#define EXIT_WAIT_DEFAULT_S 10.0
#define OWN_FILES_WAIT_S 1.0

/* Each option sets a variable; `quiet` and `help` are the tool's own. */
static const struct run_option {
	const char *name;
	const char *variable;
	const char *value;
	const char *help;
} run_options[] = {
	{"out", "CPROF_OUT", "DIR", "where the profiles go (default: the current directory)"},
	{"cpu-hz", "CPROF_CPU_HZ", "N", "samples per second of CPU time and thread; 0 = off (100)"},
	{"heap-rate", "CPROF_HEAP_RATE", "BYTES", "mean bytes between samples; 1 = exact, 0 = off (512K)"},
	{"block-rate", "CPROF_BLOCK_RATE", "TIME",
	 "count waits from this long on, shorter ones by chance; 1 = all (0 = off)"},
	{"mutex-fraction", "CPROF_MUTEX_FRACTION", "N",
	 "charge one of N contentions to who held the lock (1 with --block-rate, else 0)"},
	{"signal", "CPROF_SIGNAL", "NAME", "heap snapshot on this signal; none = no signal (USR1)"},
	{"trace", "CPROF_TRACE", "[=flight]",
	 "execution trace of the whole run; flight: of its last seconds, when asked or killed"},
	{"flight-age", "CPROF_FLIGHT_AGE", "TIME", "how far back the last seconds go (10s)"},
	{"flight-bytes", "CPROF_FLIGHT_BYTES", "BYTES", "the most that they may take (10M)"},
	{"flight-signal", "CPROF_FLIGHT_SIGNAL", "NAME", "save them on this signal (none)"},
	{"flight-slow", "CPROF_FLIGHT_SLOW", "NAME:TIME", "save them when a region or task takes longer"},
	{"follow", "CPROF_FOLLOW", "0|1", "profile children as well (1)"},
	{"match", "CPROF_MATCH", "GLOB", "profile only programs whose name matches"},
	{"skip", "CPROF_SKIP", "GLOB", "do not profile programs whose name matches"},
	{"mem", "CPROF_MEM", "BYTES", "the most that the data of one process may take (256M)"},
	{"segment", "CPROF_SEGMENT", "KIND", "auto, memfd or file (auto)"},
	{"exit-wait", "CPROF_EXIT_WAIT", "TIME", "the longest wait for the profiles at the end (10s)"},
	{"collector", "CPROF_COLLECTOR", "PATH", "another collector program"},
	{"http", "CPROF_HTTP", "WHERE", "serve /debug/pprof and /metrics: PORT, HOST:PORT or unix:PATH"},
	{"http-user", "CPROF_HTTP_USER", "NAME", "who may ask, with a password file (admin)"},
	{"http-password-file", "CPROF_HTTP_PASSWORD_FILE", "FILE", "whose first line is the password"},
	{"http-cmdline", "CPROF_HTTP_CMDLINE", "0|1", "show the command line over HTTP (0)"},
	{"interval", "CPROF_INTERVAL", "TIME", "write profiles at intervals, such as 10m"},
	{"keep", "CPROF_KEEP", "N", "how many of these files of each kind stay; 0 = all (24)"},
	{"push", "CPROF_PUSH", "URL", "send the profiles of each interval (15s) to a Pyroscope server"},
	{"labels", "CPROF_LABELS", "LABELS", "what to find them by there: service=checkout,region=eu"},
	{"debuginfod", "CPROF_DEBUGINFOD", "0|1", "allow fetching debug files, see DEBUGINFOD_URLS (0)"},
	{"log", "CPROF_LOG", "LEVEL", "error, warn, info or debug, to stderr (warn)"},
	{"quiet", NULL, NULL, "no summary at the end"},
	{"help", NULL, NULL, "this text"},
};

/* What stands for itself: an option whose value is in brackets. */
#define TRACE_IMPLIED "full"

static bool may_stand_alone(const struct run_option *option)
{
	return option->value && option->value[0] == '[';
}

struct run {
	char mark[RUN_TREE_MARK_BYTES];
	char library[PATH_MAX];
	bool is_quiet;
	char **command;
	pid_t pid;
	struct run_files files;
};

/* Written before the command starts, read by the signal handler. */
static volatile pid_t command_pid;

static void print_help(void)
{
	puts("usage: cprof run [OPTION...] [--] COMMAND [ARGUMENT...]\n\n"
	     "Runs COMMAND and writes its CPU and heap profiles, and those of its children, as\n"
	     "NAME.PID.cpu.pb.gz and NAME.PID.heap.pb.gz.  The exit status is the command's.\n");
	for (size_t i = 0; i < ARRAY_LENGTH(run_options); i++) {
		const struct run_option *option = &run_options[i];
		char left[64];
		const char *blank = option->value && !may_stand_alone(option) ? " " : "";
		snprintf(left, sizeof left, "--%s%s%s", option->name, blank,
			 option->value ? option->value : "");
		printf("  %-25s %s\n", left, option->help);
	}
}

static int reject(const char *what, const char *argument)
{
	fprintf(stderr, "cprof run: %s%s%s; accepted: cprof run [OPTION...] [--] COMMAND [ARGUMENT...] with",
		what, argument ? " " : "", argument ? argument : "");
	for (size_t i = 0; i < ARRAY_LENGTH(run_options); i++)
		fprintf(stderr, " --%s", run_options[i].name);
	fputc('\n', stderr);
	return CMD_STATUS_USAGE;
}

/* Sets the variables right here: they are meant for the command.  Returns 0, or a status to exit with. */
static int parse_options(int argc, char **argv, struct run *run)
{
	struct option long_options[ARRAY_LENGTH(run_options) + 1] = {0};
	int found, index;
	for (size_t i = 0; i < ARRAY_LENGTH(run_options); i++) {
		long_options[i].name = run_options[i].name;
		long_options[i].has_arg = may_stand_alone(&run_options[i]) ? optional_argument
					  : run_options[i].value           ? required_argument
									   : no_argument;
	}
	opterr = 0;
	/* '+': the first word that is no option is the command; ':': say which value is missing. */
	while ((found = getopt_long(argc, argv, "+:", long_options, &index)) != -1) {
		if (found == ':')
			return reject("no value after", argv[optind - 1]);
		if (found != 0)
			return reject("unknown option", argv[optind - 1]);
		const struct run_option *option = &run_options[index];
		if (option->variable) {
			setenv(option->variable, optarg ? optarg : TRACE_IMPLIED, 1);
		} else if (strcmp(option->name, "quiet") == 0) {
			run->is_quiet = true;
		} else {
			print_help();
			exit(0);
		}
	}
	if (optind == argc)
		return reject("a command is missing", NULL);
	run->command = argv + optind;
	return 0;
}

/* Beside the tool (a build directory), else in lib/ beside bin/ (installed).  0 or a status. */
static int find_library(char path[PATH_MAX])
{
	static const char *const places[] = {"libcprof.so", "../lib/libcprof.so"};
	char tool[PATH_MAX], candidate[2 * PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", tool, sizeof tool - 1);
	if (length > 0) {
		tool[length] = '\0';
		*(strrchr(tool, '/') + 1) = '\0';
		for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
			snprintf(candidate, sizeof candidate, "%s%s", tool, places[i]);
			if (!realpath(candidate, path) || access(path, R_OK) != 0)
				continue;
			if (!strpbrk(path, " :"))
				return 0;
			fprintf(stderr,
				"cprof run: LD_PRELOAD cannot hold a path with a blank or a colon: %s\n",
				path);
			return CMD_STATUS_FAILED;
		}
	}
	fputs("cprof run: libcprof.so is neither beside the tool nor in ../lib\n", stderr);
	return CMD_STATUS_FAILED;
}

static const int forwarded_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT};

/*
 * What somebody sends to the tool is meant for the command.  What the terminal sends
 * (si_code > 0) has reached the command already: it is in the same process group.
 */
static void forward(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	int saved_errno = errno;
	if (info->si_code <= 0 && command_pid > 0)
		kill(command_pid, signal_number);
	errno = saved_errno;
}

/* The child's side; on failure errno goes through the pipe, which a successful exec closes. */
static _Noreturn void become_command(const struct run *run, const sigset_t *mask, int failure_fd)
{
	const char *inherited = getenv("LD_PRELOAD");
	char *preload;
	if (asprintf(&preload, "%s%s%s", run->library, inherited && *inherited ? ":" : "",
		     inherited ? inherited : "") >= 0) {
		setenv("LD_PRELOAD", preload, 1);
		setenv(RUN_TREE_ENV, run->mark, 1);
		/* A run inside of a profiled tree is a tree of its own, with its own settings. */
		unsetenv(CPROF_SESSION_ENV);
		sigprocmask(SIG_SETMASK, mask, NULL);
		execvp(run->command[0], run->command);
	}
	int error = errno;
	ssize_t written = write(failure_fd, &error, sizeof error);
	(void)written; /* the exit status tells as well */
	_exit(CMD_STATUS_FAILED);
}

/* Starts the command.  0, or the status to exit with (said why). */
static int start_command(struct run *run, const sigset_t *mask)
{
	int failure[2], error = 0;
	if (pipe2(failure, O_CLOEXEC) != 0 || (run->pid = fork()) < 0) {
		fprintf(stderr, "cprof run: cannot start a process: %s\n", strerror(errno));
		return CMD_STATUS_FAILED;
	}
	if (run->pid == 0)
		become_command(run, mask, failure[1]);
	close(failure[1]);
	ssize_t got;
	do
		got = read(failure[0], &error, sizeof error);
	while (got < 0 && errno == EINTR);
	close(failure[0]);
	if (got != sizeof error)
		return 0;
	waitpid(run->pid, NULL, 0);
	fprintf(stderr, "cprof run: %s: %s\n", run->command[0], strerror(error));
	return error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXECUTE;
}

/* Runs the command to its end.  0, or the status to exit with. */
static int run_command(struct run *run, int *out_wait_status)
{
	sigset_t forwarded, mask;
	sigemptyset(&forwarded);
	for (size_t i = 0; i < ARRAY_LENGTH(forwarded_signals); i++)
		sigaddset(&forwarded, forwarded_signals[i]);
	/* Blocked until there is somebody to forward to. */
	sigprocmask(SIG_BLOCK, &forwarded, &mask);
	int failed = start_command(run, &mask);
	if (failed)
		return failed;

	command_pid = run->pid;
	struct sigaction action = {.sa_sigaction = forward, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigaction inherited[ARRAY_LENGTH(forwarded_signals)];
	for (size_t i = 0; i < ARRAY_LENGTH(forwarded_signals); i++) {
		sigaction(forwarded_signals[i], NULL, &inherited[i]);
		if (inherited[i].sa_handler != SIG_IGN) /* under nohup, say */
			sigaction(forwarded_signals[i], &action, NULL);
	}
	sigprocmask(SIG_SETMASK, &mask, NULL);

	while (waitpid(run->pid, out_wait_status, 0) < 0) {
		if (errno != EINTR) {
			fprintf(stderr, "cprof run: cannot wait for %s: %s\n", run->command[0],
				strerror(errno));
			return CMD_STATUS_FAILED;
		}
	}
	/* From here on ^C ends the tool: only the summary is left. */
	command_pid = 0;
	for (size_t i = 0; i < ARRAY_LENGTH(forwarded_signals); i++)
		sigaction(forwarded_signals[i], &inherited[i], NULL);
	return 0;
}

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* CPROF_EXIT_WAIT in seconds; the library has complained already if it is not readable. */
static double exit_wait_s(void)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
	const char *text = getenv("CPROF_EXIT_WAIT");
	char *end;
	if (!text || text[0] < '0' || text[0] > '9')
		return EXIT_WAIT_DEFAULT_S;
	double number = strtod(text, &end);
	for (size_t i = 0; i < ARRAY_LENGTH(units); i++)
		if (strcmp(end, units[i].name) == 0)
			return number * units[i].seconds;
	return EXIT_WAIT_DEFAULT_S;
}

/*
 * All files are there when the collector has ended.  Where other programs of the tree
 * go on it does not, and only the command's own files are waited for: those of one
 * that was killed may take as long as CPROF_EXIT_WAIT; one that ended by itself has
 * waited already, unless it had nothing to wait for.  Returns how many programs go on.
 */
static size_t wait_for_files(const struct run *run, bool was_killed)
{
	double start = now_s();
	double longest = exit_wait_s();
	double longest_for_own = was_killed || longest < OWN_FILES_WAIT_S ? longest : OWN_FILES_WAIT_S;
	unsigned absences = 0, presences = 0;
	for (;;) {
		struct run_tree_count count = run_tree_count(run->mark);
		double waited = now_s() - start;
		bool has_own = run_files_have_pid(&run->files, run->pid);
		/* More than once: between fork and exec a collector still has the program's name. */
		absences = count.collectors ? 0 : absences + 1;
		presences = count.collectors && count.programs && has_own ? presences + 1 : 0;
		if (absences == SETTLED_POLLS || presences == SETTLED_POLLS ||
		    (count.programs && waited > longest_for_own))
			return count.programs;
		if (waited > longest) {
			fprintf(stderr,
				"cprof run: the profiles are not all written yet; more may follow in %s\n",
				run->files.directory);
			return count.programs;
		}
		nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
	}
}

static void summarise(const struct run *run, size_t programs_left)
{
	struct summary summary = {0};
	run_files_summarise(&run->files, run->mark, &summary);
	if (summary.file_count == 0 && programs_left == 0)
		fprintf(stderr,
			"cprof: no profile was written; is %s statically linked, set-uid, or excluded by "
			"CPROF_MATCH or CPROF_SKIP?\n",
			run->command[0]);
	else
		summary_print(&summary, run->files.directory, stderr);
	if (programs_left)
		fprintf(stderr, "%zu %s of the tree still running; more profiles will follow\n",
			programs_left, programs_left == 1 ? "process" : "processes");
	summary_free(&summary);
}

int cmd_run(int argc, char **argv)
{
	struct run run = {0};
	int status = parse_options(argc, argv, &run);
	if (!status)
		status = find_library(run.library);
	if (status)
		return status;
	const char *out_dir = getenv("CPROF_OUT");
	if (run_tree_make_mark(run.mark) != 0) {
		fputs("cprof run: no random numbers\n", stderr);
		return CMD_STATUS_FAILED;
	}
	run_files_open(&run.files, out_dir && *out_dir ? out_dir : ".");

	int wait_status;
	status = run_command(&run, &wait_status);
	if (status) {
		run_files_close(&run.files);
		return status;
	}
	bool was_killed = WIFSIGNALED(wait_status);
	status = was_killed ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
	size_t programs_left = wait_for_files(&run, was_killed);
	if (!run.is_quiet)
		summarise(&run, programs_left);
	run_files_close(&run.files);
	return status;
}
