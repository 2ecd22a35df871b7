#!/bin/bash
# SPDX-License-Identifier: MIT
# Profiles of each interval sent to a server that refuses, fails, hangs, is away and comes
# back: each arrives once, in order, and together they are what is on disk.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/steps.sh"

has_commands curl python3 || skip_test "curl or python3 is not installed"
[[ $(/sbin/ldconfig -p) =~ libcurl(-gnutls)?\.so\.4 ]] || skip_test "libcurl is not installed"

port=$((20000 + $$ % 20000))
server_port=$((port + 1))
server=http://127.0.0.1:$server_port
url=http://127.0.0.1:$port
got=$TMP/got

start_server()
{
	mkdir -p "$got"
	python3 "$HERE/pyroscope.py" $server_port "$got" 2>"$TMP/server.err" &
	server_pid=$!
	expect "a server" wait_until 20 curl -s -o /dev/null $server
}

stop_server()
{
	kill -KILL $server_pid
	wait $server_pid 2>/dev/null || true
}
trap 'kill -KILL $server_pid 2>/dev/null || true' EXIT

fresh_server()
{
	rm -rf "$got"
	mkdir -p "$got"
}

mode() { echo "$1" >"$got/mode"; }
attempts_in() { grep -c "^$1$" "$got/attempts" || true; }
was_tried_in() { (($(attempts_in "$1") >= ${2:-1})); }
taken() { cat "$got/taken" 2>/dev/null | wc -l; }
has_taken() { (($(taken) >= $1)); }

metric() { curl -s "$url/metrics" | awk -v name="$1" '$1 == name { print $2 }'; }
is_metric() { [[ $(metric "$1") == "$2" ]]; }

# work: a few samples and allocations that this interval can be told by.
work()
{
	tell "burn 20000"
	tell "alloc 3 100"
}

