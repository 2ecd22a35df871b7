#!/bin/bash
# SPDX-License-Identifier: MIT
# The bytes of answers, read by a reader that takes HTTP/1.1 (RFC 9112) at its word: one length for each body, chunks that
# add up, nothing after HEAD, answers in the order of the requests, whatever way a peer sends and reads.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

has_commands curl python3 || skip_test "curl or python3 is not installed"

port=$(free_ports)
mkfifo "$TMP/in"
LIMIT=250 profiled CPROF_HTTP="$port" CPROF_BLOCK_RATE=1 "$VICTIMS/http_steps" >/dev/null 2>"$TMP/err" <"$TMP/in" &
steps_pid=$!
exec {steps}>"$TMP/in"
printf 'alloc 20000 1000\nthreads 20\n' >&"$steps"
expect "serves" wait_until 20 curl -sf -o /dev/null "http://127.0.0.1:$port/healthz"

cat >"$TMP/wire.py" <<'PY'
import gzip, re, socket, struct, sys, time

PORT = int(sys.argv[1])
STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [\x20-\x7e]*\Z")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*?)[ \t]*\Z")
P = b"/debug/pprof/"
PATHS = [b"/healthz", b"/metrics", P, P + b"heap", P + b"allocs", P + b"block", P + b"mutex", P + b"threadcreate",
         P + b"heap?debug=1", P + b"threads?debug=1", P + b"threads?debug=2", P + b"goroutine", P + b"symbol?0x1", P + b"nope",
         b"/nope", P + b"heap?debug=x", P + b"heap?seconds=x", b"/", P + b"cmdline"]


class Wrong(Exception):
    pass


