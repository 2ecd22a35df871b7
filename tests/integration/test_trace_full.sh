#!/bin/bash
# SPDX-License-Identifier: MIT
# Traces of whole runs and of spans: every line that a program logged is there once, and
# what could not be kept up with is in a gap that says how much it is.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/trace_lib.sh"

# expect_lines WHAT FILE THREADS LINES: each thread's lines, from the first to the last, once.
expect_lines()
{
	local want="" thread
	for ((thread = 0; thread < $3; thread++)); do
		want+="t$thread 0 $(($4 - 1)) $4"$'\n'
	done
	expect_equal "$1: every line once" "${want%$'\n'}" "$(lines_of "$2")"
}

what="a whole run"
LIMIT=60 profiled CPROF_TRACE=full "$VICTIMS/trace_logs" 4 5000 0 exit >/dev/null
expect "$what: the files are there with the prompt" test -s "$(trace_of trace_logs perfetto-trace)" -a -s "$(trace_of trace_logs trace)"
settle
expect_traces "$what" trace_logs
expect_lines "$what" "$(trace_of trace_logs perfetto-trace)" 4 5000
expect_equal "$what: no gap" "0 0" "$(gaps_of "$(trace_of trace_logs perfetto-trace)")"
expect_equal "$what: nobody else may read them" "600 600" "$(stat -c %a "$OUT"/*trace | xargs)"
expect_equal "$what: nothing else is left" "" "$(find "$OUT" -name '.*' -type f -printf '%f ')"

fresh_out
what="cprof run --trace"
LIMIT=60 bounded "$CPROF" run --trace --quiet --out "$OUT" -- "$VICTIMS/trace_logs" 1 10 0 exit >/dev/null
settle
expect_lines "$what" "$(trace_of trace_logs perfetto-trace)" 1 10

fresh_out
what="two processes of a tree"
LIMIT=60 profiled CPROF_TRACE=full "$VICTIMS/trace_logs" 2 1000 0 forked >/dev/null
settle
expect_equal "$what: each has its files" 4 "$(find "$OUT" -name 'trace_logs.*trace' | wc -l)"
for file in "$OUT"/*.perfetto-trace; do
	expect_lines "$what" "$file" 2 1000
done

# With 1 MB there are 16 chunks: 2016 events until somebody comes and reads.
fresh_out
what="a program that is faster than its reader"
LIMIT=60 profiled CPROF_TRACE=full CPROF_MEM=1M CPROF_CPU_HZ=0 CPROF_HEAP_RATE=0 "$VICTIMS/trace_logs" 4 20000 0 exit >/dev/null
settle
expect_traces "$what" trace_logs
file=$(trace_of trace_logs perfetto-trace)
read -r gaps dropped <<<"$(gaps_of "$file")"
perfetto_lines "$file" | grep -o ' instant t[0-9]* n[0-9]* category=count' | sort >"$TMP/seen"
expect_range "$what: has gaps" 1 "$gaps" 80000
# What is dropped besides lines: begins, ends and names of four threads and what they wait for.
expect_range "$what: what is there and what is dropped is all" 80000 $(($(wc -l <"$TMP/seen") + dropped)) 80100
expect_equal "$what: none is there twice" "" "$(uniq -d "$TMP/seen")"

# With 1 MB there are slots for some ten threads.
fresh_out
what="more threads than there is room for"
LIMIT=60 profiled CPROF_TRACE=full CPROF_MEM=1M "$VICTIMS/thread_many" 200 >"$TMP/many" &
run=$!
expect "$what: they are there" wait_until 20 grep -q ready "$TMP/many"
kill -TERM "$(our_processes thread_many)"
expect "$what: nobody noticed" wait $run
settle
expect_traces "$what" thread_many
"$CPROF" trace "$(trace_of thread_many perfetto-trace)" >"$TMP/text"
there=$(sed -nE '1s/.* ([0-9]+) threads, .*/\1/p' "$TMP/text")
missing=$(sed -nE 's/^LOST: ([0-9]+) threads, for which no slot was free.*/\1/p' "$TMP/text")
expect_equal "$what: those that are there and those that are said to be missing are all" 201 $((there + ${missing:-0}))
expect_range "$what: some are missing" 100 "${missing:-0}" 200

fresh_out
what="a worker killed in mid-stream"
LIMIT=100 profiled CPROF_TRACE=full "$VICTIMS/trace_logs" 4 5000 300 exit "$TMP/table" >/dev/null &
run=$!
kill_worker() { kill -9 "$(our_workers | tail -1)"; }
for ((kills = 0; kills < 2; kills++)); do
	before=$(logged_lines "$TMP/table" 0)
	wait_until 20 eval "(( \$(logged_lines '$TMP/table' 0) > $before + 300 ))" || fail "$what: it goes on"
	wait_until 20 kill_worker || fail "$what: another comes"
done
wait $run
settle
expect_traces "$what" trace_logs
expect_lines "$what" "$(trace_of trace_logs perfetto-trace)" 4 5000
expect_equal "$what: nothing else is left" "" "$(find "$OUT" -name '.*' -type f -printf '%f ')"

# full_disk WHAT EVENTS: on a disk of its own, which has room for so many of each of four threads, and
# not for their trace beside them.
full_disk()
{
	local what=$1 file
	fresh_out
	rm -rf "$TMP/kept"
	mkdir -p "$TMP/kept"
	# shellcheck disable=SC2016 # for the inner shell
	LIMIT=60 bounded unshare -Urm env CPROF_OUT="$OUT" KEPT="$TMP/kept" bash -c 'mount -t tmpfs -o size=4m none "$CPROF_OUT" &&
		env LD_PRELOAD="$0" CPROF_TRACE=full CPROF_CPU_HZ=0 CPROF_HEAP_RATE=0 "$@"
		for ((i = 0; i < 200; i++)); do
			[[ -z $(find "$CPROF_OUT" -name "*.trace-spool") ]] && break
			sleep 0.1
		done
		cp -a "$CPROF_OUT"/. "$KEPT"' "$CPROF_LIB" "$VICTIMS/trace_logs" 4 "$2" 1 exit >/dev/null 2>"$TMP/stderr" || true
	settle
	expect_equal "$what: one line says that the trace is cut" 1 "$(grep -c 'is cut here: No space left' "$TMP/stderr" || true)"
	# There may be room for one form only: Go's takes a fraction of what the events took, however late it was cut.
	expect "$what: one form at least is there" compgen -G "$TMP/kept/trace_logs.*trace"
	for file in "$TMP"/kept/trace_logs.*trace; do
		case $file in
		*.perfetto-trace) expect "$what: Perfetto's form is right" perfetto_lines "$file" ;;
		*) expect "$what: go tool trace takes Go's form" go_trace -pprof=sync "$file" ;;
		esac
	done
	expect_equal "$what: the spool is gone" "" "$(find "$TMP/kept" -name '*.trace-spool')"
}

if unshare -Urm true 2>/dev/null; then
	full_disk "a full disk" 30000
	full_disk "a disk that its events fill" 8500
else
	skip_check "a full disk: no namespaces"
fi
finish
