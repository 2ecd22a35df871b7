#!/bin/bash
# SPDX-License-Identifier: MIT
# Whatever is sent to the server: answers or clean errors, the same worker all along, and
# no memory that grows.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

has_commands curl python3 || skip_test "curl or python3 is not installed"

port=$(free_ports)
url=http://127.0.0.1:$port
mkfifo "$TMP/in"
LIMIT=250 profiled CPROF_HTTP=$port "$VICTIMS/http_steps" >/dev/null 2>"$TMP/err" <"$TMP/in" &
steps_pid=$!
exec {steps}>"$TMP/in"
echo "alloc 10000 1000" >&"$steps"
expect "serves" wait_until 20 curl -sf -o /dev/null "$url/healthz"
resident() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$(our_workers)/status"; }
first_worker=$(our_workers)

cat >"$TMP/hostile.py" <<'PY'
import random, select, socket, sys

port, rounds = int(sys.argv[1]), int(sys.argv[2])
random.seed(20)
paths = ["/", "/metrics", "/healthz", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/heap?debug=1",
         "/debug/pprof/symbol?0x1+0x2+", "/debug/pprof/threads?debug=2", "/debug/pprof/nope", "*", "http://x/metrics",
         "/debug/pprof/profile?seconds=1", "//%2e%2e/%00", "/%", "/debug/pprof/heap?seconds=1", "/" + "a" * 5000]
methods = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "get", "G\0T", "", "CONNECT", "A" * 1000]
headers = ["Host: localhost", "Host: evil", "Host:", "Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999",
           "Content-Length: 5\r\nContent-Length: 6", "Transfer-Encoding: chunked", "Transfer-Encoding: x", "Expect: 100-continue",
           "Connection: close", "Authorization: Basic " + "A" * 3000, "Authorization: Basic \xff\xfe", "X: " + "y" * 20000,
           " folded", "NoColon", ": empty", "Origin: null", "Cookie: a=b", "Range: bytes=0-1", "Upgrade: websocket\r\nConnection: Upgrade"]
bodies = ["", "hello", "5\r\nhello\r\n0\r\n\r\n", "ffffffffffffffff\r\nx", "0x1+0x2+zzz", "\0" * 3000, "+" * 3000]

def request():
    if random.random() < 0.1:
        return random.randbytes(random.randrange(1, 4000))
    lines = [random.choice(methods[:3] if random.random() < .7 else methods) + " " + random.choice(paths) + " " +
             random.choice(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", ""])]
    lines += random.sample(headers, random.randrange(0, 5))
    data = ("\r\n".join(lines) + "\r\n\r\n" + random.choice(bodies)).encode("latin-1")
    if random.random() < 0.2:
        data = bytearray(data)
        for _ in range(random.randrange(1, 6)):
            data[random.randrange(len(data))] = random.randrange(256)
    if random.random() < 0.2:
        data = data[:random.randrange(len(data) + 1)]
    return bytes(data)

answered = 0
for i in range(rounds):
    batch = []
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", port), 10)
        try:
            for _ in range(random.choice([1, 1, 1, 3])):
                s.sendall(request())
            if random.random() < 0.3:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if random.random() < 0.2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        else:
            batch.append(s)
    ready, _, _ = select.select(batch, [], [], 0.05)
    for s in ready:
        try:
            reply = s.recv(16)
        except OSError:
            reply = b""
        if reply and not reply.startswith(b"HTTP/1."):
            sys.exit("not HTTP: %r" % reply)
        answered += bool(reply)
    for s in batch:
        s.close()
print(answered)
PY
expect "a warm-up" python3 "$TMP/hostile.py" $port 20
before=$(resident)
expect "nonsense is answered in HTTP, or not at all" python3 "$TMP/hostile.py" $port 150
expect_equal "and the server serves" 200 "$(curl -s -o /dev/null -w '%{http_code}' --max-time 20 "$url/debug/pprof/heap")"
expect_equal "by the same worker" "$first_worker" "$(our_workers)"

# Clients that never finish a request, and clients that never take an answer.
cat >"$TMP/slow.py" <<'PY'
import socket, sys

port = int(sys.argv[1])
slow = []
for i in range(600):
    try:
        s = socket.create_connection(("127.0.0.1", port), 5)
        if i % 2:
            s.sendall(b"GET /debug/pprof/heap HTTP/1.1\r\nHost: localhost\r\nX: ")
        else:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        slow.append(s)
    except OSError:
        pass
print("ready", flush=True)
sys.stdin.readline()
PY
coproc SLOW { python3 "$TMP/slow.py" $port; }
# shellcheck disable=SC2154 # coproc sets it
slow_pid=$SLOW_PID
read -r -t 60 _ <&"${SLOW[0]}" || fail "the slow clients are there"
seq 100 | xargs -P 20 -I{} curl -s -o /dev/null -w '%{http_code}\n' --max-time 30 "$url/debug/pprof/heap" >"$TMP/codes" || true
expect_equal "100 answers beside 600 slow clients" "100 200" "$(sort "$TMP/codes" | uniq -c | xargs)"
echo >&"${SLOW[1]}"
wait "$slow_pid" || true
expect_equal "by the same worker" "$first_worker" "$(our_workers)"
after=$(resident)
# A sanitizer keeps what was freed.
if ldd "$BUILD/cprof-collector" | grep -q libasan; then
	skip_check "memory of the collector"
else
	# What the largest answers and 256 connections take at a time it keeps; that it takes no more is for the soak.
	expect_range "memory of the collector, kB" 1 "$after" $((before + 49152))
fi
expect_equal "nothing was said" "" "$(grep cprof "$TMP/err" || true)"
echo quit >&"$steps"
wait "$steps_pid" || true
expect "settles" settle
expect_all_valid "the program"
finish