class Peer:
    """One connection, and the bytes of it that are not read yet."""

    def __init__(self, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", PORT))
        self.bytes = b""
        self.piece, self.pause = 65536, 0

    def send(self, data, at_once=None):
        for i in range(0, len(data), at_once or len(data)):
            self.socket.sendall(data[i:i + (at_once or len(data))])

    def more(self):
        time.sleep(self.pause)
        piece = self.socket.recv(self.piece)
        self.bytes += piece
        return bool(piece)

    def line(self):
        while b"\n" not in self.bytes:
            if len(self.bytes) > 65536 or not self.more():
                raise Wrong("no end of a line: %r" % self.bytes[:80])
        line, _, self.bytes = self.bytes.partition(b"\n")
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise Wrong("a line ends without CR LF: %r" % line)
        return line[:-1]

    def take(self, count):
        while len(self.bytes) < count:
            if not self.more():
                raise Wrong("%d bytes of %d, then the end" % (len(self.bytes), count))
        data, self.bytes = self.bytes[:count], self.bytes[count:]
        return data

    def is_at_end(self):
        try:
            return not self.bytes and not self.more()
        except ConnectionResetError:
            return not self.bytes

    def chunks(self):
        body = b""
        while True:
            size = self.line()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
                raise Wrong("a chunk's size: %r" % size)
            body += self.take(int(size, 16))
            if int(size, 16) == 0:
                if self.line():
                    raise Wrong("trailers that were not announced")
                return body
            if self.take(2) != b"\r\n":
                raise Wrong("a chunk is longer than its size")

    def answer(self, method=b"GET", is_old=False):
        """Status, fields, body: of HTTP/1.0 up to the end if nothing says how long it is."""
        first = self.line()
        if not (match := STATUS.match(first)):
            raise Wrong("status line %r" % first)
        status, fields = int(match[1]), {}
        while line := self.line():
            if not (match := FIELD.match(line)):
                raise Wrong("field %r" % line)
            name = match[1].lower()
            if name in fields:
                raise Wrong("two fields %r" % name)
            fields[name] = match[2]
        if status >= 200 and b"date" not in fields:
            raise Wrong("no Date")
        length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
        if length is not None and (coding is not None or not length.isdigit()):
            raise Wrong("lengths: %r %r" % (length, coding))
        if status < 200 or status in (204, 304):
            if length is not None or coding is not None:
                raise Wrong("a length where there is no body")
            return status, fields, b""
        if method == b"HEAD":
            return status, fields, b""
        if coding is not None:
            if coding.lower() != b"chunked" or is_old:
                raise Wrong("coding %r" % coding)
            return status, fields, self.chunks()
        if length is not None:
            return status, fields, self.take(int(length))
        if fields.get(b"connection", b"").lower() != b"close" and not is_old:
            raise Wrong("nothing says how long the body is")
        while self.more():
            pass
        body, self.bytes = self.bytes, b""
        return status, fields, body


def request(path, method=b"GET", fields=(), body=b"", version=b"1.1"):
    lines = [b"%s %s HTTP/%s" % (method, path, version), b"Host: localhost", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def equal(what, want, got):
    if want != got:
        raise Wrong("%s: want %r, got %r" % (what, want, got))


def is_sound(path, status, fields, body):
    if status == 200 and body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    if status == 200 and not body and b"cmdline" not in path:
        raise Wrong("%r: empty" % path)


def statuses():
    seen = {}
    for path in PATHS:
        peer = Peer()
        peer.send(request(path, fields=[b"Connection: close"]))
        status, fields, body = peer.answer()
        is_sound(path, status, fields, body)
        equal("%r: Connection" % path, b"close", fields.get(b"connection", b"").lower())
        equal("%r: the end" % path, True, peer.is_at_end())
        seen[path] = status, fields.get(b"content-type")
    return seen


def connection_close():
    equal("healthz", 200, SEEN[b"/healthz"][0])
    equal("nope", 404, SEEN[P + b"nope"][0])


def keep_alive():
    peer = Peer()
    for path in PATHS * 3:
        peer.send(request(path))
        status, fields, body = peer.answer()
        is_sound(path, status, fields, body)
        equal("%r" % path, SEEN[path], (status, fields.get(b"content-type")))
    peer.socket.shutdown(socket.SHUT_WR)
    equal("the end", True, peer.is_at_end())


def head():
    peer = Peer()
    for path in PATHS:
        peer.send(request(path, b"HEAD"))
        status, fields, _ = peer.answer(b"HEAD")
        equal("HEAD %r" % path, SEEN[path], (status, fields.get(b"content-type")))
        peer.send(request(b"/healthz"))
        equal("after HEAD %r" % path, 200, peer.answer()[0])
        equal("nothing more after HEAD %r" % path, b"", peer.bytes)


def pipelined():
    order = [(b"HEAD" if i % 3 == 1 else b"GET", PATHS[i * 7 % len(PATHS)]) for i in range(40)]
    for at_once in (None, 1000, 7):
        peer = Peer()
        peer.send(b"".join(request(path, method) for method, path in order), at_once)
        for method, path in order:
            status, fields, _ = peer.answer(method)
            equal("%r %r" % (method, path), SEEN[path], (status, fields.get(b"content-type")))
        equal("nothing more", b"", peer.bytes)


def byte_by_byte():
    peer = Peer()
    peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.send(request(P + b"heap", fields=[b"Connection: close"]), 1)
    is_sound(P + b"heap", *peer.answer())
    equal("the end", True, peer.is_at_end())


def half_closed():
    for path in PATHS:
        peer = Peer()
        peer.send(request(path))
        peer.socket.shutdown(socket.SHUT_WR)
        status, fields, body = peer.answer()
        is_sound(path, status, fields, body)
        equal("%r" % path, SEEN[path], (status, fields.get(b"content-type")))
        equal("%r: the end" % path, True, peer.is_at_end())


def old_version():
    for path in PATHS:
        peer = Peer()
        peer.send(request(path, version=b"1.0"))
        status, fields, body = peer.answer(is_old=True)
        is_sound(path, status, fields, body)
        equal("%r" % path, SEEN[path], (status, fields.get(b"content-type")))
        equal("%r: the end" % path, True, peer.is_at_end())


def bodies():
    names = b"0x1+0x2"
    for fields, body in (([b"Content-Length: 7"], names),
                         ([b"Transfer-Encoding: chunked"], b"3\r\n0x1\r\n4;x=y\r\n+0x2\r\n0\r\n\r\n")):
        for at_once in (None, 1):
            peer = Peer()
            for _ in range(3):
                peer.send(request(P + b"symbol", b"POST", fields, body), at_once)
                equal("symbol", 200, peer.answer()[0])
            peer.send(request(b"/healthz"))
            equal("after bodies", 200, peer.answer()[0])
    peer = Peer()
    peer.send(request(P + b"symbol", b"POST", [b"Content-Length: 7", b"Expect: 100-continue"]))
    equal("asked to go on", 100, peer.answer()[0])
    peer.send(names)
    equal("symbol", 200, peer.answer()[0])


def refused():
    hidden = request(b"/nope")
    for what, fields in (("two lengths", [b"Content-Length: 3", b"Content-Length: 4"]),
                         ("a length and chunks", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])):
        for method in (b"GET", b"POST"):
            peer = Peer()
            peer.send(request(P + b"symbol", method, fields, b"0\r\n\r\n" + hidden))
            equal(what, 400, peer.answer()[0])
            equal(what + ": nothing after it", True, peer.is_at_end())
    # These libmicrohttpd refuses itself, and 0.9.75 writes the headers of that twice; but it ends there.
    for what, data in (("no host", b"GET /healthz HTTP/1.1\r\n\r\n"), ("no version", b"GET\r\n\r\n"),
                       ("a length below 0", request(b"/", b"POST", [b"Content-Length: -1"]))):
        peer = Peer()
        peer.send(data + hidden)
        while peer.more():
            pass
        if peer.bytes and not peer.bytes.startswith(b"HTTP/1.1 400 ") or b"404 Not Found" in peer.bytes:
            raise Wrong("%s: %r" % (what, peer.bytes[:200]))


def slow_reader():
    peer = Peer(receive_buffer=2304)
    peer.piece, peer.pause = 700, 0.001
    paths = [P + b"heap", b"/metrics", P + b"threads?debug=2"]
    peer.send(b"".join(map(request, paths)))
    for path in paths:
        is_sound(path, *peer.answer())
    equal("nothing more", b"", peer.bytes)


def gone_readers():
    for i in range(50):
        peer = Peer(receive_buffer=2304)
        peer.send(request(b"/metrics") * 5)
        peer.socket.recv(1 + i * 40)
        if i % 2:
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.socket.close()
    peer = Peer()
    peer.send(request(b"/healthz"))
    equal("others", 200, peer.answer()[0])


SEEN = statuses()
for case in (connection_close, keep_alive, head, pipelined, byte_by_byte, half_closed, old_version, bodies, refused, slow_reader,
             gone_readers):
    try:
        case()
        print("ok   ", case.__name__.replace("_", " "))
    except (Wrong, OSError) as error:
        print("FAIL ", case.__name__.replace("_", " ") + ":", error)
PY
bounded python3 "$TMP/wire.py" "$port" >"$TMP/wire.out" 2>&1 || fail "the reader: $(tail -1 "$TMP/wire.out")"
while read -r verdict what; do
	if [[ $verdict == ok ]]; then pass "$what"; else fail "$what"; fi
done <"$TMP/wire.out"
expect_equal "cases" 11 "$(wc -l <"$TMP/wire.out")"
echo quit >&"$steps"
exec {steps}>&-
wait "$steps_pid" || fail "the program's status $?"
expect_equal "nothing on stderr" "" "$(<"$TMP/err")"
expect "settles" settle
finish
