/* SPDX-License-Identifier: MIT */
/*
 * A plugin with a lock of its own that is waited for in its constructor and destructor.
 *
 * Context: test program.
 */
#include "lock_victim.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int lock(void *unused) { (void)unused; return pthread_mutex_lock(&mutex); }
static int unlock(void *unused) { (void)unused; return pthread_mutex_unlock(&mutex); }

static void wait_here(const char *where)
{
	printf("%s\n", where);
	SAY_WAITING(pthread_mutex_lock(&mutex), lock, unlock, NULL);
	SAY(pthread_mutex_unlock(&mutex));
	fflush(stdout);
}

__attribute__((constructor)) static void on_load(void)
{
	wait_here("a plugin's constructor");
}

__attribute__((destructor)) static void on_unload(void)
{
	wait_here("a plugin's destructor");
}

void plugin_waits(void (*callback)(const char *where));

void plugin_waits(void (*callback)(const char *where))
{
	wait_here("a plugin");
	callback("a plugin's callback");
}
