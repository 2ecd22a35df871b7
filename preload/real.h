/* SPDX-License-Identifier: MIT */
/*
 * The next definitions of the functions that we interpose: the only place where the
 * library calls through pointers that it does not own.
 *
 * Before resolution the allocation functions point to bootstrap versions that resolve
 * first, so callers never test for NULL, except where noted.
 *
 * Context: calling through `real`: as the function called.  Resolving: init.
 */
#ifndef PRELOAD_REAL_H
#define PRELOAD_REAL_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h> /* FILE, the type alone */
#include <sys/types.h>
#include <threads.h>
#include <time.h>

#include "call_list.h"

/*
 * The name under which an interposed function is defined.  The unit tests link a
 * second build of this room in which they do not take over the test's own.
 */
#ifdef CPROF_TEST
#define INTERPOSED(name) cprof_test_##name
#else
#define INTERPOSED(name) name
#endif

struct nothrow; /* std::nothrow_t, by reference */

/* X(return type, name, parameter types) */
#define REAL_MALLOC_FUNCTIONS(X)                          \
	X(void *, malloc, (size_t))                       \
	X(void, free, (void *))                           \
	X(void *, calloc, (size_t, size_t))               \
	X(void *, realloc, (void *, size_t))              \
	X(int, posix_memalign, (void **, size_t, size_t)) \
	X(void *, aligned_alloc, (size_t, size_t))        \
	X(void *, memalign, (size_t, size_t))             \
	X(void *, valloc, (size_t))                       \
	X(void *, pvalloc, (size_t))

/* C++: operator new and delete, by their mangled names. May be NULL until real_find_cxx(). */
#define REAL_CXX_NEW_FUNCTIONS(X)                                                               \
	X(void *, _Znwm, (size_t))                                                              \
	X(void *, _Znam, (size_t))                                                              \
	X(void *, _ZnwmRKSt9nothrow_t, (size_t, const struct nothrow *))                        \
	X(void *, _ZnamRKSt9nothrow_t, (size_t, const struct nothrow *))                        \
	X(void *, _ZnwmSt11align_val_t, (size_t, size_t))                                       \
	X(void *, _ZnamSt11align_val_t, (size_t, size_t))                                       \
	X(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, (size_t, size_t, const struct nothrow *)) \
	X(void *, _ZnamSt11align_val_tRKSt9nothrow_t, (size_t, size_t, const struct nothrow *))

#define REAL_CXX_DELETE_FUNCTIONS(X)                                                           \
	X(void, _ZdlPv, (void *))                                                              \
	X(void, _ZdaPv, (void *))                                                              \
	X(void, _ZdlPvm, (void *, size_t))                                                     \
	X(void, _ZdaPvm, (void *, size_t))                                                     \
	X(void, _ZdlPvRKSt9nothrow_t, (void *, const struct nothrow *))                        \
	X(void, _ZdaPvRKSt9nothrow_t, (void *, const struct nothrow *))                        \
	X(void, _ZdlPvSt11align_val_t, (void *, size_t))                                       \
	X(void, _ZdaPvSt11align_val_t, (void *, size_t))                                       \
	X(void, _ZdlPvmSt11align_val_t, (void *, size_t, size_t))                              \
	X(void, _ZdaPvmSt11align_val_t, (void *, size_t, size_t))                              \
	X(void, _ZdlPvSt11align_val_tRKSt9nothrow_t, (void *, size_t, const struct nothrow *)) \
	X(void, _ZdaPvSt11align_val_tRKSt9nothrow_t, (void *, size_t, const struct nothrow *))

/* NULL where the next allocator does not have them. */
#define REAL_OPTIONAL_FUNCTIONS(X)                            \
	X(void *, reallocarray, (void *, size_t, size_t))     \
	X(void, free_sized, (void *, size_t))                 \
	X(void, free_aligned_sized, (void *, size_t, size_t)) \
	X(void *, mallocx, (size_t, int))                     \
	X(void *, rallocx, (void *, size_t, int))             \
	X(size_t, xallocx, (void *, size_t, size_t, int))     \
	X(void, dallocx, (void *, int))                       \
	X(void, sdallocx, (void *, size_t, int))

#define REAL_SPAWN_PARAMETERS                                                                  \
	(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, \
	 char *const *, char *const *)

