#!/bin/bash
# SPDX-License-Identifier: MIT
# make -j2 compiles a C++ project with g++: a hundred short processes, the same objects byte by byte.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

command -v g++ make >/dev/null || skip_test "g++ or make is not installed"
FILES=20

mkdir -p "$TMP/project"
cd "$TMP/project"
for ((i = 0; i < FILES; i++)); do
	cat >part$i.cc <<-CODE
		#include <algorithm>
		#include <string>
		#include <vector>
		struct item$i { std::string name; long value; bool operator<(const item$i &o) const { return value < o.value; } };
		long part$i(long n)
		{
			std::vector<item$i> items;
			for (long k = 0; k < n; k++)
				items.push_back({std::to_string(k * $i), k * $((i * 7919 % 101)) % 31});
			std::sort(items.begin(), items.end());
			return items.back().value + static_cast<long>(items.front().name.size());
		}
	CODE
done
{
	printf 'long part%d(long);\n' $(seq 0 $((FILES - 1)))
	echo '#include <cstdio>'
	echo 'int main() { long all = 0;'
	printf 'all += part%d(40);\n' $(seq 0 $((FILES - 1)))
	echo 'std::printf("%ld\n", all); }'
} >main.cc
cat >Makefile <<-'MAKE'
	.RECIPEPREFIX := >
	OBJECTS := $(patsubst %.cc,%.o,$(wildcard *.cc))
	program: $(OBJECTS)
	> g++ -o $@ $(sort $(OBJECTS))
	%.o: %.cc
	> g++ -O1 -g0 -c -o $@ $<
MAKE
status=0
LIMIT=200 bounded make -s -j2 >"$TMP/plain.log" 2>&1 || status=$?
expect_equal "plain: status" 0 "$status"
mkdir "$TMP/plain"
mv ./*.o program "$TMP/plain"
status=0
LIMIT=200 profiled make -s -j2 >"$TMP/seen.log" 2>&1 || status=$?
expect_equal "exit status" 0 "$status"
expect "same output" diff "$TMP/plain.log" "$TMP/seen.log"
same=0
for file in *.o program; do
	cmp -s "$file" "$TMP/plain/$file" && same=$((same + 1))
done
expect_equal "objects the same byte by byte" $((FILES + 2)) "$same"
expect_equal "the program works" "$("$TMP/plain/program")" "$(./program)"
expect "settles" settle
expect_all_valid "compile"
# One that is always preempted before the kernel's tick has none.
expect_range "cpu profiles of cc1plus: most have samples" $((FILES * 3 / 4)) "$(profiles_of cc1plus cpu | wc -l)" $((FILES + 1))
expect_profile make heap
mapfile -t all < <(profiles_of cc1plus cpu)
pprof -top "${all[@]}" >"$TMP/top" 2>&1 || fail "go tool pprof merges all of cc1plus"
expect "merged: functions with names" grep -qE '(malloc|free|memset|_int_malloc|_IO_|read)' "$TMP/top"
finish
