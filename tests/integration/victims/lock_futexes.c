/* SPDX-License-Identifier: MIT */
/*
 * syscall(): futex with every operation that waits, its errors, what interrupts it, and
 * other system calls with up to six arguments, which have nothing to do with locks.
 *
 * Context: test program.
 */
#include "lock_victim.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static uint32_t word, other_word;

static long futex(uint32_t *at, int operation, uint32_t value, const struct timespec *timeout, uint32_t *at2,
		  uint32_t value3)
{
	return syscall(SYS_futex, at, operation, value, timeout, at2, value3);
}

/* How many were woken, be they private or not. */
static int wake_all(void)
{
	return (int)(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0) +
		     futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
}

static const struct timespec brief = {0, 5000000}, long_time = {60, 0};

static int wait_plainly(void *unused) { (void)unused; return (int)futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0); }
static int wait_private(void *unused)
{
	(void)unused;
	return (int)futex(&word, FUTEX_WAIT_PRIVATE, 0, &long_time, NULL, 0);
}
static int wait_bits(void *unused)
{
	(void)unused;
	return (int)futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, LATER(CLOCK_MONOTONIC), NULL, 4);
}
static int wait_bits_realtime(void *unused)
{
	(void)unused;
	return (int)futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, LATER(CLOCK_REALTIME), NULL,
			  FUTEX_BITSET_MATCH_ANY);
}
static int wait_requeue(void *unused)
{
	(void)unused;
	return (int)futex(&word, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, SOON(CLOCK_MONOTONIC), &other_word, 0);
}
static int lock_pi(void *unused) { (void)unused; return (int)futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0); }
static int lock_pi_soon(void *unused)
{
	(void)unused;
	return (int)futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, SOON(CLOCK_REALTIME), NULL, 0);
}
static int unlock_pi(void *unused) { (void)unused; return (int)futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0); }
static int trylock_pi(void *unused)
{
	(void)unused;
	return (int)futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
}

#ifdef SYS_futex_waitv
static struct futex_waitv two[2];
static int waitv(void *unused)
{
	(void)unused;
	for (int i = 0; i < 2; i++) {
		two[i].val = 0;
		two[i].uaddr = (uintptr_t)(i ? &other_word : &word);
		two[i].flags = FUTEX_32 | FUTEX_PRIVATE_FLAG;
	}
	return (int)syscall(SYS_futex_waitv, two, 2, 0, LATER(CLOCK_MONOTONIC), CLOCK_MONOTONIC);
}
#endif

static volatile sig_atomic_t signals_seen;

static void on_signal(int signal)
{
	signals_seen += signal == SIGUSR2;
}

static void handle(int flags)
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = on_signal;
	action.sa_flags = flags;
	sigaction(SIGUSR2, &action, NULL);
}

static void waits(int (*call)(void *), const char *name)
{
	struct waiter w;
	printf("futex %s\n", name);
	waiter_begin(&w, call, NULL);
	SAY(wake_all() == 1);
	waiter_end(&w, "woken");
	handle(0);
	waiter_begin(&w, call, NULL);
	pthread_kill(w.thread, SIGUSR2);
	waiter_end(&w, "interrupted");
	handle(SA_RESTART);
	waiter_begin(&w, call, NULL);
	const int seen = signals_seen;
	pthread_kill(w.thread, SIGUSR2);
	while (signals_seen == seen)
		nap(1);
	/* Back in the call, if it restarts. */
	while (!__atomic_load_n(&w.is_over, __ATOMIC_ACQUIRE)) {
		wake_all();
		nap(1);
	}
	waiter_end(&w, "interrupted by one that restarts");
	printf("    signals %d\n", (int)signals_seen);
}

/* FUTEX_WAKE on a word that is waited for as shared and private. */
static void requeues(void)
{
	struct waiter w[3];
	printf("futex requeue\n");
	for (int i = 0; i < 3; i++)
		waiter_begin(&w[i], wait_private, NULL);
	SAY(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 0, NULL, NULL, 0));
	SAY(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE_PRIVATE, 1, 100L, &other_word, 7));
	SAY(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE_PRIVATE, 1, 100L, &other_word, 0));
	SAY(futex(&other_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
	SAY(syscall(SYS_futex, &word, FUTEX_WAKE_OP_PRIVATE, 1, 100L, &other_word,
		    FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 0)));
	printf("    other word %u\n", other_word);
	for (int i = 0; i < 3; i++)
		waiter_end(&w[i], "requeued");
	other_word = 0;
}