/* Resolved when the library is loaded; not called before. */
#define REAL_SYSTEM_FUNCTIONS(X)                                                                 \
	X(int, pthread_create, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)) \
	X(int, thrd_create, (thrd_t *, thrd_start_t, void *))                                    \
	X(int, pthread_setname_np, (pthread_t, const char *))                                    \
	X(int, pthread_setattr_default_np, (const pthread_attr_t *))                             \
	X(int, pthread_sigmask, (int, const sigset_t *, sigset_t *))                             \
	X(int, sigprocmask, (int, const sigset_t *, sigset_t *))                                 \
	X(int, sigaltstack, (const stack_t *, stack_t *))                                        \
	X(int, sigaction, (int, const struct sigaction *, struct sigaction *))                   \
	X(pid_t, fork, (void))                                                                   \
	X(pid_t, _Fork, (void)) /* may be NULL, as execveat: since glibc 2.34 */                 \
	X(int, daemon, (int, int))                                                               \
	X(int, execve, (const char *, char *const *, char *const *))                             \
	X(int, execv, (const char *, char *const *))                                             \
	X(int, execvp, (const char *, char *const *))                                            \
	X(int, execvpe, (const char *, char *const *, char *const *))                            \
	X(int, fexecve, (int, char *const *, char *const *))                                     \
	X(int, execveat, (int, const char *, char *const *, char *const *, int))                 \
	X(int, posix_spawn, REAL_SPAWN_PARAMETERS)                                               \
	X(int, posix_spawnp, REAL_SPAWN_PARAMETERS)                                              \
	X(int, system, (const char *))                                                           \
	X(FILE *, popen, (const char *, const char *))                                           \
	X(int, kill, (pid_t, int))                                                               \
	X(int, killpg, (pid_t, int))                                                             \
	X(int, sigqueue, (pid_t, int, const union sigval))                                       \
	X(int, raise, (int))                                                                     \
	X(int, pthread_kill, (pthread_t, int))                                                   \
	X(int, pthread_sigqueue, (pthread_t, int, const union sigval))                           \
	X(int, tgkill, (pid_t, pid_t, int)) /* may be NULL: since glibc 2.30 */                  \
	X(int, dlclose, (void *))                                                                \
	X(void, _exit, (int))                                                                    \
	X(int, setuid, (uid_t))                                                                  \
	X(int, seteuid, (uid_t))                                                                 \
	X(int, setreuid, (uid_t, uid_t))                                                         \
	X(int, setresuid, (uid_t, uid_t, uid_t))                                                 \
	X(int, setgid, (gid_t))                                                                  \
	X(int, setegid, (gid_t))                                                                 \
	X(int, setregid, (gid_t, gid_t))                                                         \
	X(int, setresgid, (gid_t, gid_t, gid_t))                                                 \
	X(int, chroot, (const char *))                                                           \
	X(int, unshare, (int))                                                                   \
	X(int, setns, (int, int))                                                                \
	X(int, prctl, (int, unsigned long, unsigned long, unsigned long, unsigned long))

/*
 * What waits and what releases: X(return type, name, parameters, arguments, what a call
 * returns where the libc does not have it).  Called wherever the program locks, also
 * before anything is resolved.
 */
#define REAL_WAIT_FUNCTIONS(X)                                                                               \
	X(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex), ENOSYS)                               \
	X(int, pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex), ENOSYS)                            \
	X(int, pthread_mutex_unlock, (pthread_mutex_t * mutex), (mutex), ENOSYS)                             \
	X(int, pthread_mutex_timedlock, (pthread_mutex_t * mutex, const struct timespec *deadline),          \
	  (mutex, deadline), ENOSYS)                                                                         \
	X(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock), ENOSYS)                             \
	X(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock), ENOSYS)                             \
	X(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t * lock), (lock), ENOSYS)                          \
	X(int, pthread_rwlock_trywrlock, (pthread_rwlock_t * lock), (lock), ENOSYS)                          \
	X(int, pthread_rwlock_unlock, (pthread_rwlock_t * lock), (lock), ENOSYS)                             \
	X(int, pthread_rwlock_timedrdlock, (pthread_rwlock_t * lock, const struct timespec *deadline),       \
	  (lock, deadline), ENOSYS)                                                                          \
	X(int, pthread_rwlock_timedwrlock, (pthread_rwlock_t * lock, const struct timespec *deadline),       \
	  (lock, deadline), ENOSYS)                                                                          \
	X(int, pthread_spin_lock, (pthread_spinlock_t * lock), (lock), ENOSYS)                               \
	X(int, pthread_spin_trylock, (pthread_spinlock_t * lock), (lock), ENOSYS)                            \
	X(int, pthread_spin_unlock, (pthread_spinlock_t * lock), (lock), ENOSYS)                             \
	X(int, sem_wait, (sem_t * semaphore), (semaphore), -1)                                               \
	X(int, sem_trywait, (sem_t * semaphore), (semaphore), -1)                                            \
	X(int, sem_post, (sem_t * semaphore), (semaphore), -1)                                               \
	X(int, sem_timedwait, (sem_t * semaphore, const struct timespec *deadline), (semaphore, deadline),   \
	  -1)                                                                                                \
	X(int, pthread_barrier_wait, (pthread_barrier_t * barrier), (barrier), ENOSYS)                       \
	X(int, pthread_join, (pthread_t thread, void **out_result), (thread, out_result), ENOSYS)            \
	X(int, pthread_tryjoin_np, (pthread_t thread, void **out_result), (thread, out_result), ENOSYS)      \
	X(int, pthread_timedjoin_np, (pthread_t thread, void **out_result, const struct timespec *deadline), \
	  (thread, out_result, deadline), ENOSYS)

