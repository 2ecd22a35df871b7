#!/bin/bash
# SPDX-License-Identifier: MIT
# Each variable does what the table says.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

# tree VARIABLES...: a shell, a child of it by exec, a grandchild by fork.
tree()
{
	fresh_out
	expect_equal "$*: status and output" "done 6" "$(profiled "$@" bash -c 'for ((i = 0; i < 100000; i++)); do :; done; "$1" 150 6; echo $?' bash "$VICTIMS/steady" 2>"$TMP/err" | xargs)"
	expect "$*: settles" settle
}

tree CPROF_FOLLOW=1
expect_profile steady cpu "FOLLOW=1"
expect_profile bash cpu "FOLLOW=1"
tree CPROF_FOLLOW=0
expect_profile bash cpu "FOLLOW=0"
expect_equal "FOLLOW=0: no child" "" "$(compgen -G "$OUT/steady.*" || true)"
fresh_out
profiled CPROF_FOLLOW=0 "$VICTIMS/family" fork 200 >"$TMP/truth" || fail "FOLLOW=0: fork"
settle || true
expect_equal "FOLLOW=0: no forked child" 1 "$(profiles_of family cpu | wc -l)"

tree 'CPROF_MATCH=ste*'
expect_profile steady cpu "MATCH"
expect_equal "MATCH: not the shell" "" "$(compgen -G "$OUT/bash.*" || true)"
tree 'CPROF_SKIP=ste*'
expect_profile bash cpu "SKIP"
expect_equal "SKIP: not the child" "" "$(compgen -G "$OUT/steady.*" || true)"
tree 'CPROF_MATCH=*' 'CPROF_SKIP=ba[rs]h'
expect_profile steady cpu "MATCH and SKIP"
expect_equal "MATCH and SKIP: not the shell" "" "$(compgen -G "$OUT/bash.*" || true)"
tree 'CPROF_MATCH=nothing'
expect_equal "MATCH nothing: no file" "" "$(ls -A "$OUT")"

# OUT is made if missing, also several levels of it.
fresh_out
OUT=$TMP/made/for/us profiled "$VICTIMS/steady" 100 >/dev/null 2>"$TMP/err" || fail "OUT: status"
expect_equal "OUT: made" 1 "$(find "$TMP/made/for/us" -name 'steady.*.cpu.pb.gz' 2>/dev/null | wc -l)"
mkdir -p "$TMP/cwd"
(cd "$TMP/cwd" && bounded env LD_PRELOAD="$CPROF_LIB" "$VICTIMS/steady" 100 >/dev/null)
expect_equal "OUT: the working directory by default" 2 "$(find "$TMP/cwd" -name 'steady.*.pb.gz' | wc -l)"

