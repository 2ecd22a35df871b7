/* SPDX-License-Identifier: MIT */
// cflags: -fnon-call-exceptions -fno-optimize-sibling-calls
/*
 * C++ exceptions: through frames with destructors, out of signal handlers, rethrown in
 * another thread, thrown while one is handled, and by operator new that has no memory.
 *
 * Context: test program.
 */
#include <signal.h>

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "hostile.h"

static int destroyed;

struct Guard {
	~Guard() { destroyed++; }
};

static void on_fault(int)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigprocmask(SIG_UNBLOCK, &set, nullptr);
	throw std::runtime_error("fault");
}

static FRAME int touches(volatile int *where)
{
	Guard guard;
	return *where;
}

static FRAME void falls(int depth)
{
	Guard guard;
	std::string text(100, 'x');
	if (depth == 0)
		throw std::out_of_range(text);
	falls(depth - 1);
}

int main()
{
	signal(SIGSEGV, on_fault);
	int caught = 0;
	for (int i = 0; i < 2000; i++)
		try {
			touches(nullptr);
		} catch (const std::runtime_error &error) {
			caught += error.what() == std::string("fault");
		}
	say("out of a handler: caught %d destroyed %d\n", caught, destroyed);
	caught = destroyed = 0;
	for (int i = 0; i < 20000; i++)
		try {
			falls(i % 20);
		} catch (const std::exception &error) {
			caught += strlen(error.what()) == 100;
		}
	say("through frames: caught %d destroyed %d\n", caught, destroyed);
	caught = 0;
	for (int i = 0; i < 50; i++) {
		std::exception_ptr carried;
		std::thread([&] {
			try {
				falls(3);
			} catch (...) {
				carried = std::current_exception();
			}
		}).join();
		try {
			std::rethrow_exception(carried);
		} catch (const std::out_of_range &) {
			caught++;
		}
	}
	say("from another thread: caught %d\n", caught);
	volatile size_t huge = (size_t)1 << 62;
	try {
		delete[] new char[huge];
	} catch (const std::bad_alloc &error) {
		say("no memory: %s\n", error.what());
	}
	say("nothrow %d\n", new (std::nothrow) char[huge] == nullptr);
	std::set_new_handler([] { throw 17; });
	try {
		delete[] new char[huge];
	} catch (int seventeen) {
		say("new handler: %d\n", seventeen);
	}
	hostile_works();
	return 0;
}