/* Of these, x86-64's libc has two versions each; unversioned look-ups may give the older one. */
#define REAL_COND_FUNCTIONS(X)                                                                             \
	X(int, pthread_cond_wait, (pthread_cond_t * cond, pthread_mutex_t * mutex), (cond, mutex), ENOSYS) \
	X(int, pthread_cond_timedwait,                                                                     \
	  (pthread_cond_t * cond, pthread_mutex_t * mutex, const struct timespec *deadline),               \
	  (cond, mutex, deadline), ENOSYS)                                                                 \
	X(int, pthread_cond_signal, (pthread_cond_t * cond), (cond), ENOSYS)                               \
	X(int, pthread_cond_broadcast, (pthread_cond_t * cond), (cond), ENOSYS)

/* Since glibc 2.28 to 2.31. */
#define REAL_LATE_WAIT_FUNCTIONS(X)                                                                  \
	X(int, pthread_mutex_clocklock,                                                              \
	  (pthread_mutex_t * mutex, clockid_t clock, const struct timespec *deadline),               \
	  (mutex, clock, deadline), ENOSYS)                                                          \
	X(int, pthread_rwlock_clockrdlock,                                                           \
	  (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *deadline),               \
	  (lock, clock, deadline), ENOSYS)                                                           \
	X(int, pthread_rwlock_clockwrlock,                                                           \
	  (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *deadline),               \
	  (lock, clock, deadline), ENOSYS)                                                           \
	X(int, pthread_cond_clockwait,                                                               \
	  (pthread_cond_t * cond, pthread_mutex_t * mutex, clockid_t clock,                          \
	   const struct timespec *deadline),                                                         \
	  (cond, mutex, clock, deadline), ENOSYS)                                                    \
	X(int, sem_clockwait, (sem_t * semaphore, clockid_t clock, const struct timespec *deadline), \
	  (semaphore, clock, deadline), -1)                                                          \
	X(int, pthread_clockjoin_np,                                                                 \
	  (pthread_t thread, void **out_result, clockid_t clock, const struct timespec *deadline),   \
	  (thread, out_result, clock, deadline), ENOSYS)                                             \
	X(int, mtx_lock, (mtx_t * mutex), (mutex), thrd_error)                                       \
	X(int, mtx_trylock, (mtx_t * mutex), (mutex), thrd_error)                                    \
	X(int, mtx_unlock, (mtx_t * mutex), (mutex), thrd_error)                                     \
	X(int, mtx_timedlock, (mtx_t * mutex, const struct timespec *deadline), (mutex, deadline),   \
	  thrd_error)                                                                                \
	X(int, cnd_wait, (cnd_t * cond, mtx_t * mutex), (cond, mutex), thrd_error)                   \
	X(int, cnd_timedwait, (cnd_t * cond, mtx_t * mutex, const struct timespec *deadline),        \
	  (cond, mutex, deadline), thrd_error)                                                       \
	X(int, cnd_signal, (cnd_t * cond), (cond), thrd_error)                                       \
	X(int, cnd_broadcast, (cnd_t * cond), (cond), thrd_error)                                    \
	X(int, thrd_join, (thrd_t thread, int *out_result), (thread, out_result), thrd_error)

/*
 * What a server calls between two batches of requests finds its caches filled with other
 * things: each line that is spared is some nanoseconds.  So the first line, behind the words of
 * FRONT_WORD, is of the frequent calls, and the next begins with malloc.
 */