# Off is off.
fresh_out
profiled CPROF_CPU_HZ=0 CPROF_HEAP_RATE=1 "$VICTIMS/steady" 100 >/dev/null
expect_equal "CPU_HZ=0: no cpu profile" "" "$(compgen -G "$OUT/*.cpu.pb.gz" || true)"
expect_profile steady heap "CPU_HZ=0"
fresh_out
profiled CPROF_HEAP_RATE=0 "$VICTIMS/steady" 100 >/dev/null
expect_equal "HEAP_RATE=0: no heap profile" "" "$(compgen -G "$OUT/*.heap.pb.gz" || true)"
expect_profile steady cpu "HEAP_RATE=0"
fresh_out
profiled CPROF_HEAP_RATE=0 CPROF_CPU_HZ=0 "$VICTIMS/steady" 50 >/dev/null
expect_equal "both off: no file" "" "$(ls -A "$OUT")"

# The rates are in the profile, and in the figures.
fresh_out
profiled CPROF_CPU_HZ=250 CPROF_HEAP_RATE=64K "$VICTIMS/steady" 400 >/dev/null
expect_equal "period of 250 Hz" "period cpu/nanoseconds 4000000" "$(query "$(profile steady cpu)" types | tail -1)"
expect_equal "period of 64K" "period space/bytes 65536" "$(query "$(profile steady heap)" types | tail -1)"
expect_range "samples at 250 Hz in 400 ms" 90 "$(query "$(profile steady cpu)" total samples)" 108

# An empty profile is written for the first process only.
fresh_out
profiled sh -c '/bin/true; /bin/true' || fail "empty: status"
settle || true
expect_profile sh cpu "empty"
expect_profile sh heap "empty"
expect_equal "empty: none for the children" "" "$(compgen -G "$OUT/true.*" || true)"

# SIGNAL=none leaves SIGUSR1 what it is.
fresh_out
expect_equal "SIGNAL=none: SIGUSR1 kills as ever" 138 "$( (profiled CPROF_SIGNAL=none sh -c 'kill -USR1 $$' >/dev/null 2>&1) 2>/dev/null; echo $?)"
expect "SIGNAL=none: settles" settle
expect_equal "SIGNAL=none: no snapshot" "" "$(compgen -G "$OUT/*.heap.1.pb.gz" || true)"
expect_equal "SIGNAL=USR2: SIGUSR1 kills as ever" 138 "$( (profiled CPROF_SIGNAL=USR2 sh -c 'kill -USR1 $$' >/dev/null 2>&1) 2>/dev/null; echo $?)"

# LOG.
fresh_out
profiled CPROF_LOG=error CPROF_CPU_HZ=x "$VICTIMS/steady" 50 >/dev/null 2>"$TMP/err"
expect_equal "LOG=error: no warning" "" "$(<"$TMP/err")"
profiled CPROF_LOG=debug "$VICTIMS/steady" 50 >/dev/null 2>"$TMP/err"
expect_range "LOG=debug: says something" 1 "$(wc -l <"$TMP/err")" 200
expect_equal "LOG=debug: each line is cprof's" "" "$(grep -v '^cprof' "$TMP/err" || true)"

# The segment in a file while the program runs, gone when the profiles are there.
fresh_out
profiled CPROF_SEGMENT=file "$VICTIMS/steady" 100 >/dev/null
settle || true
expect_all_valid "SEGMENT=file"
fresh_out
profiled CPROF_SEGMENT=memfd CPROF_MEM=2M CPROF_HEAP_RATE=1 "$VICTIMS/steady" 100 >/dev/null
expect_all_valid "SEGMENT=memfd, MEM=2M"

# A taken name is not overwritten.
if [[ $(id -u) == 0 ]] && unshare -pf --mount-proc true 2>/dev/null; then
	fresh_out
	for round in 1 2 3; do
		bounded unshare -pf --mount-proc env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" "$VICTIMS/steady" 50 >/dev/null || fail "taken name, round $round"
	done
	expect_equal "taken names get -2 and -3" "steady.1-2.cpu.pb.gz steady.1-3.cpu.pb.gz steady.1.cpu.pb.gz" \
		"$(cd "$OUT" && ls ./*.cpu.pb.gz | sed 's,^\./,,' | sort | xargs)"
fi

# Not the value of a secret: neither the command line nor the environment is in a profile.
fresh_out
profiled SECRET_WORD=xyzzy-1234 CPROF_HEAP_RATE=1 sh -c 'true "plugh-5678"'
expect_equal "no secrets in the profiles" "" "$(for f in "$OUT"/*.pb.gz; do zcat "$f" | grep -aoE 'xyzzy-1234|plugh-5678' || true; done)"

# The same name and process twice: one image, then another by exec.
fresh_out
profiled bash -c 'for ((i = 0; i < 100000; i++)); do :; done; exec bash -c "for ((i = 0; i < 100000; i++)); do :; done"' || fail "exec: status"
settle || true
expect_equal "exec of the same name: a profile for each image" "2 1" \
	"$(profiles_of bash cpu | wc -l) $(profiles_of bash cpu | grep -c -- '-2.cpu' || true)"
expect_all_valid "exec of the same name"

# Named by what was run, also through a symbolic link.
fresh_out
ln -sf "$VICTIMS/steady" "$TMP/alias"
profiled "$TMP/alias" 50 >/dev/null
expect_profile alias cpu "symbolic link"
finish
