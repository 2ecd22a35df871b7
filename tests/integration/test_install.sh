#!/bin/bash
# SPDX-License-Identifier: MIT
# The installed product, and `cprof run` in front of it.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

prefix=$TMP/prefix
expect "make install" make --no-print-directory -C "$HERE/../.." BUILD="$BUILD" PREFIX="$prefix" install
for file in lib/libcprof.so bin/cprof libexec/cprof/cprof-collector; do
	expect "$file is there" test -x "$prefix/$file"
done
for file in alerts.yml alerts_test.yml dashboard.json; do
	expect "share/cprof/$file is there" test -r "$prefix/share/cprof/$file"
done
expect "include/cprof.h is there" test -r "$prefix/include/cprof.h"
expect "cprof.pc is there" grep -qx "prefix=$prefix" "$prefix/lib/pkgconfig/cprof.pc"
rm -rf "$TMP/staged"
expect "make install with DESTDIR" make --no-print-directory -C "$HERE/../.." BUILD="$BUILD" DESTDIR="$TMP/staged" PREFIX=/usr install
expect "DESTDIR is honoured" test -x "$TMP/staged/usr/lib/libcprof.so"

# The bare name, found by the loader.
expect_equal "bare LD_PRELOAD: status" 5 "$(status_of bounded env LD_LIBRARY_PATH="$prefix/lib" LD_PRELOAD=libcprof.so CPROF_OUT="$OUT" \
	"$VICTIMS/steady" 100 5)"
expect_equal "bare LD_PRELOAD: nothing said" "" "$(<"$TMP/stderr")"
expect_profile steady cpu "bare LD_PRELOAD"
fresh_out
expect_equal "bare LD_PRELOAD: children in other directories" "done" "$(bounded env LD_LIBRARY_PATH="$prefix/lib" LD_PRELOAD=libcprof.so \
	CPROF_OUT="$OUT" sh -c 'cd / && "$1" 100' sh "$VICTIMS/steady" 2>&1)"
expect "settles" settle
expect_profile steady cpu "bare LD_PRELOAD, child elsewhere"

# A relative path, with a child in another directory.
fresh_out
cd "$prefix"
expect_equal "relative LD_PRELOAD: child elsewhere" "done 0" "$(bounded env LD_PRELOAD=lib/libcprof.so CPROF_OUT="$OUT" \
	bash -c 'cd /; "$1" 100; echo $?' bash "$VICTIMS/steady" 2>&1 | xargs)"
cd "$TMP"
expect "settles" settle
expect_profile steady cpu "relative LD_PRELOAD"
fresh_out
cd "$prefix/lib"
expect_equal "relative LD_PRELOAD with another library: child elsewhere" "done" "$(bounded env LD_PRELOAD="./libcprof.so:libc.so.6" CPROF_OUT=out-here \
	sh -c 'cd /; "$1" 100' sh "$VICTIMS/steady" 2>&1)"
expect "relative CPROF_OUT: where the first process was" wait_until 10 compgen -G "$prefix/lib/out-here/steady.*.cpu.pb.gz"
cd "$TMP"

# ---- cprof run ----
cprof="$prefix/bin/cprof"
run() { bounded "${STEADY[@]}" "$cprof" run --out "$OUT" "$@"; }
fresh_out
expect_equal "run: output" "done" "$(run -- "$VICTIMS/steady" 300 0 2>/dev/null)"
fresh_out
expect_equal "run: status" 9 "$(status_of run -- "$VICTIMS/steady" 300 9)"
expect "run: the summary names the files" grep -q 'steady\.[0-9]*\.cpu\.pb\.gz' "$TMP/stderr"
expect "run: the summary names the hot function" grep -q spin_briefly "$TMP/stderr"
expect "run: the summary counts samples" grep -qi 'samples' "$TMP/stderr"
expect "run: the summary counts what is lost" grep -qi 'lost' "$TMP/stderr"
expect_equal "run --quiet says nothing" "" "$(run --quiet -- "$VICTIMS/steady" 50 0 2>&1 >/dev/null)"
expect_equal "run: true" 0 "$(status_of run -- true)"
expect_equal "run: false" 1 "$(status_of run -- false)"
expect_equal "run: killed by a signal" 143 "$(status_of run -- sh -c 'kill -TERM $$')"
expect_equal "run: no such command" 127 "$(status_of run -- /nonexistent/command)"
expect_equal "run: no such command: one line" 1 "$(grep -c nonexistent "$TMP/stderr" || true)"
expect_equal "run: not executable" 126 "$(status_of run -- "$HERE/lib.sh")"
expect_equal "run: no command" 2 "$(status_of run)"
expect_equal "run: unknown option" 2 "$(status_of run --heap-rats 1 -- true)"
expect_equal "run: standard input passes" "abc" "$(echo abc | run --quiet -- cat)"
fresh_out
run --heap-rate 1 --cpu-hz 250 --quiet -- "$VICTIMS/steady" 200 0 >/dev/null
expect_equal "run: options are the variables" "1000 100000" \
	"$(query "$(profile steady heap)" has steady_allocates alloc_objects) $(query "$(profile steady heap)" has steady_allocates alloc_space)"
expect_range "run: --cpu-hz" 40 "$(query "$(profile steady cpu)" total samples)" 60
fresh_out
run --heap-rate=1 --quiet -- "$VICTIMS/family" tree 100 >/dev/null
expect_equal "run waits for the whole tree" 3 "$(profiles_of family cpu | wc -l)"
expect_all_valid "run"
expect_equal "an environment of its own is not left to the command" "" "$(run --quiet -- env | grep -E '^CPROF_' | grep -vE '^CPROF_(OUT|SESSION|RUN)=' || true)"
expect "cprof --help" bounded "$cprof" --help
expect "cprof run --help" bounded "$cprof" run --help
expect "cprof --version" bounded "$cprof" --version
expect_equal "cprof with nonsense" 2 "$(status_of bounded "$cprof" nonsense)"
finish
