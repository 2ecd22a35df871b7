/* SPDX-License-Identifier: MIT */
/*
 * A program whose CPU time is split between known functions by its own thread CPU
 * clocks: f1 half, f2 three tenths, f3 the rest, in slices of random length so that
 * nothing beats with the timer.
 *
 *     cpu_shares MODE MILLISECONDS
 *
 * Prints "f1 NS" and so on (inclusive time, as the profile's cumulative column has
 * it), "threadN NS" for each thread's first function, "clock NS": the process's CPU
 * clock from the start to the end of main, and "preempted N": how often the kernel
 * took the CPU away.
 *
 * Context: test program.
 */
#include "victim.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

static _Atomic int64_t spent_ns[3];
static _Atomic int64_t handler_ns;
static _Atomic int64_t thread_ns[4];

FRAME int64_t f1(int64_t ns) { return spin_cpu_ns(ns); }
FRAME int64_t f2(int64_t ns) { return spin_cpu_ns(ns); }
FRAME int64_t f3(int64_t ns) { return spin_cpu_ns(ns); }

/* Runs f1, f2, f3 for ns in all, always the one that lags most behind its share. */
static inline __attribute__((always_inline)) int64_t run_shares(int64_t ns, uint64_t seed)
{
	static int64_t (*const functions[3])(int64_t) = {f1, f2, f3};
	static const double shares[3] = {0.5, 0.3, 0.2};
	int64_t mine[3] = {0};
	int64_t all = 0;
	seed = seed * 2654435769u + 88172645463325252u;
	while (all < ns) {
		int pick = 0;
		for (int i = 1; i < 3; i++)
			if (shares[i] * (double)all - (double)mine[i] > shares[pick] * (double)all - (double)mine[pick])
				pick = i;
		int64_t slice = 300000 + (int64_t)(random_next(&seed) % 6000000);
		if (slice > ns - all)
			slice = ns - all;
		slice = functions[pick](slice);
		mine[pick] += slice;
		all += slice;
	}
	for (int i = 0; i < 3; i++)
		spent_ns[i] += mine[i];
	return all;
}

FRAME void main_work(int64_t ns) { run_shares(ns, 1); NO_TAIL_CALL(); }

/* ---- threads ---- */

struct job {
	int64_t ns;
	uint64_t seed;
	int number;
	int block_signals;
};

FRAME void thread1(const struct job *j) { thread_ns[0] += run_shares(j->ns, j->seed); }
FRAME void thread2(const struct job *j) { thread_ns[1] += run_shares(j->ns, j->seed); }
FRAME void thread3(const struct job *j) { thread_ns[2] += run_shares(j->ns, j->seed); }
FRAME void thread4(const struct job *j) { thread_ns[3] += run_shares(j->ns, j->seed); }

static void *thread_main(void *argument)
{
	static void (*const bodies[4])(const struct job *) = {thread1, thread2, thread3, thread4};
	const struct job *j = argument;
	sigset_t all;
	sigfillset(&all);
	if (j->block_signals == 1)
		pthread_sigmask(SIG_BLOCK, &all, NULL);
	else if (j->block_signals == 2) /* behind everyone's back: cannot be sampled */
		syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 8);
	bodies[j->number](j);
	return NULL;
}

static pthread_t start_job(struct job *j, size_t stack_bytes)
{
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	if (stack_bytes && pthread_attr_setstacksize(&attributes, stack_bytes) != 0)
		abort();
	pthread_t thread;
	if (pthread_create(&thread, &attributes, thread_main, j) != 0)
		abort();
	pthread_attr_destroy(&attributes);
	return thread;
}

