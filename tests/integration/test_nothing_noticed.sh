#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that looks at itself sees nothing of cprof but what is documented: LD_PRELOAD,
# CPROF_* and the two handlers.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# The documented differences, taken out of both views.
allowed()
{
	sed -E -e '/^env (LD_PRELOAD|CPROF_[A-Z_]*)=/d' -e '/^raw signal (27|10) /d' "$1"
}

# Both runs write to $TMP/view: they see the same name.
compare()
{
	allowed "$TMP/plain" >"$TMP/plain.view"
	allowed "$TMP/seen" >"$TMP/seen.view"
	expect "$1: the view is the same" diff "$TMP/plain.view" "$TMP/seen.view"
	expect_range "$1: lines in the view" 150 "$(wc -l <"$TMP/plain.view")" 1000
}

bounded env "$VICTIMS/self_view" >"$TMP/view" 2>&1 </dev/null
mv "$TMP/view" "$TMP/plain"
profiled "$VICTIMS/self_view" >"$TMP/view" 2>&1 </dev/null || fail "exit status $?"
mv "$TMP/view" "$TMP/seen"
compare "first process"
expect_equal "first process: only known variables" "" \
	"$(grep '^env CPROF_' "$TMP/seen" | grep -vE '^env CPROF_(OUT|EXIT_WAIT|SESSION)=' || true)"
expect_profile self_view cpu "first process"
expect_equal "first process: handlers that are documented" "raw signal 10 handler raw signal 27 handler" \
	"$(grep -E '^raw signal (27|10) ' "$TMP/seen" | xargs)"

# A later process of the tree.
fresh_out
bounded env sh -c '"$1" >"$2" 2>&1 </dev/null; true' sh "$VICTIMS/self_view" "$TMP/view"
mv "$TMP/view" "$TMP/plain"
profiled sh -c '"$1" >"$2" 2>&1 </dev/null; true' sh "$VICTIMS/self_view" "$TMP/view" || fail "exit status $?"
mv "$TMP/view" "$TMP/seen"
compare "second process"
settle || true

# With a soft limit on descriptors, other limits, another umask, ignored and blocked signals.
odd()
{
	# shellcheck disable=SC2016
	bash -c 'ulimit -n 64; ulimit -c 0; ulimit -s 4096; umask 077; trap "" HUP USR2; cd /; exec 5</dev/null 7>/dev/null; exec nice -n 3 "$@"' bash "$@"
}
fresh_out
odd env "$VICTIMS/self_view" >"$TMP/view" 2>&1 </dev/null
mv "$TMP/view" "$TMP/plain"
odd env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" "$VICTIMS/self_view" >"$TMP/view" 2>&1 </dev/null || fail "exit status $?"
mv "$TMP/view" "$TMP/seen"
compare "odd surroundings"
expect_profile self_view cpu "odd surroundings"

# Standard descriptors closed: nothing of ours may take their numbers.
fresh_out
bounded env "$VICTIMS/self_view" 2>/dev/null >"$TMP/view" <&-
mv "$TMP/view" "$TMP/plain"
profiled "$VICTIMS/self_view" 2>/dev/null >"$TMP/view" <&- || fail "exit status $?"
mv "$TMP/view" "$TMP/seen"
compare "stdin closed"

# A program that closes all descriptors at its start is profiled all the same.
fresh_out
steady_cpu
bounded "${STEADY[@]}" env "$VICTIMS/self_view" close-all >"$TMP/view" 2>&1 </dev/null
mv "$TMP/view" "$TMP/plain"
profiled "$VICTIMS/self_view" close-all >"$TMP/view" 2>&1 </dev/null || fail "exit status $?"
mv "$TMP/view" "$TMP/seen"
compare "all descriptors closed"
expect_profile self_view cpu "all descriptors closed"
expect_profile self_view heap "all descriptors closed"
expect_range "all descriptors closed: samples" "$(steady_least 5)" "$(query "$(profile self_view cpu)" has main samples)" 30
STEADY=()

# No process is left, no zombie, no file but the profiles.
expect "the collector is gone soon after" settle
expect_equal "no zombie" "" "$(ps -eo ppid=,stat=,comm= | awk -v me=$$ '$1 == me && $2 ~ /Z/' || true)"
expect_all_valid "at the end"
expect_equal "nothing in shared memory" "" "$(find /dev/shm -maxdepth 1 -name "*cprof*" 2>/dev/null || true)"

# A program without libc, as Go's position independent ones are: the dynamic linker preloads there too.
fresh_out
expect_equal "without libc: same status" 3 "$(status_of profiled CPROF_CPU_HZ=250 "$VICTIMS/no_libc")"
expect_equal "without libc: nothing said" "" "$(<"$TMP/stderr")"
expect_equal "without libc: no file" "" "$(ls -A "$OUT")"
# shellcheck disable=SC2016
expect_equal "without libc, in a tree: same status" 3 "$(status_of profiled CPROF_CPU_HZ=250 sh -c '"$1"; exit $?' sh "$VICTIMS/no_libc")"
expect "without libc, in a tree: settles" settle

# Started by nohup, which execs.
fresh_out
expect_equal "under nohup: same status" 4 "$(status_of profiled nohup "$VICTIMS/steady" 50 4)"
expect "under nohup: settles" settle
expect "under nohup: profile" has_profile steady cpu

# Huge pages: a touch of one of the library's tables would take 2 MiB where they are the rule.
if [ -d /sys/kernel/mm/transparent_hugepage ]; then
	fresh_out
	profiled cat /proc/self/smaps >"$TMP/smaps" || fail "exit status $?"
	flags=$(awk '/libcprof\.so$/ { ours = 1 } ours && / 00:00 0 *$/ { tables = 1 }
		tables && /^VmFlags/ { print; exit }' "$TMP/smaps")
	expect "the library's tables are kept out of huge pages" grep -qw nh <<<"$flags"
fi
finish
