/* SPDX-License-Identifier: MIT */
/*
 * cprof-collector --serve: started by libcprof.so in the first process of a tree,
 * with descriptor 2 = that process's stderr and 3 = the listening socket.  From here
 * on nothing may tie us to the program: no descriptor, directory, session or signal.
 *
 * Context: collector.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "answer_store.h"
#include "cprof_version.h"
#include "image.h"
#include "log.h"
#include "loop.h"

#define WORK_STACK_BYTES ((size_t)8 << 20)

/*
 * jemalloc's own words go nowhere: until detach() stderr is the program's, and an allocator that starts without
 * memory (its check of MADV_DONTNEED, say) would write there.
 */
static void say_nothing(void *unused, const char *text)
{
	(void)unused;
	(void)text;
}

extern void (*malloc_message)(void *, const char *) __attribute__((weak)); /* not with a sanitizer */

static void silence_allocator(void)
{
	if (&malloc_message)
		malloc_message = say_nothing;
}

/* Before the constructors, of which jemalloc's is one. */
static void (*const before_constructors)(void)
	__attribute__((section(".preinit_array"), used)) = silence_allocator;

/* Signals whose default would end a collector that did nothing wrong. */
static void reset_signals(void)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGXFSZ, SIGXCPU};
	sigset_t none;
	for (int signal_number = 1; signal_number < NSIG; signal_number++)
		signal(signal_number, SIG_DFL); /* fails for KILL, STOP and libc's own: as it should */
	for (size_t i = 0; i < ARRAY_LENGTH(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* Leaves stderr to log.c alone, as a descriptor that dies with an exec. */
static void detach(void)
{
	int log_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, CPROF_COLLECTOR_LISTEN_FD + 1);
	if (log_fd >= 0)
		log_open(log_fd, log_level_of(secure_getenv("CPROF_LOG")));
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	fcntl(CPROF_COLLECTOR_LISTEN_FD, F_SETFD, FD_CLOEXEC);
	if (chdir("/"))
		log_warn("cannot change to the root directory");
	setsid(); /* fails when we lead a session already, which is as good */
	umask(077);
}

/* Before the working directory is left: paths may be relative to it.  What is wrong is said after detach(). */
static int prepare_http(struct http_config *config, char out_error[HTTP_CONFIG_ERROR_BYTES])
{
	out_error[0] = '\0';
	if (http_config_read_environment(config, out_error) || !config->is_on)
		return -1;
	int fd = http_config_listen(config);
	if (fd >= 0)
		return fd;
	snprintf(out_error, HTTP_CONFIG_ERROR_BYTES,
		 "CPROF_HTTP=%.200s: cannot listen: %s; nothing is served", secure_getenv("CPROF_HTTP"),
		 log_error_text(-fd));
	config->is_on = false;
	return -1;
}

static void report_http(const struct loop_config *config, const char *error)
{
	char where[256];
	if (error[0])
		log_error("%s", error);
	if (config->http_fd < 0)
		return;
	http_config_describe(&config->http, config->http_fd, where, sizeof where);
	log_info("serving on %s/debug/pprof/", where);
}

static const char *read_out_dir(void)
{
	const char *out = secure_getenv("CPROF_OUT");
	return out && out[0] == '/' ? out : NULL;
}

static void read_interval(struct interval_config *config)
{
	char error[INTERVAL_ERROR_BYTES] = "";
	if (interval_config_read(secure_getenv("CPROF_INTERVAL"), secure_getenv("CPROF_KEEP"), config, error))
		log_warn("%s", error);
}

static void read_push(struct push_config *config)
{
	char error[PUSH_ERROR_BYTES] = "";
	if (push_config_read_environment(config, error))
		log_error("%s", error);
}

/* The loop's arguments and result, for the thread that it runs on. */
struct job {
	const struct inheritance *inheritance;
	void *argument;
	int result;
};

static void *run_job(void *job_pointer)
{
	struct job *job = job_pointer;
	job->result = loop_run(job->inheritance, job->argument);
	return NULL;
}

/*
 * The main thread's stack is as small as the program's hard RLIMIT_STACK wants it; DWARF
 * needs more.
 */
static int run_on_own_stack(const struct inheritance *inheritance, void *argument)
{
	struct job job = {.inheritance = inheritance, .argument = argument};
	pthread_attr_t attributes;
	pthread_t thread;
	if (pthread_attr_init(&attributes))
		return loop_run(inheritance, argument);
	int error = pthread_attr_setstacksize(&attributes, WORK_STACK_BYTES);
	if (!error)
		error = pthread_create(&thread, &attributes, run_job, &job);
	pthread_attr_destroy(&attributes);
	if (error)
		return loop_run(inheritance, argument);
	pthread_join(thread, NULL);
	return job.result;
}

static int serve(void)
{
	struct loop_config config = {.listen_fd = CPROF_COLLECTOR_LISTEN_FD};
	int is_listening = 0;
	socklen_t size = sizeof is_listening;
	bool is_worker;
	char http_error[HTTP_CONFIG_ERROR_BYTES];
	syscall(SYS_close_range, CPROF_COLLECTOR_LISTEN_FD + 1, ~0u, 0);
	reset_signals();
	config.http_fd = prepare_http(&config.http, http_error);
	detach();
	report_http(&config, http_error);
	read_interval(&config.interval);
	config.out_dir = read_out_dir();
	read_push(&config.push);
	image_keep_answers(answer_store_open(secure_getenv("XDG_CACHE_HOME"), secure_getenv("HOME")));
	if (getsockopt(CPROF_COLLECTOR_LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) ||
	    !is_listening) {
		log_error("cprof-collector: descriptor %d is no listening socket", CPROF_COLLECTOR_LISTEN_FD);
		return 2;
	}
	if (session_parse(secure_getenv(CPROF_SESSION_ENV), &config.session)) {
		log_error("cprof-collector: " CPROF_SESSION_ENV " is missing or malformed");
		return 2;
	}
	fcntl(CPROF_COLLECTOR_LISTEN_FD, F_SETFL, O_NONBLOCK);
	return supervisor_run(run_on_own_stack, &config, &is_worker);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--serve") == 0)
		return serve();
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("cprof-collector " CPROF_VERSION);
		return 0;
	}
	fputs("usage: cprof-collector --serve\nStarted by libcprof.so; see cprof(1).\n", stderr);
	return 2;
}
