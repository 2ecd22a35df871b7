#!/bin/bash
# SPDX-License-Identifier: MIT
# The HTTP server: a real program asked by curl and go tool pprof; passwords, foreign
# hosts, slow clients; what happens when the worker or the program dies meanwhile.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

has_commands curl redis-server redis-benchmark || skip_test "curl or redis is not installed"

port=$(free_ports)
redis_port=$((port + 1))
url=http://127.0.0.1:$port

# status [CURL OPTION...] URL: the HTTP status alone.
status()
{
	curl -s -o "$TMP/body" -D "$TMP/headers" -w '%{http_code}' --max-time 30 "$@" || true
}

header()
{
	tr -d '\r' <"$TMP/headers" | awk -F': ' -v name="$1" 'tolower($1) == tolower(name) { print $2 }'
}

start_redis()
{
	LIMIT=250 profiled CPROF_LOG=info "$@" redis-server --port $redis_port --save '' --dir "$TMP" \
		>"$TMP/redis.log" 2>&1 &
	shell_pid=$!
	expect "redis answers" wait_until 10 redis-cli -p $redis_port ping
	redis_pid=$(redis-cli -p $redis_port info server | tr -d '\r' | awk -F: '$1 == "process_id" { print $2 }')
}

stop_redis()
{
	redis-cli -p $redis_port shutdown nosave >/dev/null 2>&1 || true
	wait "$shell_pid" || true
	expect "settles" settle
}

load()
{
	redis-benchmark -p $redis_port -n 100000000 -c 10 -q -t set,get >/dev/null 2>&1 &
	load_pid=$!
}

# ---- a live redis ----------------------------------------------------------------------------

start_redis CPROF_HTTP=$port CPROF_BLOCK_RATE=1
expect "one line says where" grep -q "^cprof: serving on $url/debug/pprof/$" "$TMP/redis.log"
load
expect_equal "index" 200 "$(status "$url/debug/pprof/")"
expect "the index names the program" grep -q '<h1>redis-server' "$TMP/body"
for kind in heap allocs block mutex threadcreate; do
	expect_equal "$kind" 200 "$(status "$url/debug/pprof/$kind")"
	expect "$kind is a profile" "$PPROFQ" "$TMP/body" check
	expect_equal "$kind: file name" "attachment; filename=\"$kind\"" "$(header Content-Disposition)"
	expect_sane_pprof "$kind over HTTP" "$url/debug/pprof/$kind"
	expect_equal "$kind as text" 200 "$(status "$url/debug/pprof/$kind?debug=1")"
	expect_sane_pprof "$kind from its text" "$TMP/body"
done
expect "go tool pprof takes a CPU profile" pprof -top -output "$TMP/top" "$url/debug/pprof/profile?seconds=2"
expect "it shows redis" grep -q 'Type: cpu' "$TMP/top"
expect_equal "a CPU profile" 200 "$(status "$url/debug/pprof/profile?seconds=1")"
expect "of one second" "$PPROFQ" "$TMP/body" check
expect_range "has samples" 1 "$("$PPROFQ" "$TMP/body" total samples)" 1000
expect_equal "a difference" 200 "$(status "$url/debug/pprof/heap?seconds=1")"
expect "is a profile" "$PPROFQ" "$TMP/body" check
expect_equal "its name" 'attachment; filename="heap-delta"' "$(header Content-Disposition)"

# Symbols by address, as pprof asks for them.
curl -s -o "$TMP/heap.txt" "$url/debug/pprof/heap?debug=1"
address=$(awk '$1 == "#" && $3 ~ /^main\+/ { print $2; exit }' "$TMP/heap.txt")
expect_equal "symbol by GET" 200 "$(status "$url/debug/pprof/symbol?$address+0x1")"
expect_equal "knows main, and not 0x1" "num_symbols: 1 $address main" "$(xargs <"$TMP/body")"
expect_equal "symbol by POST" 200 "$(status -d "$address" "$url/debug/pprof/symbol")"
expect_equal "knows it too" "num_symbols: 1 $address main" "$(xargs <"$TMP/body")"
expect_equal "the command line is hidden" 403 "$(status "$url/debug/pprof/cmdline")"

# Who is not answered.
expect_equal "a foreign host name" 403 "$(status -H 'Host: evil.example' "$url/debug/pprof/heap")"
expect_equal "a page of another origin" 403 "$(status -H 'Origin: http://evil.example' "$url/debug/pprof/heap")"
expect_equal "too much" 413 "$(head -c 2000000 /dev/zero | status -H 'Expect:' --data-binary @- "$url/debug/pprof/symbol")"
head -c 100000 /dev/zero | tr '\0' a >"$TMP/long"
expect_range "a long URI" 400 "$(status "$url/$(<"$TMP/long")")" 499
expect_equal "still there" 200 "$(status "$url/healthz")"

