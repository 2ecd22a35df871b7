#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that is PID 1 of its pid namespace: nothing outlives it, its collector included.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

if [[ $(id -u) == 0 ]]; then
	in_namespace=(unshare -pf --mount-proc)
else
	in_namespace=(unshare -Urpf --mount-proc)
fi
"${in_namespace[@]}" true 2>/dev/null || skip_test "no pid namespaces here"

pid1()
{
	bounded "${STEADY[@]}" "${in_namespace[@]}" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_HEAP_RATE=1 "$@"
}

for round in 1 2 3; do
	fresh_out
	expect_equal "round $round: exit status" 7 "$(status_of pid1 "$VICTIMS/steady" 200 7)"
	expect_profile steady cpu "round $round: PID 1"
	expect_profile steady heap "round $round: PID 1"
	expect_equal "named by the PID the process sees" "steady.1.cpu.pb.gz steady.1.heap.pb.gz" "$(ls -A "$OUT" | xargs)"
	heap=$(profile steady heap)
	expect_equal "allocations exact" "1000 100000 600 60000" \
		"$(for type in alloc_objects alloc_space inuse_objects inuse_space; do query "$heap" has steady_allocates $type; done | xargs)"
	expect_range "cpu samples in steady_work" "$(steady_least 5)" "$(query "$(profile steady cpu)" has steady_work samples)" 30
done

# Killed: the kernel kills the whole namespace, the segment file is what remains.
fresh_out
mkfifo "$TMP/hold"
pid1 "$VICTIMS/steady" 200 0 wait "$TMP" >"$TMP/ready" 2>"$TMP/err" <"$TMP/hold" &
shell_pid=$!
exec 9>"$TMP/hold"
expect "PID 1 is at work" wait_until 10 grep -q ready "$TMP/ready"
expect "segment file lies there" test -e "$OUT/.steady.1.cprof"
# The oldest: the collector's guard is a copy of it.
victim=$(pgrep -oxf "$VICTIMS/steady 200 0 wait $TMP" || true)
expect "killed" kill -9 "$victim"
wait "$shell_pid" || true
exec 9>&-
expect "segment file stays" test -e "$OUT/.steady.1.cprof"
expect "cprof recover" bounded "$CPROF" recover "$OUT/.steady.1.cprof"
recovered=$(find "$TMP" -name 'steady.1*.pb.gz' | sort)
expect_equal "two profiles recovered" 2 "$(wc -l <<<"$recovered")"
cpu=$(grep cpu <<<"$recovered" || true) heap=$(grep heap <<<"$recovered" || true)
expect "recovered cpu profile valid" "$PPROFQ" "$cpu" check
expect "recovered heap profile valid" "$PPROFQ" "$heap" check
expect_equal "recovered allocations exact" "1000 100000 600 60000" \
	"$(for type in alloc_objects alloc_space inuse_objects inuse_space; do query "$heap" has steady_allocates $type; done | xargs)"
expect_range "recovered cpu samples in steady_work" "$(steady_least 5)" "$(query "$cpu" has steady_work samples)" 30
expect_sane_pprof "recovered" "$heap"

# Children of PID 1: reaped by it or not, it must end all the same, and sees only its own.
fresh_out
expect_equal "shell as PID 1 with children" "a b 3" \
	"$(pid1 bash -c 'echo a; "$1" 100 0 >/dev/null; (echo b); wait; echo $((1+2))' bash "$VICTIMS/steady" | xargs)"
# Its end is also the end of its collector: what that had not written yet lies there to be recovered.
for segment in "$OUT"/.*.cprof; do
	[[ -e $segment ]] || continue
	expect "shell as PID 1: $(basename "$segment") can be recovered" bounded "$CPROF" recover "$segment"
	rm -f "$segment"
done
expect_all_valid "shell as PID 1"
expect "child of PID 1 has its cpu profile" has_profile steady cpu
fresh_out
expect_equal "PID 1 sees no foreign child" "$(bounded "${in_namespace[@]}" "$VICTIMS/self_view" | grep -E '^(tasks|waitpid -1|waitpid 0)')" \
	"$(pid1 "$VICTIMS/self_view" | grep -E '^(tasks|waitpid -1|waitpid 0)' || true)"
finish
