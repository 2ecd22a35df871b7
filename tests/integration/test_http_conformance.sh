#!/bin/bash
# SPDX-License-Identifier: MIT
# Each endpoint and error of Go's net/http/pprof, asked of a small Go program and of a
# program under cprof: the same status, headers and shape.
#
# Known to differ, and meant so: symbol may be posted to (Go took that away in 1.22 by
# accident: its own pprof still posts); the command line is only there on demand; a
# profile of threads counts threads, not goroutines; several CPU profiles may be taken at
# once; / leads to the index.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

command -v curl >/dev/null || skip_test "curl is not installed"
go=$(command -v go || echo /usr/local/go/bin/go)
[[ -x $go ]] || skip_test "go is not installed"

mkdir -p "$TMP/reference"
cat >"$TMP/reference/main.go" <<'GO'
package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"sync"
	"time"
)

func main() {
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	var mu sync.Mutex
	for i := 0; i < 2; i++ {
		go func() {
			for {
				mu.Lock()
				time.Sleep(time.Millisecond)
				mu.Unlock()
			}
		}()
	}
	http.ListenAndServe(os.Args[1], nil)
}
GO
(cd "$TMP/reference" && echo "module reference" >go.mod &&
	GOFLAGS=-mod=mod "$go" build -o reference . 2>"$TMP/go.log") ||
	skip_test "go does not build: $(head -1 "$TMP/go.log")"
version=$("$go" env GOVERSION)
minor=${version#go1.}
minor=${minor%%.*}

go_port=$(free_ports)
our_port=$((go_port + 1))
"$TMP/reference/reference" 127.0.0.1:$go_port &
reference_pid=$!
coproc STEPS { LIMIT=250 profiled CPROF_HTTP=$our_port CPROF_HTTP_CMDLINE=1 CPROF_BLOCK_RATE=1 "$VICTIMS/http_steps"; }
# shellcheck disable=SC2154 # coproc sets it
steps_pid=$STEPS_PID
trap 'kill $reference_pid 2>/dev/null || true' EXIT
printf 'alloc 100000 100\nthreads 3\nburn 30000\n' >&"${STEPS[1]}"
wait_until 10 curl -sf -o /dev/null "http://127.0.0.1:$go_port/debug/pprof/" || fail "the Go program answers"
wait_until 10 curl -sf -o /dev/null "http://127.0.0.1:$our_port/debug/pprof/" || fail "ours answers"

# ask WHO PORT METHOD PATH: the answer to WHO.{status,headers,body}.
ask()
{
	local options=(-X "$3")
	[[ $3 == HEAD ]] && options=(--head)
	[[ $3 == POST ]] && options=(--data-binary 0x1)
	curl -s --path-as-is "${options[@]}" -D "$1.head" -o "$1.body" -w '%{http_code}' --max-time 60 \
		"http://127.0.0.1:$2$4" >"$1.status" || true
	# Length and transfer are the servers' own business.
	tr -d '\r' <"$1.head" | grep -E '^[A-Za-z-]+: ' |
		grep -viE '^(date|content-length|transfer-encoding|connection|content-security-policy): ' |
		sed -E 's/^([^:]*): /\L\1: /' | sort >"$1.headers" || true
}

# shape FILE: what all answers of this sort have in common.
shape()
{
	local first
	if head -c 2 "$1" | grep -q $'\x1f\x8b'; then
		"$PPROFQ" "$1" types | grep -v '^period cpu' | sed -E 's/goroutine/threads/; s/[0-9]+$/N/'
	elif head -4 "$1" | grep -qE '^(goroutine|thread) [0-9]+ .*\[.*\]:$'; then
		echo "a dump"
	else
		first=$(head -1 "$1" | tr -d '\0' | sed -E 's/[0-9]+/N/g; s/^(goroutine|threads) /T /')
		case $first in
		"go N.N trace"*) echo "a trace" ;;
		/*) echo "a command line" ;;
		'<html>' | '<!DOCTYPE html>') echo "a page" ;;
		*) echo "$first" ;;
		esac
	fi
}

# same METHOD PATH [GO VERSION FROM WHICH ON]: asks both; judged by all_same.  Most of the time is waiting for
# seconds=, so up to 16 requests of a server are under way at once; CPU profiles and traces, of which Go takes one at a time, are not.
asked=()
asking=()
same()
{
	local since=${3:-19} at=$TMP/answers/${#asked[@]}
	((minor >= since)) || return 0
	asked+=("$1 $2")
	mkdir -p "$at"
	if [[ $2 == */profile* || $2 == */trace* ]]; then
		wait "${asking[@]}"
		ask "$at/go" $go_port "$1" "$2"
		ask "$at/ours" $our_port "$1" "$2"
		return
	fi
	while (($(jobs -rp | wc -l) >= 32 + 2)); do sleep 0.02; done # the two programs are jobs too
	ask "$at/go" $go_port "$1" "$2" &
	asking+=($!)
	ask "$at/ours" $our_port "$1" "$2" &
	asking+=($!)
}