static void mode_four(int64_t ns)
{
	struct job jobs[4];
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) {
		jobs[i] = (struct job){.ns = ns * (i + 1) / 10, .seed = (uint64_t)i + 2, .number = i};
		threads[i] = start_job(&jobs[i], 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void mode_short(int64_t ns)
{
	const int64_t life_ns = 50000000;
	int64_t started = 0;
	for (uint64_t seed = 3; started < ns; seed += 2) {
		struct job a = {.ns = life_ns, .seed = seed, .number = 0};
		struct job b = {.ns = life_ns, .seed = seed + 1, .number = 1};
		pthread_t first = start_job(&a, 0);
		pthread_t second = start_job(&b, 0);
		pthread_join(first, NULL);
		pthread_join(second, NULL);
		started += 2 * life_ns;
	}
}

static void mode_one_thread(int64_t ns, size_t stack_bytes, int block_signals)
{
	struct job j = {.ns = ns, .seed = 4, .number = 0, .block_signals = block_signals};
	pthread_join(start_job(&j, stack_bytes), NULL);
}

/* ---- signal handlers ---- */

FRAME void handler_work(void)
{
	handler_ns += spin_cpu_ns(7300000);
}

/*
 * The alarm may come in step with the kernel's tick, and then the work would always lie
 * alike between the samples: it begins after a part of a period that is drawn each time.
 */
static void on_alarm(int signal)
{
	static uint64_t state = 6;
	(void)signal;
	spin_cpu_ns((int64_t)(random_next(&state) % 4000000));
	handler_work();
	NO_TAIL_CALL();
}

static void mode_handler(int64_t ns, int full_mask, int flags, size_t alternate_bytes)
{
	static char alternate[65536];
	const stack_t stack = {.ss_sp = alternate, .ss_size = alternate_bytes};
	if (flags & SA_ONSTACK && sigaltstack(&stack, NULL) != 0)
		abort();
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART | flags};
	sigemptyset(&action.sa_mask);
	if (full_mask)
		sigfillset(&action.sa_mask);
	sigaction(SIGALRM, &action, NULL);
	const struct itimerval every = {{0, 23000}, {0, 23000}};
	setitimer(ITIMER_REAL, &every, NULL);
	main_work(ns);
	const struct itimerval never = {{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &never, NULL);
}

/* ---- deep stacks without frame pointers ---- */

FRAME void deep_odd(int depth, int64_t ns);
FRAME void deep_even(int depth, int64_t ns);

FRAME void deep_even(int depth, int64_t ns)
{
	volatile char room[24 + 16];
	room[0] = (char)depth;
	if (depth == 0)
		run_shares(ns, 5);
	else
		deep_odd(depth - 1, ns);
	room[1] = room[0];
}

FRAME void deep_odd(int depth, int64_t ns)
{
	/* A variable frame: this one needs a frame pointer, its neighbours have none. */
	volatile char *room = __builtin_alloca((size_t)(depth % 7) * 40 + 8);
	room[0] = (char)depth;
	if (depth == 0)
		run_shares(ns, 6);
	else
		deep_even(depth - 1, ns);
	room[1] = room[0];
}

/* ---- a fiber ---- */

static ucontext_t fiber_context, main_context;
static int64_t fiber_work_ns;

FRAME void fiber_main(void)
{
	run_shares(fiber_work_ns, 7);
	swapcontext(&fiber_context, &main_context);
}

static void mode_fiber(int64_t ns)
{
	static char stack[65536];
	fiber_work_ns = ns;
	getcontext(&fiber_context);
	fiber_context.uc_stack.ss_sp = stack;
	fiber_context.uc_stack.ss_size = sizeof stack;
	fiber_context.uc_link = NULL;
	makecontext(&fiber_context, fiber_main, 0);
	swapcontext(&main_context, &fiber_context);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const int64_t start = process_cpu_ns();
	const char *mode = argv[1];
	const int64_t ns = strtoll(argv[2], NULL, 10) * 1000000;
	if (!strcmp(mode, "single"))
		main_work(ns);
	else if (!strcmp(mode, "four"))
		mode_four(ns);
	else if (!strcmp(mode, "short"))
		mode_short(ns);
	else if (!strcmp(mode, "small-stack"))
		mode_one_thread(ns, 16384, 0);
	else if (!strcmp(mode, "blocked"))
		mode_one_thread(ns, 0, 1);
	else if (!strcmp(mode, "raw-blocked"))
		mode_one_thread(ns, 0, 2);
	else if (!strcmp(mode, "handler"))
		mode_handler(ns, 0, 0, 0);
	else if (!strcmp(mode, "handler-masked"))
		mode_handler(ns, 1, 0, 0);
	else if (!strcmp(mode, "handler-altstack"))
		mode_handler(ns, 1, SA_ONSTACK, 65536);
	else if (!strcmp(mode, "handler-smallstack")) /* less than Debian's SIGSTKSZ asks for */
		mode_handler(ns, 0, SA_ONSTACK, getauxval(AT_MINSIGSTKSZ) + 6144);
	else if (!strcmp(mode, "handler-tinystack")) /* as much as the kernel asks for, and a little for the handler */
		mode_handler(ns, 0, SA_ONSTACK, getauxval(AT_MINSIGSTKSZ) + 1024);
	else if (!strcmp(mode, "deep"))
		deep_even(90, ns);
	else if (!strcmp(mode, "too-deep"))
		deep_even(300, ns);
	else if (!strcmp(mode, "fiber"))
		mode_fiber(ns);
	else
		return 2;
	printf("f1 %lld\nf2 %lld\nf3 %lld\n", (long long)spent_ns[0], (long long)spent_ns[1], (long long)spent_ns[2]);
	printf("handler_work %lld\n", (long long)handler_ns);
	for (int i = 0; i < 4; i++)
		printf("thread%d %lld\n", i + 1, (long long)thread_ns[i]);
	printf("clock %lld\n", (long long)(process_cpu_ns() - start));
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	printf("preempted %ld\n", usage.ru_nivcsw);
	return 0;
}
