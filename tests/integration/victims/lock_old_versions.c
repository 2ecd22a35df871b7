/* SPDX-License-Identifier: MIT */
/*
 * A program linked long ago: condition variables of glibc 2.2.5, which keep a pointer in
 * the first word and leave the rest of the object alone; those of 2.3.2 use all of it.
 * Mixing the two destroys either, so it shows which one was reached.
 *
 * Context: test program.
 */
#include "lock_victim.h"

#include <dlfcn.h>

#ifdef __x86_64__
#define OLD(name) __asm__(".symver old_" #name ", pthread_cond_" #name "@GLIBC_2.2.5")
OLD(init);
OLD(destroy);
OLD(wait);
OLD(timedwait);
OLD(signal);
OLD(broadcast);
#else /* no older version */
#define old_init pthread_cond_init
#define old_destroy pthread_cond_destroy
#define old_wait pthread_cond_wait
#define old_timedwait pthread_cond_timedwait
#define old_signal pthread_cond_signal
#define old_broadcast pthread_cond_broadcast
#endif
int old_init(pthread_cond_t *, const pthread_condattr_t *);
int old_destroy(pthread_cond_t *);
int old_wait(pthread_cond_t *, pthread_mutex_t *);
int old_timedwait(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
int old_signal(pthread_cond_t *);
int old_broadcast(pthread_cond_t *);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static union {
	pthread_cond_t cond;
	void *words[sizeof(pthread_cond_t) / sizeof(void *)];
} old;
static pthread_cond_t new_cond = PTHREAD_COND_INITIALIZER;
static int tokens;

static int take_old(void *timed)
{
	int result = pthread_mutex_lock(&mutex);
	while (!result && !tokens)
		result = timed ? old_timedwait(&old.cond, &mutex, LATER(CLOCK_REALTIME)) : old_wait(&old.cond, &mutex);
	tokens--;
	pthread_mutex_unlock(&mutex);
	return result;
}

static int take_new(void *unused)
{
	(void)unused;
	int result = pthread_mutex_lock(&mutex);
	while (!result && !tokens)
		result = pthread_cond_wait(&new_cond, &mutex);
	tokens--;
	pthread_mutex_unlock(&mutex);
	return result;
}

static void give(int count)
{
	pthread_mutex_lock(&mutex);
	tokens += count;
	pthread_mutex_unlock(&mutex);
}

static void say_words(void)
{
#ifdef __x86_64__
	int used = 0;
	for (size_t i = 1; i < sizeof old.words / sizeof old.words[0]; i++)
		used += old.words[i] != (void *)0x5a5a;
	printf("    first word %s, others changed %d\n", old.words[0] ? "set" : "clear", used);
#endif
}

int main(void)
{
	struct waiter w[3];
	begin();
	SAY(old_init(&old.cond, NULL));
#ifdef __x86_64__
	for (size_t i = 1; i < sizeof old.words / sizeof old.words[0]; i++)
		old.words[i] = (void *)0x5a5a;
#endif
	pthread_mutex_lock(&mutex);
	SAY(old_timedwait(&old.cond, &mutex, SOON(CLOCK_REALTIME)));
	SAY(old_timedwait(&old.cond, &mutex, &negative));
	pthread_mutex_unlock(&mutex);
	say_words();
	for (int timed = 0; timed < 2; timed++) {
		waiter_begin(&w[0], take_old, timed ? &timed : NULL);
		give(1);
		SAY(old_signal(&old.cond));
		waiter_end(&w[0], "woken");
	}
	for (int i = 0; i < 3; i++)
		waiter_begin(&w[i], take_old, NULL);
	give(3);
	SAY(old_broadcast(&old.cond));
	for (int i = 0; i < 3; i++)
		waiter_end(&w[i], "one of three");
	say_words();
	SAY(old_destroy(&old.cond));

	waiter_begin(&w[0], take_new, NULL);
	give(1);
	SAY(pthread_cond_signal(&new_cond));
	waiter_end(&w[0], "with today's version");

	/* Looked up at run time, by name alone and by version. */
	static const char *const versions[] = {"GLIBC_2.3.2", "GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_9"};
	for (size_t i = 0; i < 4; i++)
		printf("    %s %d %d\n", versions[i], dlvsym(RTLD_DEFAULT, "pthread_cond_wait", versions[i]) != NULL,
		       dlvsym(RTLD_NEXT, "pthread_cond_wait", versions[i]) != NULL);
	int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
	*(void **)&wait = dlsym(RTLD_DEFAULT, "pthread_cond_timedwait");
	pthread_mutex_lock(&mutex);
	SAY(wait(&new_cond, &mutex, SOON(CLOCK_REALTIME)));
	*(void **)&wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
	SAY(wait(&new_cond, &mutex, SOON(CLOCK_REALTIME)));
	*(void **)&wait = dlsym(dlopen("libc.so.6", RTLD_NOW), "pthread_cond_timedwait");
	SAY(wait(&new_cond, &mutex, SOON(CLOCK_REALTIME)));
	return 0;
}