# sum_of KIND TYPE: of all that the server has.
sum_of()
{
	local file sum=0
	for file in "$got"/*."$1".pb.gz; do
		[[ -e $file ]] && sum=$((sum + $("$PPROFQ" "$file" total "$2")))
	done
	echo "$sum"
}

# expect_whole WHAT PROGRAM: what the server has is what was written at the end.
expect_whole()
{
	local type
	for type in samples cpu; do
		expect_equal "$1: $type" "$(query "$(profile "$2" cpu)" total $type)" "$(sum_of cpu $type)"
	done
	for type in alloc_objects alloc_space; do
		expect_equal "$1: $type" "$(query "$(profile "$2" heap)" total $type)" "$(sum_of heap $type)"
	done
}

# ---- a server with all its moods ---------------------------------------------------------------

fresh_server
start_server
start_steps CPROF_PUSH=$server CPROF_HTTP=$port CPROF_INTERVAL=1s CPROF_KEEP=0 CPROF_HEAP_RATE=1 CPROF_BLOCK_RATE=1 \
	CPROF_LOG=info \
	CPROF_LABELS='service=checkout, region=eu'
work
expect "profiles arrive" wait_until 20 has_taken 2
for mood in 500 429 reset redirect; do
	mode $mood
	work
	expect "it is tried at $mood" wait_until 20 was_tried_in $mood
	mode ok
	before=$(taken)
	expect "and again" wait_until 20 has_taken $((before + 1))
done
stop_server
failures=$(metric cprof_push_failures_total)
for _ in 1 2; do
	work
	sleep 1
done
more_failures() { (($(metric cprof_push_failures_total) > failures)); }
expect "tried while the server is away" wait_until 20 more_failures
expect_range "what is made meanwhile waits" 2 "$(metric cprof_push_queue_profiles)" 100
expect_range "in memory" 1000 "$(metric cprof_push_queue_bytes)" 33554432
expect "the program works on" tell "burn 1"
start_server
expect "all of it arrives" wait_until 40 is_metric cprof_push_queue_profiles 0
expect_equal "nothing was dropped" "0 0" \
	"$(metric 'cprof_push_dropped_total{reason="full"}') $(metric 'cprof_push_dropped_total{reason="refused"}')"
curl -s "$url/metrics" >"$TMP/metrics"
! command -v promtool >/dev/null || expect "metrics are as they should be" promtool check metrics <"$TMP/metrics"
work
stop_steps
expect_equal "nothing was wrong with any" "" "$(cat "$got/wrong" 2>/dev/null)"
expect_whole "all moods" http_steps
expect_equal "in use at the end" "$(query "$(profile http_steps heap)" total inuse_space)" \
	"$("$PPROFQ" "$(compgen -G "$got/*.heap.pb.gz" | sort | tail -1)" total inuse_space)"
expect_equal "by this name" 'checkout{service=checkout,region=eu}' "$(cut -d' ' -f5- "$got/taken" | sort -u)"
for kind in cpu heap; do
	expect "$kind profiles come in the order of time" bash -c \
		"awk '\$2 == \"$kind\" { print \$3 }' '$got/taken' | sort -n -u -c"
done
expect "no part overlaps the next by more than the clocks' difference" awk \
	'$2 == "heap" { if ($3 < until - 50000000) exit 1; until = $4 }' "$got/taken"
expect_all_valid "files at intervals beside"
# The last may be of a moment only.
largest=$(compgen -G "$got/*.cpu.pb.gz" | xargs ls -S | head -1)
expect_sane_pprof "what was sent" "$largest"
expect "go tool pprof reads it raw" pprof -raw -output "$TMP/raw" "$largest"
expect "with names" grep -q burn_cpu "$TMP/raw"
valid=0
for file in "$got"/*.pb.gz; do
	"$PPROFQ" "$file" check >/dev/null && valid=$((valid + 1))
done
expect_equal "all that was sent is valid" "$(taken)" $valid
# libcurl itself tries again on a new connection when one that it has used is reset.
expect_range "one line for each time" 3 "$(grep -c "^cprof: cannot send profiles to $server: .*; trying again$" "$TMP/steps.err")" 4
expect "that says what the server said" grep -q 'HTTP status 500: refused on  purpose \[0m; trying again$' "$TMP/steps.err"
expect "one when it goes on" grep -q "^cprof: profiles are sent to $server again$" "$TMP/steps.err"

# ---- what the server does not take; a worker that dies -------------------------------------------

fresh_server
fresh_out
start_steps CPROF_PUSH=$server CPROF_HTTP=$port CPROF_INTERVAL=1s CPROF_HEAP_RATE=1
mode 400
work
is_refused() { (($(metric 'cprof_push_dropped_total{reason="refused"}') >= 1)); }
expect "a profile that is refused goes" wait_until 40 is_refused
expect "one line says so" wait_until 10 grep -q "^cprof: $server does not take the [a-z]* profile of http_steps ([0-9]*): HTTP status 400" "$TMP/steps.err"
mode ok
expect "the others come" wait_until 20 has_taken 1
kill_our_workers
before=$(taken)
work
expect "the next worker sends" wait_until 40 has_taken $((before + 2))
stop_steps
expect_range "and nothing twice" 1 "$(sum_of heap alloc_objects)" "$(query "$(profile http_steps heap)" total alloc_objects)"

# ---- the end ------------------------------------------------------------------------------------

# Without CPROF_INTERVAL no files of intervals; the end comes long before the first one is over.
fresh_server
fresh_out
start_steps CPROF_PUSH=$server CPROF_HEAP_RATE=1
work
stop_steps
expect_whole "the last interval" http_steps
expect_equal "by the program's name" 'http_steps{}' "$(cut -d' ' -f5- "$got/taken" | sort -u)"
expect_equal "no other files" 2 "$(find "$OUT" -type f | wc -l)"

# A server that hangs holds the program's end not at all, and the collector's no longer than this.
fresh_server
fresh_out
mode hang
start_steps CPROF_PUSH=$server CPROF_EXIT_WAIT=1s
work
stop_steps
expect_equal "nothing was taken" 0 "$(taken)"
expect_all_valid "a server that hangs"

# Children are sent too, each for itself, though they end their intervals at the same time.
fresh_server
fresh_out
expect_equal "a tree" 0 "$(status_of profiled CPROF_PUSH=$server CPROF_LABELS=service=tree CPROF_HEAP_RATE=1 \
	CPROF_INTERVAL=1s CPROF_KEEP=1 bash -c "for i in {1..8}; do { $VICTIMS/steady 100 0; sleep 1.5; } & done; wait")"
expect "settles" settle
expect_equal "nothing was wrong with any" "" "$(cat "$got/wrong" 2>/dev/null)"
written=0
while read -r file; do
	written=$((written + $("$PPROFQ" "$file" total alloc_objects)))
done < <(compgen -G "$OUT/*.heap.pb.gz" | grep -v 'Z.pb.gz$')
expect_equal "all of a tree" $written "$(sum_of heap alloc_objects)"

# PID 1 takes everything with it: it waits for what is sent.
in_namespace=(unshare -pf --mount-proc)
[[ $(id -u) == 0 ]] || in_namespace=(unshare -Urpf --mount-proc)
if "${in_namespace[@]}" true 2>/dev/null; then
	fresh_server
	fresh_out
	expect_equal "PID 1" 0 "$(status_of bounded "${in_namespace[@]}" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" \
		CPROF_HEAP_RATE=1 CPROF_PUSH=$server "$VICTIMS/steady" 200 0)"
	expect_whole "PID 1" steady
	mode hang
	expect_equal "PID 1 and a server that hangs" 0 "$(status_of bounded "${in_namespace[@]}" env LD_PRELOAD="$CPROF_LIB" \
		CPROF_OUT="$OUT" CPROF_EXIT_WAIT=1s CPROF_PUSH=$server "$VICTIMS/steady" 100 0)"
else
	skip_check "no pid namespaces here"
fi

# ---- settings that cannot be read ----------------------------------------------------------------

refused()
{
	local what=$1 line=$2
	shift 2
	fresh_out
	expect_equal "$what: runs all the same" 0 "$(status_of profiled "$@" sh -c 'exit 0')"
	# The collector may start after the program's end.
	expect "$what: says why" wait_until 20 grep -q "$line" "$TMP/stderr"
	expect "$what: settles" settle
	expect_equal "$what: one line" 1 "$(grep -c '^cprof' "$TMP/stderr")"
	expect "$what: no secret is shown" bash -c "! grep secret '$TMP/stderr'"
}
fresh_server
refused "no URL" "^cprof: CPROF_PUSH: accepted is" CPROF_PUSH=me:secret@host
refused "labels" "^cprof: CPROF_LABELS=oops: accepted are" CPROF_PUSH=$server CPROF_LABELS=oops
finish