struct real {
#define REAL_FIELD(type, name, parameters, ...) type(*name) parameters;
	CALL_LIST_OFTEN(REAL_FIELD)
#undef REAL_FIELD
#define REAL_FIELD(type, name, parameters) type(*name) parameters;
	REAL_MALLOC_FUNCTIONS(REAL_FIELD)
	REAL_CXX_NEW_FUNCTIONS(REAL_FIELD)
	REAL_CXX_DELETE_FUNCTIONS(REAL_FIELD)
	REAL_OPTIONAL_FUNCTIONS(REAL_FIELD)
	REAL_SYSTEM_FUNCTIONS(REAL_FIELD)
#undef REAL_FIELD
#define REAL_FIELD(type, name, parameters, arguments, missing) type(*name) parameters;
	REAL_WAIT_FUNCTIONS(REAL_FIELD)
	REAL_COND_FUNCTIONS(REAL_FIELD)
	REAL_LATE_WAIT_FUNCTIONS(REAL_FIELD)
#undef REAL_FIELD
#define REAL_FIELD(type, name, parameters, ...) type(*name) parameters;
	CALL_LIST_SELDOM(REAL_FIELD)
	CALL_LIST_SIGNAL(REAL_FIELD)
	CALL_LIST_LATE(REAL_FIELD)
#undef REAL_FIELD
	/* Not in a list: the header declares it variadic. */
	long (*syscall)(long, long, long, long, long, long, long);
	/* libc's own, whoever interposes it: such a one may tell another time, and may lock. */
	int (*clock_gettime)(clockid_t, struct timespec *);
	/*
	 * libc's own, if pthread_cond_wait and sem_wait are: else NULL, what they wait for may be made
	 * otherwise.
	 */
	int (*pthread_cond_init)(pthread_cond_t *, const pthread_condattr_t *);
	/* operator new is the next allocator's own; else it calls malloc and counts there. */
	bool cxx_counts;
};

/* The interposed functions themselves, for those that no header declares. */
#define REAL_DECLARE(type, name, parameters) type INTERPOSED(name) parameters;
REAL_MALLOC_FUNCTIONS(REAL_DECLARE)
REAL_CXX_NEW_FUNCTIONS(REAL_DECLARE)
REAL_CXX_DELETE_FUNCTIONS(REAL_DECLARE)
REAL_OPTIONAL_FUNCTIONS(REAL_DECLARE)
REAL_SYSTEM_FUNCTIONS(REAL_DECLARE)
#undef REAL_DECLARE
#define REAL_DECLARE(type, name, parameters, arguments, missing) type INTERPOSED(name) parameters;
REAL_WAIT_FUNCTIONS(REAL_DECLARE)
REAL_COND_FUNCTIONS(REAL_DECLARE)
REAL_LATE_WAIT_FUNCTIONS(REAL_DECLARE)
#undef REAL_DECLARE

/* Written while resolving only. */
extern struct real real __attribute__((visibility("hidden")));

/* CLOCK_MONOTONIC, by the vdso: a fifth of a system call.  Context: any; it may be one under process_may_call(). */
static inline uint64_t real_monotonic_ns(void)
{
	struct timespec now = {0};
	(void)real.clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/*
 * Makes sure that everything is resolved.  False: this is a call from inside the
 * resolution (dlsym allocates), and `real` is not complete.
 */
bool real_resolve(void);

/* The same for the functions that may not exist. Context: init. */
void real_resolve_optional(void);

/*
 * The function that the program's calls are bound to; NULL if there is none, or if it is of another
 * object than the function `beside`, if any.  Context: init.
 */
void *real_find_program_s(const char *name, const void *beside);

/*
 * Finds the C++ functions that were not in the global scope: the C++ library was loaded
 * by dlopen, and `caller` is the address of code that sees it.
 */
void real_find_cxx(const void *caller);

/* Decides anew whether operator new counts for itself. Context: init. */
void real_judge_cxx(void);

/* Whose malloc the program's calls are bound to. */
enum real_first {
	REAL_FIRST_OURS,
	REAL_FIRST_EXECUTABLE, /* it defines malloc itself */
	REAL_FIRST_LIBRARY     /* one that was preloaded in front of us: *out_definition in *out_object */
};

struct link_map;

/* Context: init. */
enum real_first real_first_malloc(void **out_definition, struct link_map **out_object);

#endif
