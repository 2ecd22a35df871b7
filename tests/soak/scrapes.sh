#!/bin/bash
# SPDX-License-Identifier: MIT
# 200 clients that scrape without a pause, for SPAN seconds, beside a redis-server at work: each answer
# is whole or a clean refusal, the collector's memory stays flat, and the server notices nothing.
# timeout: 900
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"

SPAN=${SPAN:-60}
command -v redis-server >/dev/null || skip_test "no redis-server"
port=$(free_ports)
fresh_out
"${STEADY[@]}" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_HTTP=$((port + 1)) CPROF_BLOCK_RATE=10us \
	redis-server --port "$port" --save '' --appendonly no >"$TMP/redis.log" 2>&1 &
server=$!
answers()
{
	redis-cli -p "$port" ping | grep -q PONG && curl -sf "http://localhost:$((port + 1))/healthz"
}
expect "redis-server and its endpoint are there" wait_until 30 answers

# cost: the server's CPU time for each of 400000 requests, in ns, for what is printed: its own, however many others
# want the processors.  A request that fails ends the benchmark with a status.
cost()
{
	local before after
	before=$(awk '{ print $14 + $15 }' "/proc/$server/stat")
	redis-benchmark -p "$port" -t set,get -n 200000 -c 20 -P 4 -q >/dev/null
	after=$(awk '{ print $14 + $15 }' "/proc/$server/stat")
	echo $(((after - before) * (1000000000 / $(getconf CLK_TCK)) / 400000))
}

cat >"$TMP/scrape.py" <<'PY'
import collections, gzip, socket, sys, threading, time

port, span = int(sys.argv[1]), float(sys.argv[2])
paths = ["/metrics", "/debug/pprof/heap", "/debug/pprof/allocs", "/debug/pprof/block", "/debug/pprof/mutex",
         "/debug/pprof/", "/debug/pprof/threads?debug=1", "/healthz", "/debug/pprof/heap?debug=1"]
end = time.monotonic() + span
seen = collections.Counter()
lock = threading.Lock()

def scrape(number):
    turn = number
    while time.monotonic() < end:
        path = paths[turn % len(paths)]
        turn += 1
        try:
            s = socket.create_connection(("localhost", port), 60)
            s.settimeout(60)
            s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
            reply = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                reply += piece
            s.close()
            head, _, body = reply.partition(b"\r\n\r\n")
            status = head.split(b" ", 2)[1].decode()
            length = [l for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")]
            if length and int(length[0].split(b":")[1]) != len(body):
                status = "cut " + status
            elif status == "200" and body[:2] == b"\x1f\x8b":
                gzip.decompress(body)
        except Exception as e:
            status = type(e).__name__
        with lock:
            seen[status] += 1

threads = [threading.Thread(target=scrape, args=(i,)) for i in range(200)]
for t in threads:
    t.start()
for t in threads:
    t.join()
for status, count in sorted(seen.items()):
    print(count, status)
PY

worker()
{
	our_collectors | sort -n | tail -n 1
}
resident()
{
	awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}
alone=$(cost)
expect "a warm-up" python3 "$TMP/scrape.py" $((port + 1)) 5
first=$(worker)
before=$(resident "$first")
python3 "$TMP/scrape.py" $((port + 1)) "$SPAN" >"$TMP/seen" &
scraper=$!
beside=$(cost) || fail "redis-benchmark beside the scrapes"
wait "$scraper"
sed 's/^/      /' "$TMP/seen"
echo "      redis: $alone ns a request alone, $beside ns beside 200 clients"
expect_equal "no answer that is neither whole nor a refusal" "" "$(grep -vE ' (200|429|503)$' "$TMP/seen" || true)"
expect_range "answers" 1000 "$(awk '$2 == 200 { print $1 }' "$TMP/seen")" 100000000
expect_equal "by one worker" "$first" "$(worker)"
after=$(resident "$first")
echo "      collector: $before KB before, $after KB after"
expect_range "the collector's memory stays flat" 0 "$after" $((before * 5 / 4 + 4096))
expect "redis-server answers" answers
redis-cli -p "$port" shutdown nosave >/dev/null 2>&1 || true
wait "$server" || fail "redis-server's status"
expect "settles" settle
expect_all_valid "redis-server"
finish
