/* SPDX-License-Identifier: MIT */
/*
 * Throws a million exceptions through four frames with destructors, and counts
 * that each arrives: stack unwinding must not be disturbed by sampling.
 *
 * Context: test program.
 */
#include "victim.h"

#include <cstdio>
#include <stdexcept>
#include <string>

static long destroyed;

struct guard {
	~guard() { destroyed++; }
};

struct failure : std::runtime_error {
	explicit failure(long n) : std::runtime_error("number"), number(n) {}
	long number;
};

FRAME void throw_one(long n)
{
	guard g;
	throw failure(n);
}

FRAME void rethrow_one(long n)
{
	guard g;
	try {
		throw_one(n);
	} catch (const std::logic_error &) {
		destroyed += 1000000000;
	}
}

FRAME long catch_all(long count)
{
	long caught = 0;
	for (long n = 0; n < count; n++)
		try {
			guard g;
			rethrow_one(n);
		} catch (const failure &f) {
			caught += f.number == n;
		}
	return caught;
}

int main()
{
	const long caught = catch_all(1000000);
	std::printf("caught %ld destroyed %ld\n", caught, destroyed);
	return 0;
}
