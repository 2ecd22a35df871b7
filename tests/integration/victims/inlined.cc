/* SPDX-License-Identifier: MIT */
/*
 * Optimised C++ whose hot code is inlined twice: outer_work calls middle_sum calls
 * inner_mix, of which only outer_work is left as a function.  Also a template, a
 * namespace, a lambda and a static function, for their names.
 *
 * Context: test program.
 */
#include "victim.h"

#include <cstdio>
#include <cstdlib>

static volatile uint64_t sink;

static inline __attribute__((always_inline)) uint64_t inner_mix(uint64_t x)
{
	x ^= x >> 31; /* line-inner */
	return x * 0x7fb5d329728ea185u;
}

static inline __attribute__((always_inline)) uint64_t middle_sum(uint64_t from, int count)
{
	for (int i = 0; i < count; i++)
		from += inner_mix(from); /* line-middle */
	return from;
}

FRAME void outer_work(int64_t ns)
{
	const int64_t end = thread_cpu_ns() + ns;
	while (thread_cpu_ns() < end)
		sink = middle_sum(sink, 20000); /* line-outer */
}

namespace space {
template <typename T> struct box {
	FRAME void turn(T ns) { spin_cpu_ns(ns); }
};
}

static FRAME void only_static(int64_t ns) { spin_cpu_ns(ns); }

int main(int argc, char **argv)
{
	const int64_t ns = (argc > 1 ? strtoll(argv[1], nullptr, 10) : 300) * 1000000;
	outer_work(ns);
	space::box<long> b;
	b.turn(ns / 2);
	only_static(ns / 2);
	auto lambda = [](int64_t n) FRAME { spin_cpu_ns(n); };
	lambda(ns / 2);
	void *volatile block = std::malloc(4321);
	std::printf("done %d\n", block != nullptr);
	return 0;
}