all_same()
{
	local number what go ours
	wait "${asking[@]}"
	for number in "${!asked[@]}"; do
		what=${asked[number]}
		go=$TMP/answers/$number/go ours=$TMP/answers/$number/ours
		if [[ $(<"$go.status") == 30? ]]; then
			expect_equal "$what: redirected" "30" "$(head -c 2 "$ours.status")"
			expect_equal "$what: to" "$(grep '^location' "$go.headers")" "$(grep '^location' "$ours.headers" || true)"
			continue
		fi
		expect_equal "$what: status" "$(<"$go.status")" "$(<"$ours.status")"
		expect_equal "$what: headers" "$(<"$go.headers")" "$(<"$ours.headers")"
		[[ $what != HEAD* ]] || continue
		if [[ $(<"$go.status") == 2* ]]; then
			expect_equal "$what: shape" "$(shape "$go.body")" "$(shape "$ours.body")"
		else
			expect_equal "$what: body" "$(<"$go.body")" "$(<"$ours.body")"
		fi
		[[ $what != GET*cmdline ]] || expect_equal "our command line" "$VICTIMS/http_steps" "$(<"$ours.body")"
	done
}

p=/debug/pprof
same GET $p/
same HEAD $p/
for kind in heap allocs block mutex threadcreate goroutine; do
	same GET $p/$kind
	same HEAD $p/$kind
	same GET "$p/$kind?debug=0"
	same GET "$p/$kind?debug=1"
	same GET "$p/$kind?debug=x"
	same GET "$p/$kind?seconds=1"
	same GET "$p/$kind?seconds=0"
	same GET "$p/$kind?seconds=-1"
	same GET "$p/$kind?seconds=1.5"
	same GET "$p/$kind?seconds=x"
	same GET "$p/$kind?seconds=99999999999999999999"
	same GET "$p/$kind?seconds="
	same GET "$p/$kind?seconds=1&debug=1"
	same GET "$p/$kind?seconds=1&debug=0"
done
same GET "$p/heap?gc=1"
same GET "$p/heap?gc=x&debug=1"
same GET "$p/heap?debug=2"
same GET "$p/goroutine?debug=2"
same GET "$p/profile?seconds=1"
same HEAD "$p/profile?seconds=1"
same GET "$p/trace?seconds=0.2"
same HEAD "$p/trace?seconds=0.2"
same GET "$p/trace?seconds=x"
curl -s -o "$TMP/go.trace" "http://127.0.0.1:$go_port$p/trace?seconds=2" &
go_trace=$!
curl -s -o "$TMP/ours.trace" "http://127.0.0.1:$our_port$p/trace?seconds=2" &
ours_trace=$!
wait_until 5 bash -c "curl -s http://127.0.0.1:$our_port/metrics | grep -q 'cprof_trace_active{mode=\"stream\"} 1'" ||
	fail "the trace begins"
same GET "$p/trace?seconds=0.2" 25
wait $go_trace $ours_trace
same GET "$p/cmdline"
same HEAD "$p/cmdline"
same GET "$p/symbol"
same GET "$p/symbol?0x1"
same GET "$p/symbol?0x1+0x2+x+"
same GET $p/nope
same HEAD $p/nope
same GET "$p/nope?seconds=1"
same GET "$p/nope?seconds=x"
same GET "$p/heap/"
same GET "$p/Heap"
same GET "$p/%68eap"
same GET "$p/nope%2fheap"
same GET /nope
same GET $p
same GET "/debug//pprof/"
same GET "/debug/./pprof/heap"
same GET "/debug/pprof/../pprof/heap"
same POST $p/heap 22
same DELETE $p/heap 22
same PUT $p/nope 22
same POST $p/ 22
same POST /nope
all_same

# Go's own pprof takes what it takes from Go, by the same command line.
for kind in heap allocs block mutex threadcreate profile?seconds=1; do
	pprof -top "http://127.0.0.1:$go_port$p/$kind" >"$TMP/go.top" 2>&1 || true
	expect "go tool pprof: $kind" pprof -top -output "$TMP/ours.top" "http://127.0.0.1:$our_port$p/$kind"
	expect_equal "go tool pprof: $kind: type" "$(grep '^Type: ' "$TMP/go.top")" "$(grep '^Type: ' "$TMP/ours.top")"
done
echo quit >&"${STEPS[1]}"
wait "$steps_pid" || true
expect "settles" settle
finish
