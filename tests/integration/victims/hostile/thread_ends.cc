/* SPDX-License-Identifier: MIT */
/*
 * What runs at a thread's end: C++ thread_local destructors, destructors of thread-specific
 * data that set the data again, allocate, and start threads.
 *
 * Context: test program.
 */
#include <pthread.h>

#include <string>
#include <thread>
#include <vector>

#include "hostile.h"

static pthread_key_t key;
static int rounds, gone, born;

static void *newborn(void *)
{
	hostile_allocates(1);
	__atomic_add_fetch(&born, 1, __ATOMIC_RELAXED);
	return nullptr;
}

static void again(void *value)
{
	const long round = (long)value;
	__atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
	hostile_allocates(1);
	pthread_t thread;
	if (round == 2 && pthread_create(&thread, nullptr, newborn, nullptr) == 0)
		pthread_detach(thread);
	if (round < 4)
		pthread_setspecific(key, (void *)(round + 1));
}

struct Local {
	std::vector<std::string> words{100, "some words that do not fit into the string itself"};
	~Local()
	{
		std::string copy = words[7] + words[8];
		hostile_allocates(1);
		__atomic_add_fetch(&gone, (int)(copy.size() > 50), __ATOMIC_RELAXED);
	}
};
static thread_local Local local;

static void life()
{
	pthread_setspecific(key, (void *)1L);
	local.words[3] += "x";
	spin_cpu_ns(300000);
}

int main()
{
	pthread_key_create(&key, again);
	for (int i = 0; i < 200; i++)
		std::thread(life).join();
	while (__atomic_load_n(&born, __ATOMIC_ACQUIRE) < 200)
		usleep(1000);
	say("rounds %d gone %d born %d\n", rounds, gone, born);
	say("owes %d\n", rounds + gone + born);
	hostile_works();
	return 0;
}
