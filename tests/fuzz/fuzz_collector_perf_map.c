/* SPDX-License-Identifier: MIT */
/*
 * A perf map, as a JIT compiler writes it: whatever it says, what is found covers what was asked for.
 *
 * Context: test program.
 */
#include "fuzz.h"
#include "perf_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct perf_map *map = perf_map_parse((const char *)data, size);
	if (!map)
		return 0;
	static const uint64_t places[] = {0, 1, 0x1000, 0x7f0000000000, UINT64_MAX};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		const char *name = perf_map_find(map, places[i]);
		fuzz_demand(!name || strlen(name) <= size);
	}
	uint64_t asked = 0;
	for (size_t i = 0; i < size; i++) {
		asked = asked << 4 | (data[i] & 15);
		const char *name = perf_map_find(map, asked);
		fuzz_demand(!name || strlen(name) <= size);
	}
	perf_map_free(map);
	return 0;
}