# Many at once are answered, also beside clients that say nothing.
for _ in {1..300}; do
	exec {silent}<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /debug/pp' >&"$silent" || true
	held+=("$silent")
done
seq 200 | xargs -P 50 -I{} curl -s -o /dev/null -w '%{http_code}\n' --max-time 30 "$url/metrics" >"$TMP/codes" || true
expect_equal "200 scrapes beside 300 silent clients" "200 200" "$(sort "$TMP/codes" | uniq -c | xargs)"
for fd in "${held[@]}"; do
	exec {fd}>&- 2>/dev/null || true
done

# A client that hangs up ends its profile; a second one is not in its way.
curl -s --max-time 1 -o /dev/null "$url/debug/pprof/profile?seconds=60" || true
is_quiet() { curl -s "$url/metrics" | grep '^cprof_profile_requests_active 0$' >/dev/null; }
expect "nobody is watched for a client that is gone" wait_until 10 is_quiet
curl -s -o "$TMP/first" "$url/debug/pprof/profile?seconds=2" &
first=$!
expect_equal "two CPU profiles at once" 200 "$(status "$url/debug/pprof/profile?seconds=1")"
wait $first || fail "the first of two CPU profiles"
expect "both are profiles" bash -c "'$PPROFQ' '$TMP/first' check && '$PPROFQ' '$TMP/body' check"

# The worker dies: the next one serves on the same socket.
kill_our_workers
expect "served again after the worker's death" wait_until 10 curl -sf -o /dev/null "$url/debug/pprof/heap"

# A program that is stopped can still be asked.
kill -STOP "$redis_pid"
expect_equal "heap of a stopped program" 200 "$(status "$url/debug/pprof/heap")"
expect_equal "its threads" 200 "$(status "$url/debug/pprof/threads?debug=2")"
expect "with their stacks" grep -qE '^main\(' "$TMP/body"
expect_equal "its metrics" 200 "$(status "$url/metrics")"
kill -CONT "$redis_pid"

# Everything ends while somebody watches: he gets what there is.
kill $load_pid
curl -s -o "$TMP/last" -w '%{http_code}' "$url/debug/pprof/profile?seconds=60" >"$TMP/last.code" &
last=$!
is_watched() { curl -s "$url/metrics" | grep '^cprof_profile_requests_active 1$' >/dev/null; }
wait_until 10 is_watched || fail "the last profile has begun"
stop_redis
wait $last || true
expect_equal "answered at the end" 200 "$(<"$TMP/last.code")"
expect "with a profile" "$PPROFQ" "$TMP/last" check
expect_all_valid "redis"

# ---- passwords -------------------------------------------------------------------------------

fresh_out
echo secret >"$TMP/password"
start_redis CPROF_HTTP=0.0.0.0:$port CPROF_HTTP_USER=me CPROF_HTTP_PASSWORD_FILE=password CPROF_HTTP_CMDLINE=1
expect_equal "without the password" 401 "$(status "$url/debug/pprof/heap")"
expect_equal "asked for it" 'Basic realm="pprof"' "$(header WWW-Authenticate)"
expect_equal "metrics too" 401 "$(status "$url/metrics")"
expect_equal "a wrong one" 401 "$(status -u me:Secret "$url/debug/pprof/heap")"
expect_equal "the right one" 200 "$(status -u me:secret "$url/debug/pprof/heap")"
expect_equal "by any host name" 200 "$(status -u me:secret -H 'Host: pod-7' "$url/debug/pprof/heap")"
expect "go tool pprof sends it" pprof -top -output "$TMP/top" "http://me:secret@127.0.0.1:$port/debug/pprof/heap"
expect_equal "the command line" 200 "$(status -u me:secret "$url/debug/pprof/cmdline")"
expect_equal "as the kernel has it" "$(tr '\0' ' ' <"/proc/$redis_pid/cmdline" | xargs)" \
	"$(tr '\0' ' ' <"$TMP/body" | xargs)"
stop_redis

# ---- refused, but the program runs -------------------------------------------------------------

refused()
{
	local what=$1 line=$2
	shift 2
	fresh_out
	expect_equal "$what: runs all the same" 0 "$(status_of profiled "$@" sh -c 'exit 0')"
	expect "$what: settles" settle
	expect_equal "$what: one line" 1 "$(grep -c '^cprof' "$TMP/stderr")"
	expect "$what: says why" grep -q "$line" "$TMP/stderr"
}
refused "all addresses without a password" "CPROF_HTTP_PASSWORD_FILE" CPROF_HTTP=0.0.0.0:$port
refused "nonsense" "accepted is" CPROF_HTTP=nonsense
python3 -c "
import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $port)); s.listen(); time.sleep(60)" &
taken=$!
wait_until 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" || fail "a port that is taken"
refused "a port that is taken" "Address already in use" CPROF_HTTP=$port
kill $taken

