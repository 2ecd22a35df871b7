/* SPDX-License-Identifier: MIT */
/*
 * Waits in io_uring_enter(), while another thread sends it signals that look like those of
 * cprof's CPU timers; these it knows by what /proc/self/timers says of the waiter's own.
 * After that a signal of the program's own ends one.  With a number: so many waits, and no
 * signals but the timers' own.  Context: test program.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS 20

static int ring;
static uint32_t *sq_tail, *sq_mask, *sq_array, *cq_head;
static struct io_uring_sqe *entries;
static pid_t waiter;
static volatile sig_atomic_t handled;

static int is_by_libc;

/* As liburing makes it, or by syscall(). */
static long enter(unsigned submit, unsigned wait, unsigned flags)
{
	if (is_by_libc) {
		long got = syscall(SYS_io_uring_enter, ring, submit, wait, flags, NULL, 8);
		return got < 0 ? -errno : got;
	}
	register long r10 __asm__("r10") = flags;
	register long r8 __asm__("r8") = 0;
	register long r9 __asm__("r9") = 8;
	long result;
	__asm__ volatile("movl $426, %%eax\n\tsyscall"
			 : "=a"(result)
			 : "D"(ring), "S"(submit), "d"(wait), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static int open_ring(void)
{
	struct io_uring_params p;
	memset(&p, 0, sizeof p);
	ring = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (ring < 0)
		return 0;
	char *sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
			IORING_OFF_SQ_RING);
	char *cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE,
			MAP_SHARED, ring, IORING_OFF_CQ_RING);
	entries = mmap(NULL, p.sq_entries * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		       IORING_OFF_SQES);
	sq_tail = (uint32_t *)(sq + p.sq_off.tail);
	sq_mask = (uint32_t *)(sq + p.sq_off.ring_mask);
	sq_array = (uint32_t *)(sq + p.sq_off.array);
	cq_head = (uint32_t *)(cq + p.cq_off.head);
	return 1;
}

/* Ends a wait; with IOSQE_ASYNC later, by another thread of the kernel. */
static void complete(uint8_t flags)
{
	uint32_t tail = *sq_tail, at = tail & *sq_mask;
	memset(&entries[at], 0, sizeof entries[at]);
	entries[at].opcode = IORING_OP_NOP;
	entries[at].flags = flags;
	sq_array[at] = at;
	__atomic_store_n(sq_tail, tail + 1, __ATOMIC_RELEASE);
	enter(1, 0, 0);
}

/* What the timers' signals carry; 0: there are none, or they cannot be seen. */
static uintptr_t timer_mark(void)
{
	char line[200];
	unsigned long mark = 0;
	int number;
	FILE *timers = fopen("/proc/self/timers", "r");
	while (timers && fgets(line, sizeof line, timers))
		if (sscanf(line, "signal: %d/%lx", &number, &mark) == 2 && number == SIGPROF)
			break;
	if (timers)
		fclose(timers);
	return mark;
}

/* Until the waiter sleeps in its wait. */
static void await_sleep(void)
{
	char path[100], line[300];
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", waiter);
	for (char state = 0; state != 'S'; usleep(1000)) {
		FILE *stat = fopen(path, "r");
		const char *end = fgets(line, sizeof line, stat) ? strrchr(line, ')') : NULL;
		state = end ? end[2] : 0;
		fclose(stat);
	}
}

static void on_signal(int number)
{
	(void)number;
	handled = 1;
}

/* Several in each wait; each has to be taken before the next. */
static void send(uintptr_t mark)
{
	siginfo_t info;
	memset(&info, 0, sizeof info);
	info.si_signo = SIGPROF;
	info.si_code = SI_TIMER;
	info.si_value.sival_ptr = (void *)mark;
	for (int i = 0; i < 5; i++) {
		await_sleep();
		if (mark)
			syscall(SYS_rt_tgsigqueueinfo, getpid(), waiter, SIGPROF, &info);
	}
	await_sleep();
}

static void *disturb(void *mark)
{
	for (int round = 0; round < ROUNDS; round++) {
		send((uintptr_t)mark);
		complete(0);
	}
	await_sleep();
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = on_signal;
	sigaction(SIGUSR2, &action, NULL);
	syscall(SYS_tgkill, getpid(), waiter, SIGUSR2);
	return NULL;
}

static long await(void)
{
	long result = enter(0, 1, IORING_ENTER_GETEVENTS);
	if (result == 0)
		__atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
	return result;
}

static int waits(long count)
{
	long interrupted = 0;
	for (long i = 0; i < count; i++) {
		complete(IOSQE_ASYNC);
		for (volatile int spin = 0; spin < 2000; spin++)
			;
		while (await() == -EINTR)
			interrupted++;
	}
	printf("%ld waits, interrupted %ld\n", count, interrupted);
	return 0;
}

int main(int argc, char **argv)
{
	if (!open_ring())
		return 77;
	if (argc > 1)
		return waits(atol(argv[1]));
	uintptr_t mark = timer_mark();
	int interrupted = 0;
	pthread_t other;
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = on_signal;
	waiter = getpid();
	fprintf(stderr, "%s\n", mark ? "sends" : "none");
	pthread_create(&other, NULL, disturb, (void *)mark);
	sigaction(SIGSEGV, &action, NULL); /* as Rust's library and crash reporters do */
	for (int round = 0; round < ROUNDS; round++) {
		is_by_libc = round % 2;
		while (await() == -EINTR)
			interrupted++;
	}
	printf("%d waits, interrupted %d\n", ROUNDS, interrupted);
	long result;
	while ((result = await()) == -EINTR && !handled)
		;
	pthread_join(other, NULL);
	printf("its own signal: %s, handled %d\n", result == -EINTR ? "EINTR" : "something else", (int)handled);
	return 0;
}
