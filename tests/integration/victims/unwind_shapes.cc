/* SPDX-License-Identifier: MIT */
// ldflags: -ldl
/*
 * Code whose frames are hard to undo, over and over until killed: realigned stacks,
 * variable frames, signal handlers on the normal and on an alternate stack, exceptions,
 * longjmp, vfork, lazily bound calls, hand-written assembly with and without call frame
 * information, code made at run time, and threads that do the same.
 */
#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <immintrin.h>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#define NOINLINE __attribute__((noinline))

static volatile unsigned long sink;

static NOINLINE void burn(int rounds)
{
	for (int i = 0; i < rounds; i++)
		sink = sink * 31 + i;
}

typedef float vector8 __attribute__((vector_size(32)));

/* The stack pointer is aligned to 32 bytes through another register. */
static NOINLINE __attribute__((target("avx"))) void realigned(int n)
{
	volatile vector8 v[2] = {};
	char *room = static_cast<char *>(alloca(n % 64 + 16));
	room[n % 16] = 1;
	burn(200);
	sink += static_cast<unsigned long>(v[0][n % 8]) + room[3];
}

static NOINLINE void variable(int n)
{
	char *room = static_cast<char *>(alloca(n));
	memset(room, n, n);
	realigned(n);
	sink += room[n / 2];
}

static NOINLINE void with_callback(int n)
{
	static int (*const compare)(const void *, const void *) = [](const void *a, const void *b) {
		burn(20);
		return *static_cast<const int *>(a) - *static_cast<const int *>(b);
	};
	std::vector<int> numbers(n % 50 + 4);
	for (size_t i = 0; i < numbers.size(); i++)
		numbers[i] = static_cast<int>(i * 7919 % 101);
	qsort(numbers.data(), numbers.size(), sizeof(int), compare);
	variable(n % 500 + 16);
}

static NOINLINE void throwing(int depth)
{
	std::string text(depth * 3, 'x');
	if (depth == 0)
		throw std::runtime_error("thrown");
	throwing(depth - 1);
	sink += text.size();
}

static NOINLINE void catching(int n)
{
	try {
		throwing(n % 12);
	} catch (const std::exception &e) {
		sink += strlen(e.what());
	}
}

static NOINLINE void jumping(int n)
{
	jmp_buf place;
	if (setjmp(place) == 0) {
		burn(n);
		longjmp(place, 1);
	}
}

static void on_signal(int, siginfo_t *, void *)
{
	with_callback(20);
}

static NOINLINE void signalled(int n)
{
	raise(n % 2 ? SIGUSR1 : SIGUSR2);
}

static NOINLINE void forking()
{
	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, nullptr, 0);
}

/* Saves registers as any function may, but tells nobody. */
extern "C" void assembly_without_cfi(long rounds);
__asm__(".text\n.type assembly_without_cfi,@function\n"
	"assembly_without_cfi:\n\tpush %rbx\n\tpush %rbp\n\tpush %r12\n\tmov %rdi, %rbp\n"
	"1:\timul $31, %rbx\n\tdec %rbp\n\tjnz 1b\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\tret\n"
	".size assembly_without_cfi, .-assembly_without_cfi\n");

/* Keeps its return address in a register and its CFA by an expression. */
extern "C" void assembly_with_cfi(long rounds);
__asm__(".text\n.type assembly_with_cfi,@function\n"
	"assembly_with_cfi:\n\t.cfi_startproc\n\tpop %rdx\n\t.cfi_def_cfa_offset 0\n\t.cfi_register 16, 1\n"
	"1:\timul $31, %rax\n\tdec %rdi\n\tjnz 1b\n"
	"\tpush %rdx\n\t.cfi_def_cfa_offset 8\n\t.cfi_restore 16\n"
	"\tmov %rsp, %r9\n\tsub $64, %rsp\n\tand $-64, %rsp\n\tmov %r9, (%rsp)\n"
	"\t.cfi_escape 0x0f,0x05,0x77,0x00,0x06,0x23,0x08\n" /* CFA = the word at rsp, + 8 */
	"\tmov $50, %rdi\n2:\timul $31, %rax\n\tdec %rdi\n\tjnz 2b\n"
	"\tmov (%rsp), %rsp\n\t.cfi_def_cfa 7, 8\n\tret\n\t.cfi_endproc\n"
	".size assembly_with_cfi, .-assembly_with_cfi\n");

/* push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret */
static void (*made_at_run_time)(void (*)());

static void make_code()
{
	static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
	void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, code, sizeof code);
	made_at_run_time = reinterpret_cast<void (*)(void (*)())>(page);
}

static NOINLINE void from_made_code()
{
	variable(100);
}

static NOINLINE void loading()
{
	void *library = dlopen("libz.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return;
	auto crc32 = reinterpret_cast<unsigned long (*)(unsigned long, const unsigned char *, unsigned)>(
		dlsym(library, "crc32"));
	unsigned char bytes[4096] = {};
	sink += crc32(0, bytes, sizeof bytes);
	dlclose(library);
}

/* Without frame pointer a caller of guessed code would be missed. */
static __attribute__((noinline, optimize("no-omit-frame-pointer"))) void round_of_all(int n)
{
	with_callback(n);
	catching(n);
	jumping(n % 300);
	signalled(n);
	assembly_with_cfi(200);
	assembly_without_cfi(200);
	made_at_run_time(from_made_code);
	if (n % 64 == 0)
		forking();
	if (n % 16 == 0)
		loading();
	char text[64];
	snprintf(text, sizeof text, "%d %f %s", n, n * 1.5, "text");
	sink += static_cast<unsigned long>(strtod(text, nullptr));
}

static void *work(void *)
{
	static thread_local char alternate[65536];
	stack_t stack = {};
	stack.ss_sp = alternate;
	stack.ss_size = sizeof alternate;
	sigaltstack(&stack, nullptr);
	for (int n = 0;; n++)
		round_of_all(n);
	return nullptr;
}

int main()
{
	struct sigaction action = {};
	action.sa_sigaction = on_signal;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR1, &action, nullptr);
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigaction(SIGUSR2, &action, nullptr);
	make_code();
	pthread_t thread;
	pthread_create(&thread, nullptr, work, nullptr);
	work(nullptr);
}
