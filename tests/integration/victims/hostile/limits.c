/* SPDX-License-Identifier: MIT */
/*
 * Sets limits for itself while it runs and lives with them: no descriptor, no file size, no
 * pending signal, no process, CPU time that is up.
 *
 *     limits nofile|fsize|sigpending|nproc|cpu|data|core
 *
 * Context: test program.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "hostile.h"

static volatile sig_atomic_t cpu_is_up, file_is_full;

static void on_limit(int signal)
{
	cpu_is_up += signal == SIGXCPU;
	file_is_full += signal == SIGXFSZ;
}

static void *thread_works(void *unused)
{
	hostile_allocates(10);
	spin_cpu_ns(20000000);
	return unused;
}

static void set(int resource, rlim_t soft)
{
	struct rlimit limit;
	getrlimit((__rlimit_resource_t)resource, &limit);
	limit.rlim_cur = soft;
	say("setrlimit: %s\n", outcome(setrlimit((__rlimit_resource_t)resource, &limit)));
}

static void nofile(void)
{
	set(RLIMIT_NOFILE, 0);
	say("open: %s\n", outcome(open("/dev/null", O_RDONLY)));
	int ends[2];
	say("pipe: %s\n", outcome(pipe(ends)));
}

static void fsize(void)
{
	signal(SIGXFSZ, on_limit);
	set(RLIMIT_FSIZE, 1000);
	const int fd = open("limited", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char bytes[600] = {0};
	say("write: %zd", write(fd, bytes, sizeof bytes));
	say(" %zd", write(fd, bytes, sizeof bytes));
	say(" %s, signals %d\n", outcome(write(fd, bytes, sizeof bytes)), (int)file_is_full);
	unlink("limited");
}

static void sigpending_none(void)
{
	set(RLIMIT_SIGPENDING, 0);
	timer_t timer;
	struct sigevent event = {0};
	event.sigev_notify = SIGEV_NONE;
	say("timer_create: %s\n", outcome(timer_create(CLOCK_MONOTONIC, &event, &timer)));
	const union sigval value = {.sival_int = 0};
	signal(SIGRTMIN, on_limit);
	say("sigqueue: %s\n", outcome(sigqueue(getpid(), SIGRTMIN, value)));
}

static void nproc(void)
{
	if (setuid(65534))
		exit(CANNOT_RUN);
	set(RLIMIT_NPROC, 0);
	const pid_t child = fork();
	if (child == 0)
		_exit(0);
	say("fork: %s\n", outcome(child));
	pthread_t thread;
	say("thread: %s\n", strerrorname_np(pthread_create(&thread, NULL, thread_works, NULL)));
}

static void cpu(void)
{
	signal(SIGXCPU, on_limit);
	set(RLIMIT_CPU, 1);
	const int64_t start = process_cpu_ns();
	while (!cpu_is_up && process_cpu_ns() - start < 5000000000)
		spin_briefly();
	say("time is up %d\n", (int)cpu_is_up > 0);
	set(RLIMIT_CPU, RLIM_INFINITY);
}

static void data(void)
{
	set(RLIMIT_DATA, 16 << 20);
	void *block = malloc(64 << 20);
	say("malloc: %s\n", block ? "a block" : strerrorname_np(errno));
	free(block);
}

static void core(void)
{
	set(RLIMIT_CORE, 0);
	const pid_t child = fork();
	if (child == 0) {
		hostile_allocates(5);
		abort();
	}
	int status = 0;
	waitpid(child, &status, 0);
	say("abort: %d\nowes 5\n", WTERMSIG(status));
}

static const struct {
	const char *name;
	void (*run)(void);
} all[] = {
	{"nofile", nofile}, {"fsize", fsize}, {"sigpending", sigpending_none}, {"nproc", nproc}, {"cpu", cpu}, {"data", data}, {"core", core},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof all / sizeof *all; i++)
		if (!strcmp(argv[1], all[i].name))
			all[i].run();
	if (argc > 1 && strcmp(argv[1], "nproc")) {
		pthread_t thread;
		const int error = pthread_create(&thread, NULL, thread_works, NULL);
		say("a thread: %s\n", error ? strerrorname_np(error) : "ok");
		if (!error) {
			pthread_join(thread, NULL);
			say("owes 10\n");
		}
		const pid_t child = fork();
		if (child == 0) {
			hostile_allocates(10);
			_exit(11);
		}
		int status = 0;
		waitpid(child, &status, 0);
		say("a child: %d\n", WEXITSTATUS(status));
		/* A child that may have no descriptor, or no file of any size, has no profile. */
		if (strcmp(argv[1], "nofile") && strcmp(argv[1], "fsize"))
			say("owes 10\n");
	}
	hostile_works();
	return 0;
}
