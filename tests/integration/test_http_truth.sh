#!/bin/bash
# SPDX-License-Identifier: MIT
# What profiles with seconds= and files at intervals say, against what the program did.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/steps.sh"

command -v curl >/dev/null || skip_test "curl is not installed"

port=$(free_ports)
url=http://127.0.0.1:$port

watches() { curl -s "$url/metrics" | grep "^cprof_profile_requests_active $1$" >/dev/null; }

# differences ACT PROFILE...: asks for profiles with seconds=, does ACT while all requests are under way, and waits
# for the answers, in $TMP/PROFILE.delta.  Where the machine is so slow that the seconds were over before all were
# asked for, or before ACT was done, it is all done again with more.
differences()
{
	local act=$1 seconds profile requests
	shift
	for seconds in 3 12 48; do
		requests=()
		for profile; do
			curl -s -o "$TMP/$profile.delta" "$url/debug/pprof/$profile?seconds=$seconds" &
			requests+=($!)
		done
		if wait_until $seconds watches $#; then
			$act
			watches $# && break
		fi
		echo "$seconds seconds were too few"
		wait "${requests[@]}" || true
	done
	expect "$*: all requests watched" watches $#
	wait "${requests[@]}" || true
	expect "$*: answered" wait_until 30 watches 0
}

# ---- differences -----------------------------------------------------------------------------

start_steps CPROF_HTTP=$port CPROF_HEAP_RATE=1 CPROF_BLOCK_RATE=1
tell "alloc 500 64" # before anybody watches
expect "answers" wait_until 30 watches 0
tell "alloc 7 1000"
waiting=0
works()
{
	tell "alloc 1000 100"
	tell "free 400"
	tell "threads 5"
	waiting=$((waiting + 5))
}
differences works heap allocs threadcreate
heap=$TMP/heap.delta
expect "difference of the heap" "$PPROFQ" "$heap" check
expect_equal "blocks allocated meanwhile" 1000 "$(query "$heap" has allocate_blocks alloc_objects)"
expect_equal "bytes allocated meanwhile" 100000 "$(query "$heap" has allocate_blocks alloc_space)"
expect_equal "blocks more in use" 600 "$(query "$heap" has allocate_blocks inuse_objects)"
expect_equal "bytes more in use" 60000 "$(query "$heap" has allocate_blocks inuse_space)"
expect_equal "the same under allocs" 1000 "$(query "$TMP/allocs.delta" has allocate_blocks alloc_objects)"
expect_equal "threads started meanwhile" 5 "$(query "$TMP/threadcreate.delta" total threadcreate)"
# What is freed is a difference too.
frees() { tell "free 500"; }
tell "alloc 1500 100" # however often they are freed
differences frees heap
expect_equal "blocks less in use" -500 "$(query "$heap" has allocate_blocks inuse_objects)"
expect_equal "none was allocated" 0 "$(query "$heap" has allocate_blocks alloc_objects)"
# Threads: all but one wait in one place; two more are a difference.
curl -s -o "$TMP/threads" "$url/debug/pprof/threads"
expect "threads" "$PPROFQ" "$TMP/threads" check
expect_equal "all of them" $((waiting + 1)) "$("$PPROFQ" "$TMP/threads" total threads)"
expect_equal "where they wait" $waiting "$("$PPROFQ" "$TMP/threads" has wait_for_ever threads)"
begins()
{
	tell "threads 2"
	waiting=$((waiting + 2))
}
differences begins goroutine
expect_equal "two threads more" 2 "$("$PPROFQ" "$TMP/goroutine.delta" total threads)"
expect_equal "and nothing else" 2 "$("$PPROFQ" "$TMP/goroutine.delta" has wait_for_ever threads)"
curl -s "$url/debug/pprof/threads?debug=2" >"$TMP/dump"
expect_equal "one by one" $((waiting + 1)) "$(grep -c '^thread [0-9]' "$TMP/dump")"
expect_equal "with what they wait for" $waiting "$(grep -c 'waiting for mutex' "$TMP/dump")"
curl -s "$url/debug/pprof/threads?debug=1" >"$TMP/dump"
expect_equal "equal ones together" "threads profile: total $((waiting + 1))" "$(head -1 "$TMP/dump")"
expect "as a sum" grep -q "^$waiting @ 0x" "$TMP/dump"
expect_sane_pprof "threads from the text" "$TMP/dump"
# Metrics are the same truth.
curl -s "$url/metrics" >"$TMP/metrics"
expect_range "bytes in use in the metrics" $((500 * 64 + 7 * 1000)) \
	"$(awk '$1 == "cprof_heap_inuse_bytes" { print $2 }' "$TMP/metrics")" 1000000
expect_equal "threads in the metrics" $((waiting + 1)) "$(awk '$1 == "cprof_threads" { print $2 }' "$TMP/metrics")"
# The text form gives pprof the same figures as the file.
curl -s "$url/debug/pprof/heap?debug=1" >"$TMP/heap.txt"
in_use() { pprof -top -sample_index=inuse_objects "$1" 2>/dev/null | grep -o 'of [0-9]* total'; }
expect_equal "blocks in use, by the file and by the text" "$(in_use "$url/debug/pprof/heap")" "$(in_use "$TMP/heap.txt")"
stop_steps

# ---- CPU, and files at intervals ---------------------------------------------------------------

fresh_out
start_steps CPROF_HTTP=$port CPROF_INTERVAL=1s CPROF_KEEP=0
stamped() { compgen -G "$OUT/http_steps.*.$1.2*Z.pb.gz" || true; }
has_stamped() { (($(stamped "$1" | wc -l) >= $2)); }
burned=0
while ! has_stamped cpu 3 && ((burned++ < 300)); do
	tell "burn 100000"
done
expect "three intervals" has_stamped cpu 3
expect "the heap's too" has_stamped heap 3
# A worker that takes over counts nothing twice.
kill_our_workers
wait_until 20 have_collectors || fail "another worker"
while ! has_stamped cpu 5 && ((burned++ < 600)); do
	tell "burn 100000"
done
expect "five intervals" has_stamped cpu 5
stop_steps
sum=0
while read -r file; do
	sum=$((sum + $("$PPROFQ" "$file" total cpu)))
done < <(stamped cpu)
whole=$(query "$(profile http_steps cpu)" total cpu)
expect_range "the parts are not more than the whole" 1 $sum "$whole"
expect_all_valid "files at intervals"

fresh_out
start_steps CPROF_INTERVAL=1s CPROF_KEEP=2 CPROF_LOG=info
tell "burn 1000"
# The oldest gets a number of its own: gone once three more are there.
wait_until 20 has_stamped heap 2 || fail "two intervals"
oldest=$(stamped heap | head -1)
expect "the oldest file goes" wait_until 20 test ! -e "$oldest"
expect_range "and two stay" 1 "$(stamped heap | wc -l)" 3
stop_steps
expect_equal "two stay in the end" 2 "$(stamped heap | wc -l)"
expect_equal "no name was taken" "" "$(find "$OUT" -name '*-2.*' -printf '%f ')"
(($(stamped heap | wc -l) == 2)) || { ls -la --time-style=full-iso "$OUT"; cat "$TMP/steps.err"; }

fresh_out
expect_equal "a bad interval: runs all the same" 0 "$(status_of profiled CPROF_INTERVAL=x sh -c 'exit 0')"
expect "settles" settle
expect_equal "one line" 1 "$(grep -c 'CPROF_INTERVAL=x: accepted is' "$TMP/stderr")"
finish
