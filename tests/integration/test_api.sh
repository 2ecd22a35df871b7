#!/bin/bash
# SPDX-License-Identifier: MIT
# cprof.h: builds without a warning in C99 and C++, for every way to link; without libcprof.so nothing
# happens; with it, what is asked for happens.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

ROOT=$HERE/../..
strict=(-Wall -Wextra -Werror -pedantic -Wshadow -Wconversion -I"$ROOT/include")
absent="traced 0 task 0 region 0 evaluated 0 snapshot -38 flight -38 errno 77"
without="traced 0 task 0 region 0 evaluated 0 snapshot 0 flight -61 errno 77"
traced="traced 1 task 1 region 1 evaluated 1 snapshot 0 flight 0 errno 77"

# try NAME COMPILER FLAGS...: builds it and runs it without cprof, under it, and with a trace.
try()
{
	local name="$*" source=$VICTIMS_SOURCE/api_calls.c
	cp "$source" "$TMP/program.${1##*.}"
	if ! "${@:2}" "${strict[@]}" -o "$TMP/program" "$TMP/program.${1##*.}" >"$TMP/compile.log" 2>&1; then
		fail "$name: $(head -3 "$TMP/compile.log")"
		return
	fi
	expect_equal "$name: without cprof" "$absent" "$(bounded "$TMP/program")"
	# What is linked statically loads nothing.
	if [[ " $* " == *" -static"* ]]; then
		return
	fi
	expect_equal "$name: under cprof" "$without" "$(profiled "$TMP/program")"
	expect_equal "$name: with a trace" "$traced" "$(profiled CPROF_TRACE=flight "$TMP/program")"
}

VICTIMS_SOURCE=$HERE/victims
for compiler in gcc clang; do
	command -v $compiler >/dev/null || {
		skip_check "$compiler is not here"
		continue
	}
	try a.c $compiler -std=c99 -O0
	try a.c $compiler -std=c99 -O2 -no-pie -fno-pic
	try a.c $compiler -std=c11 -O2 -flto
	try a.c $compiler -std=c11 -O2 -masm=intel
	try a.c $compiler -std=c99 -O2 -static
	try a.cc ${compiler/gcc/g}++ -std=c++11 -O0
	try a.cc ${compiler/gcc/g}++ -std=c++17 -O2 -fPIE -pie
done

# The symbols are weak references and nothing else: no library is needed for them.
expect_equal "nothing but weak references" "" "$(nm -D "$VICTIMS/api_calls" | grep cprof | grep -v ' w cprof_api_' || true)"
expect_equal "cprof.h goes without its neighbours" "" "$(grep '#include "' "$ROOT/include/cprof.h" || true)"

fresh_out
expect_equal "C++ scopes: without cprof" "labels 1 task 0" "$(bounded "$VICTIMS/api_scopes")"
expect_equal "C++ scopes: under cprof" "labels 1 task 0" "$(profiled "$VICTIMS/api_scopes")"
expect_equal "C++ scopes: with a trace" "labels 1 task 0" "$(profiled CPROF_TRACE=flight "$VICTIMS/api_scopes")"

fresh_out
profiled "$VICTIMS/api_calls" >/dev/null
expect "settles" settle
expect_equal "cprof_snapshot() leaves a snapshot" 1 "$(compgen -G "$OUT/api_calls.*.heap.1.pb.gz" | wc -l)"
finish
