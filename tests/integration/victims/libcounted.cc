/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * A C++ plugin that tells when it is loaded and when it goes; its calls are counted
 * from its loading.  Context: test program.
 */
#include "victim.h"

#include <cstdio>
#include <cstdlib>
#include <new>

static int calls;
static void *volatile block;

static struct presence {
	presence() { std::puts("plugin comes"); }
	~presence() { std::puts("plugin goes"); }
} here;

extern "C" FRAME void plugin_news()
{
	block = ::operator new(48);
	::operator delete(block);
}

extern "C" int64_t plugin_work(int64_t ns)
{
	plugin_news();
	std::printf("call %d\n", ++calls);
	return ns;
}

extern "C" void *plugin_allocates(size_t bytes) { return std::malloc(bytes); }
