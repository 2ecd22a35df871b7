/* SPDX-License-Identifier: MIT */
/*
 * The text that google/autofdo's create_llvm_prof and create_gcov take with
 * --profiler=text: three lists, each behind its length, of ranges (only branch records
 * have those), of samples by address, and of branches; ours are the calls that the stacks
 * show.
 *
 * Context: command line; see pgo_write.h.
 */
#include <errno.h>
#include <inttypes.h>

#include "pgo_write.h"

int pgo_write_autofdo(const struct pgo_samples *samples, FILE *to)
{
	size_t calls = 0;
	fprintf(to, "0\n%zu\n", samples->leaf_count);
	for (size_t i = 0; i < samples->leaf_count; i++)
		fprintf(to, "%" PRIx64 ":%" PRIu64 "\n", samples->leaves[i].address,
			samples->leaves[i].count);
	for (size_t i = 0; i < samples->call_count; i++)
		calls += samples->calls[i].to != 0;
	fprintf(to, "%zu\n", calls);
	for (size_t i = 0; i < samples->call_count; i++)
		if (samples->calls[i].to)
			fprintf(to, "%" PRIx64 "->%" PRIx64 ":%" PRIu64 "\n", samples->calls[i].from,
				samples->calls[i].to, samples->calls[i].count);
	return fflush(to) == 0 && !ferror(to) ? 0 : -EIO;
}
