/* SPDX-License-Identifier: MIT */
/* cflags: -std=c++20 */
/* ldflags: -ldl */
/*
 * Locks that are waited for in every place where a program can be: before its
 * constructors, in them, in main, in a handler, in a plugin's constructor and destructor,
 * in a forked child and its handlers, in destructors of a thread's variables, at exit.
 *
 *     lock_places PLUGIN
 *
 * Context: test program.
 */
#include "lock_victim.h"

#include <csignal>
#include <dlfcn.h>
#include <mutex>
#include <semaphore.h>
#include <sys/wait.h>
#include <thread>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static int lock(void *) { return pthread_mutex_lock(&mutex); }
static int unlock(void *) { return pthread_mutex_unlock(&mutex); }
static int wrlock(void *) { return pthread_rwlock_wrlock(&rwlock); }
static int rwunlock(void *) { return pthread_rwlock_unlock(&rwlock); }

/* One wait of each of some kinds. */
static void wait_here(const char *where)
{
	printf("%s\n", where);
	sem_t sem;
	pthread_t thread;
	SAY_WAITING(pthread_mutex_lock(&mutex), lock, unlock, nullptr);
	SAY(pthread_cond_timedwait(&cond, &mutex, SOON(CLOCK_REALTIME)));
	SAY(pthread_mutex_unlock(&mutex));
	SAY_WAITING(pthread_rwlock_rdlock(&rwlock), wrlock, rwunlock, nullptr);
	SAY(pthread_rwlock_unlock(&rwlock));
	sem_init(&sem, 0, 0);
	SAY(sem_timedwait(&sem, SOON(CLOCK_REALTIME)));
	pthread_create(&thread, nullptr, [](void *) -> void * { nap(3); return nullptr; }, nullptr);
	SAY(pthread_join(thread, nullptr));
	fflush(stdout);
}

static void before_constructors(int, char **, char **)
{
	alarm(40);
	wait_here("before the constructors");
}
__attribute__((section(".preinit_array"), used)) static void (*preinit)(int, char **, char **) = before_constructors;

__attribute__((constructor(101))) static void first_constructor() { wait_here("the first constructor"); }
__attribute__((constructor)) static void last_constructor() { wait_here("the last constructor"); }
__attribute__((destructor(101))) static void last_destructor() { wait_here("the last destructor"); }

struct object {
	const char *name;
	explicit object(const char *n) : name(n) { wait_here(name); }
	~object() { wait_here(name); }
};
static object global("a global object");

static sem_t from_handler;
static volatile sig_atomic_t handled;

static void on_signal(int)
{
	/* Allowed is sem_post alone; what deployed programs do besides works with luck, here as there. */
	sem_post(&from_handler);
	handled = handled + 1;
	if (pthread_mutex_trylock(&mutex) == 0)
		pthread_mutex_unlock(&mutex);
}

static void at_fork_prepare() { pthread_mutex_lock(&mutex); }
static void at_fork_parent() { pthread_mutex_unlock(&mutex); }
static void at_fork_child()
{
	pthread_mutex_unlock(&mutex);
	wait_here("the child's fork handler");
}

static void in_a_handler()
{
	printf("a handler\n");
	sem_init(&from_handler, 0, 0);
	signal(SIGUSR2, on_signal);
	pthread_t self = pthread_self();
	std::thread thread([self] {
		while (handled < 20) {
			pthread_kill(self, SIGUSR2);
			nap(1);
		}
	});
	for (int i = 0; i < 20; i++)
		while (sem_wait(&from_handler))
			;
	thread.join();
	/* The handler comes in the middle of waits. */
	SAY_WAITING(pthread_mutex_lock(&mutex), lock, [](void *) {
		kill(getpid(), SIGUSR2);
		nap(2);
		return pthread_mutex_unlock(&mutex);
	}, nullptr);
	SAY(pthread_mutex_unlock(&mutex));
}

static void in_children()
{
	for (int deep = 0; deep < 2; deep++) {
		fflush(stdout);
		const pid_t child = fork();
		if (child == 0) {
			alarm(40);
			wait_here("a forked child");
			if (deep) {
				const pid_t grandchild = fork();
				if (grandchild == 0) {
					wait_here("its child");
					_exit(3);
				}
				int status;
				waitpid(grandchild, &status, 0);
				_exit(WEXITSTATUS(status) + 1);
			}
			_exit(2);
		}
		int status;
		waitpid(child, &status, 0);
		printf("    child %d\n", WEXITSTATUS(status));
	}
}

/* From a thread, while another one holds a lock and a third one waits: the child has only the caller. */
static void in_a_threads_child()
{
	printf("a thread's child\n");
	waiter w;
	pthread_rwlock_wrlock(&rwlock);
	waiter_begin(&w, [](void *) { return pthread_rwlock_rdlock(&rwlock) + pthread_rwlock_unlock(&rwlock); }, nullptr);
	std::thread([] {
		fflush(stdout);
		const pid_t child = fork();
		if (child == 0) {
			SAY(pthread_rwlock_tryrdlock(&rwlock));
			SAY(pthread_rwlock_timedrdlock(&rwlock, SOON(CLOCK_REALTIME)));
			fflush(stdout);
			_exit(5);
		}
		int status;
		waitpid(child, &status, 0);
		printf("    child %d\n", WEXITSTATUS(status));
	}).join();
	SAY(pthread_rwlock_unlock(&rwlock));
	waiter_end(&w, "the waiter");
}

int main(int, char **argv)
{
	wait_here("main");
	in_a_handler();
	in_a_threads_child();
	pthread_atfork(at_fork_prepare, at_fork_parent, at_fork_child);
	in_children();

	void *plugin = dlopen(argv[1], RTLD_NOW);
	if (!plugin)
		return 9;
	auto call = reinterpret_cast<void (*)(void (*)(const char *))>(dlsym(plugin, "plugin_waits"));
	call(wait_here);
	SAY(dlclose(plugin));

	std::thread([] {
		thread_local object local("a thread's variable");
		(void)local.name;
	}).join();
	pthread_key_t key;
	pthread_key_create(&key, [](void *) { wait_here("a thread's key"); });
	std::thread([key] { pthread_setspecific(key, &mutex); }).join();
	pthread_setspecific(key, &mutex);
	atexit([] { wait_here("at exit"); });
	std::thread([] {
		wait_here("a thread that ends the program");
		exit(4);
	}).join();
}
