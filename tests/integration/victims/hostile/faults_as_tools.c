/* SPDX-License-Identifier: MIT */
/*
 * Uses faults to work: a write barrier by mprotect, illegal instructions and divisions that
 * are skipped, breakpoints, in threads that allocate.  Context: test program.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "hostile.h"

#define PAGES 256
#define PAGE 4096

static char *heap;
static int barriers, skipped, trapped, errors;

static void on_write(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	char *page = (char *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1));
	if (page < heap || page >= heap + PAGES * PAGE)
		_exit(98);
	errno = ECHILD;
	__atomic_add_fetch(&barriers, 1, __ATOMIC_RELAXED);
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

static void on_other(int signal, siginfo_t *info, void *context)
{
	(void)info;
	ucontext_t *interrupted = (ucontext_t *)context;
#ifdef __x86_64__
	if (signal != SIGTRAP)
		interrupted->uc_mcontext.gregs[REG_RIP] += 2; /* ud2, div %ecx */
#endif
	if (signal == SIGTRAP)
		trapped++;
	else
		skipped++;
}

int main(void)
{
	struct sigaction action = {0};
	action.sa_flags = SA_SIGINFO;
	action.sa_sigaction = on_write;
	sigaction(SIGSEGV, &action, NULL);
	action.sa_sigaction = on_other;
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGTRAP, &action, NULL);
	heap = (char *)mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < PAGES; i++) {
			errno = EXDEV;
			heap[i * PAGE + round]++;
			errors += errno != ECHILD;
			free(malloc((size_t)i));
		}
		mprotect(heap, PAGES * PAGE, PROT_READ);
	}
	say("barriers %d errors %d\n", barriers, errors);
#ifdef __x86_64__
	for (int i = 0; i < 2000; i++) {
		__asm__ volatile("ud2");
		__asm__ volatile("xor %%edx, %%edx\n xor %%ecx, %%ecx\n mov $1, %%eax\n div %%ecx" ::: "eax", "ecx", "edx", "cc");
		__asm__ volatile("int3");
		spin_briefly();
	}
#endif
	say("skipped %d trapped %d\n", skipped, trapped);
	hostile_works();
	return 0;
}
