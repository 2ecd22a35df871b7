/* SPDX-License-Identifier: MIT */
// cflags: -std=gnu11 -D_GNU_SOURCE -Iinclude -Ipreload -Itests/support -fvisibility=hidden -ftls-model=initial-exec
// ldflags: preload/unwind.c preload/walk_cfi.c preload/walk_guess.c preload/rule_cache.c preload/rule_encode.c preload/cfi.c preload/cfi_program.c preload/dwarf_expression.c preload/safe_read.c preload/modules.c preload/module_rows.c preload/objects.c preload/image.c -Wl,-z,now
/*
 * The in-app unwinder alone, preloaded into a program.  WALK_SIGNAL, sent by the oracle that
 * traces the program, makes the interrupted thread walk its stack from the handler, write
 * the walk to the channel and stop.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch_x86_64.h"
#include "modules.h"
#include "segment.h"
#include "unwind.h"
#include "walk_channel.h"

#define TRAP_FLAG 0x100

struct segment segment;

static struct walk_channel *channel;
static struct unwind_bounds main_stack;

static void on_signal(int signal_number UNUSED, siginfo_t *info UNUSED, void *context)
{
	static __thread uint64_t frames[WALK_FRAMES_MAX];
	struct unwind_regs regs;
	struct unwind_bounds bounds = {0, 0};
	uint16_t flags;

	if (__atomic_exchange_n(&channel->is_taken, 1, __ATOMIC_ACQ_REL))
		return;
	unwind_regs_from_context(context, &regs);
	/* Other threads' stacks are not known here: they are read by system calls. */
	if (regs.sp >= main_stack.low && regs.sp < main_stack.high)
		bounds = main_stack;
	uint32_t count = unwind_walk(&regs, &bounds, frames, WALK_FRAMES_MAX, &flags);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t row = cprof_frame_module(frames[i]);
		uint64_t bias = row == CPROF_MODULE_NONE ? 0 : segment_module(row)->bias;
		channel->pcs[i] = cprof_frame_offset(frames[i]) + bias;
	}
	for (uint32_t reg = 0; reg < WALK_REGISTERS; reg++)
		channel->registers[reg] = arch_context_register(context, reg);
	channel->frame_count = count;
	channel->flags = flags;
	channel->tid = (uint32_t)syscall(SYS_gettid);
	__asm__ volatile("int3" ::: "memory");
	greg_t *cpu_flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
	*cpu_flags = channel->wants_step ? *cpu_flags | TRAP_FLAG : *cpu_flags & ~TRAP_FLAG;
	__atomic_store_n(&channel->is_taken, 0, __ATOMIC_RELEASE);
}

static void find_main_stack(void)
{
	pthread_attr_t attributes;
	void *low;
	size_t bytes;
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstack(&attributes, &low, &bytes);
	pthread_attr_destroy(&attributes);
	main_stack.low = (uint64_t)low;
	main_stack.high = (uint64_t)low + bytes;
}

__attribute__((constructor)) static void install(void)
{
	const char *path = getenv(WALK_CHANNEL_ENV);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	channel = mmap(NULL, sizeof(*channel), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	uint64_t bytes = cprof_segment_size(UINT64_C(16) << 20);
	segment.geometry = cprof_geometry(bytes);
	segment.base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (channel == MAP_FAILED || segment.base == MAP_FAILED)
		return;
	unsetenv(WALK_CHANNEL_ENV); /* children are not sampled */
	find_main_stack();
	modules_init();
	modules_forget();
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
	sigaction(WALK_SIGNAL, &action, NULL);
	channel->is_ready = 1;
}