# ---- nothing is recorded, but threads can be asked for ------------------------------------------

fresh_out
LIMIT=100 profiled CPROF_HTTP=$port CPROF_CPU_HZ=0 CPROF_HEAP_RATE=0 sleep 60 &
shell_pid=$!
expect "served without any profile" wait_until 10 curl -sf -o "$TMP/body" "$url/debug/pprof/threads?debug=2"
expect "one thread" grep -q '^thread [0-9]* "sleep"' "$TMP/body"
pid=$(awk '$1 == "thread" { print $2; exit }' "$TMP/body")
expect_equal "no CPU profile" 500 "$(status "$url/debug/pprof/profile?seconds=1")"
expect "says why" grep -q '^Could not enable CPU profiling: .*CPROF_CPU_HZ=0' "$TMP/body"
expect_equal "as pprof understands" 1 "$(header X-Go-Pprof)"
expect_equal "an empty heap" 200 "$(status "$url/debug/pprof/heap")"
expect "is valid" "$PPROFQ" "$TMP/body" check
kill "$pid"
wait $shell_pid || true
expect "settles" settle

# ---- a unix socket, and several processes ------------------------------------------------------

fresh_out
mkdir -p "$TMP/run"
cd "$TMP/run"
LIMIT=100 profiled CPROF_HTTP=unix:sock bash -c 'sleep 100 & sleep 100 & echo $$ >first; wait' 2>"$TMP/stderr" &
shell_pid=$!
unix() { curl -s --unix-socket "$TMP/run/sock" "$@"; }
has_three() { [[ $(unix http://x/metrics | awk '$1 == "cprof_processes" { print $2 }') == 3 ]]; }
expect "three processes" wait_until 10 has_three
alone=$(our_collectors | sort | xargs)
refused_beside() { cd "$TMP/run"; profiled CPROF_HTTP=unix:sock sh -c 'exit 0' 2>"$TMP/beside"; }
expect "a second one runs without it" refused_beside
has_line() { grep -q 'Address already in use' "$TMP/beside"; }
expect "and says so" wait_until 10 has_line
is_alone() { [[ $(our_collectors | sort | xargs) == "$alone" ]]; }
expect "it ends" wait_until 10 is_alone
expect "the first one's is still there" has_three
expect_equal "only its owner may connect" 600 "$(stat -c %a "$TMP/run/sock")"
unix http://x/debug/pprof/ >"$TMP/body"
expect_equal "the index lists them" 3 "$(grep -c 'href="?pid=' "$TMP/body")"
expect "and shows the first" grep -q '<h1>bash' "$TMP/body"
pid=$(grep -o 'href="?pid=[0-9]*">[0-9]*</a></td><td>sleep' "$TMP/body" | head -1 | grep -o '[0-9]*' | head -1)
unix 'http://x/metrics?pid=all' >"$TMP/metrics"
expect_equal "metrics of all of them" 3 "$(grep -c '^cprof_threads{pid="[0-9]*",process="\(bash\|sleep\)"} 1$' "$TMP/metrics")"
! command -v promtool >/dev/null || expect "in a text that is valid" promtool check metrics <"$TMP/metrics"
expect_equal "no other page is of all" 400 "$(unix -o /dev/null -w '%{http_code}' 'http://x/debug/pprof/heap?pid=all')"
unix -D "$TMP/headers" "http://x/debug/pprof/heap?pid=$pid" >"$TMP/body"
expect_equal "says whom it shows" "$pid" "$(header X-Cprof-Process)"
expect "another process's profile" "$PPROFQ" "$TMP/body" check
unix -D "$TMP/headers" "http://x/debug/pprof/heap?process=sleep" >/dev/null
expect "a process by its name" grep -q 'href="?pid='"$(header X-Cprof-Process)"'">[0-9]*</a></td><td>sleep' \
	<(unix http://x/debug/pprof/)
expect_equal "a name that is not there" 404 \
	"$(unix -o /dev/null -w '%{http_code}' 'http://x/debug/pprof/heap?process=slee')"
expect_equal "a process that is not there" 404 \
	"$(unix -o /dev/null -w '%{http_code}' 'http://x/debug/pprof/heap?pid=1')"
pkill -P "$(<first)" sleep || true
wait $shell_pid || true
expect "settles" settle
expect "its file is removed" test ! -e "$TMP/run/sock"
finish