static void errors(void)
{
	printf("futex errors\n");
	word = 1;
	SAY(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT_PRIVATE, 0, &brief, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 1));
	word = 0;
	SAY(futex(&word, FUTEX_WAIT, 0, &brief, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT_PRIVATE, 0, &brief, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, GONE(CLOCK_MONOTONIC), NULL, 1));
	SAY(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, SOON(CLOCK_REALTIME), NULL, 1));
	SAY(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &brief, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT_PRIVATE, 0, &negative, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT_PRIVATE, 0, &too_large, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT_PRIVATE, 0, &before_1970, NULL, 0));
	SAY(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
	SAY(futex(NULL, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
	SAY(futex((uint32_t *)8192, FUTEX_WAIT, 0, NULL, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT_PRIVATE, 0, (const struct timespec *)8, NULL, 0));
	SAY(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
	SAY(futex(&word, 99, 1, NULL, NULL, 0));
	SAY(futex(&word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &brief, NULL, 0));
	waits(wait_plainly, "wait");
	waits(wait_private, "wait private");
	waits(wait_bits, "wait bitset");
	waits(wait_bits_realtime, "wait bitset realtime");
	SAY(wait_requeue(NULL));
}

static void inheriting(void)
{
	printf("futex pi\n");
	SAY(lock_pi(NULL));
	SAY(lock_pi(NULL));
	SAY(trylock_pi(NULL));
	SAY_OTHER(trylock_pi, NULL);
	SAY_OTHER(lock_pi_soon, NULL);
	SAY_OTHER(unlock_pi, NULL);
	SAY(unlock_pi(NULL));
	SAY(unlock_pi(NULL));
	SAY_WAITING(lock_pi(NULL), lock_pi, unlock_pi, NULL);
	SAY(unlock_pi(NULL));
	word = 0;
}

static void vectors(void)
{
#ifdef SYS_futex_waitv
	struct waiter w;
	printf("futex waitv\n");
	errno = 0;
	if (syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 && errno == ENOSYS) {
		printf("    none\n");
		return;
	}
	SAY(syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0));
	SAY(syscall(SYS_futex_waitv, NULL, 1, 0, NULL, 0));
	waiter_begin(&w, waitv, NULL);
	SAY(futex(&other_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
	waiter_end(&w, "woken");
	handle(0);
	waiter_begin(&w, waitv, NULL);
	pthread_kill(w.thread, SIGUSR2);
	waiter_end(&w, "interrupted");
	other_word = 5;
	SAY(waitv(NULL));
	other_word = 0;
	SAY(syscall(SYS_futex_waitv, two, 2, 0, GONE(CLOCK_MONOTONIC), CLOCK_MONOTONIC));
	SAY(syscall(SYS_futex_waitv, two, 2, 0, SOON(CLOCK_MONOTONIC), CLOCK_MONOTONIC));
	SAY(syscall(SYS_futex_waitv, two, 2, 1, SOON(CLOCK_MONOTONIC), CLOCK_MONOTONIC));
#endif
}

/* What else goes through syscall(): as many arguments as there can be, results that are no int. */
static void other_calls(void)
{
	int ends[2];
	char buffer[16] = "";
	printf("other system calls\n");
	SAY(syscall(SYS_getpid) == getpid());
	SAY(syscall(SYS_gettid) == syscall(SYS_gettid));
	SAY(syscall(-1));
	SAY(syscall(100000));
	SAY(syscall(SYS_close, -1));
	SAY(syscall(SYS_pipe2, ends, O_CLOEXEC));
	SAY(syscall(SYS_write, ends[1], "abc", 3));
	SAY(syscall(SYS_read, ends[0], buffer, sizeof buffer));
	void *at = (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SAY(at != MAP_FAILED && ((char *)at)[4095] == 0);
	SAY(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, ends[0], 4096));
	SAY(syscall(SYS_munmap, at, 4096));
	SAY(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ends));
	SAY(syscall(SYS_sendto, ends[0], "hello", 5, 0, NULL, 0));
	SAY(syscall(SYS_recvfrom, ends[1], buffer, sizeof buffer, 0, NULL, NULL));
	printf("    %s\n", buffer);
	fflush(stdout);
	const long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0L);
	if (child == 0) {
		SAY(futex(&word, FUTEX_WAIT, 0, &brief, NULL, 0));
		fflush(stdout);
		syscall(SYS_exit_group, 6);
	}
	int status = 0;
	SAY(syscall(SYS_wait4, (pid_t)child, &status, 0, NULL) == child);
	printf("    child %d\n", WEXITSTATUS(status));
}

int main(void)
{
	begin();
	errors();
	requeues();
	inheriting();
	vectors();
	other_calls();
	return 0;
}
