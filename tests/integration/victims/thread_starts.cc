/* SPDX-License-Identifier: MIT */
/* cflags: -std=c++20 */
/*
 * Threads started by every means, each call site a known number of times, some in vain.
 *
 *     starts SITE LEAF COUNT
 *
 * Context: test program.
 */
#include "lock_victim.h"
#include "victim.h"

#include <future>
#include <sys/wait.h>
#include <thread>
#include <threads.h>
#include <vector>

static void *ends_at_once(void *argument) { return argument; }

FRAME static void starts_joined(int count)
{
	for (int i = 0; i < count; i++) {
		pthread_t thread;
		pthread_create(&thread, nullptr, ends_at_once, nullptr);
		pthread_join(thread, nullptr);
	}
}

FRAME static void starts_detached(int count)
{
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 65536);
	for (int i = 0; i < count; i++) {
		pthread_t thread;
		pthread_create(&thread, &attributes, ends_at_once, nullptr);
	}
}

/* More stack than there is address space. */
FRAME static int starts_in_vain(int count)
{
	int failed = 0;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, size_t{1} << 50);
	for (int i = 0; i < count; i++) {
		pthread_t thread;
		failed += pthread_create(&thread, &attributes, ends_at_once, nullptr) == EAGAIN;
	}
	return failed;
}

FRAME static void starts_c11(int count)
{
	for (int i = 0; i < count; i++) {
		thrd_t thread;
		thrd_create(&thread, [](void *) { return 0; }, nullptr);
		thrd_join(thread, nullptr);
	}
}

FRAME static void starts_std_thread(int count)
{
	for (int i = 0; i < count; i++)
		std::thread([] {}).join();
}

FRAME static void starts_jthread(int count)
{
	std::vector<std::jthread> threads;
	for (int i = 0; i < count; i++)
		threads.emplace_back([] {});
}

FRAME static void starts_async(int count)
{
	for (int i = 0; i < count; i++)
		std::async(std::launch::async, [] { return 1; }).get();
}

FRAME static void *starts_from_a_thread(void *)
{
	for (int i = 0; i < 3; i++)
		std::thread([] {}).join();
	return nullptr;
}

FRAME static void starts_that_one(int count)
{
	for (int i = 0; i < count; i++) {
		pthread_t thread;
		pthread_create(&thread, nullptr, starts_from_a_thread, nullptr);
		pthread_join(thread, nullptr);
	}
}

FRAME static void starts_in_a_child(int count)
{
	for (int i = 0; i < count; i++)
		std::thread([] {}).join();
}

int main()
{
	begin();
	starts_joined(5);
	starts_detached(4);
	const int failed = starts_in_vain(2);
	starts_c11(3);
	starts_std_thread(6);
	starts_jthread(7);
	starts_async(2);
	starts_that_one(2);
	fflush(stdout);
	const pid_t child = fork();
	if (child == 0) {
		starts_in_a_child(9);
		_exit(0);
	}
	waitpid(child, nullptr, 0);
	printf("failed %d\n", failed);
	printf("starts starts_joined pthread_create 5\nstarts starts_detached pthread_create 4\n"
	       "starts starts_in_vain pthread_create 0\nstarts starts_c11 thrd_create 3\n"
	       "starts starts_std_thread pthread_create 6\nstarts starts_jthread pthread_create 7\n"
	       "starts starts_async pthread_create 2\nstarts starts_that_one pthread_create 2\n"
	       "starts starts_from_a_thread pthread_create 6\nstarts starts_in_a_child pthread_create 0\n");
}
