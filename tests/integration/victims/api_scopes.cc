// SPDX-License-Identifier: MIT
// cflags: -std=c++17 -pedantic -Wall -Wextra -Werror -Iinclude
// The C++ wrappers of cprof.h: scopes that are left by exceptions, and work that wanders.
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "cprof.h"

static void fail(int depth)
{
	cprof::region region("fail");
	cprof::labels labels("depth", std::to_string(depth).c_str());
	if (depth == 0)
		throw std::runtime_error("bottom");
	fail(depth - 1);
}

int main()
{
	cprof_labels before = cprof_labels_current();
	{
		cprof::task task("job");
		try {
			fail(5);
		} catch (const std::runtime_error &error) {
			cprof_log("caught", error.what());
		}
		task.leave();
		std::thread([job = std::move(task), labels = cprof_labels_current()] {
			cprof::task_switch here(job.get());
			cprof::labels theirs(labels);
			cprof::region region("elsewhere");
			cprof_logf("thread", "task %d", job.get().id != 0);
		}).join();
	}
	std::printf("labels %d task %d\n", cprof_labels_current().set == before.set, cprof_task_current().id != 0);
	return 0;
}
