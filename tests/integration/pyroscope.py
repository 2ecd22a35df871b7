#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stands in for a Pyroscope server: what its ingest API takes and refuses, after
pkg/ingester/pyroscope and api/model/labelset of grafana/pyroscope (v1.7 to v2), and the
ways in which a server can fail.

    pyroscope.py PORT DIRECTORY

Each request is dealt with as DIRECTORY/mode says at that moment: ok (or no such file), a
status such as 500 or 429, hang, reset, redirect.  What is taken becomes
DIRECTORY/N.KIND.pb.gz, N from 0001, and a line "N KIND FROM UNTIL NAME" in DIRECTORY/taken;
each attempt a line with the mode in DIRECTORY/attempts.
"""
import email, gzip, http.server, json, re, socket, struct, sys, time, urllib.parse

port, directory = int(sys.argv[1]), sys.argv[2]
taken = 0
moments = set()


def mode():
    try:
        with open(directory + "/mode") as file:
            return file.read().strip() or "ok"
    except FileNotFoundError:
        return "ok"


def parse_name(text):
    """name{key=value,...}: as Pyroscope reads it."""
    match = re.fullmatch(r"([A-Za-z0-9_./-]+)\{([^{}]*)\}", text)
    if not match:
        raise ValueError("name: " + text)
    for pair in filter(None, match[2].split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_.]+", key) or not value:
            raise ValueError("label: " + pair)
    return text


def kind_of(types):
    for name, kind in (("samples", "cpu"), ("inuse_space", "heap"), ("contentions", None)):
        if name in types:
            return kind or types["contentions"]["display-name"].removesuffix("_count")
    raise ValueError("sample types")


def time_of(profile):
    """time_nanos of a pprof profile."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = profile[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(profile):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            at += value
        elif tag >> 3 == 9:
            return value
    raise ValueError("a profile without a time")


def parse_request(path, content_type, body):
    url = urllib.parse.urlsplit(path)
    query = {key: value[0] for key, value in urllib.parse.parse_qs(url.query, strict_parsing=True).items()}
    form = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    if url.path.rsplit("/", 1)[-1] != "ingest" or not form.is_multipart():
        raise ValueError("not for the ingest API")
    parts = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
             for part in form.get_payload()}
    if set(parts) != {"profile", "sample_type_config"}:
        raise ValueError("parts: %s" % sorted(parts))
    kind = kind_of(json.loads(parts["sample_type_config"]))
    # Of two profiles of one series in one millisecond Pyroscope shows only one.
    moment = (query["name"], kind, time_of(gzip.decompress(parts["profile"])) // 1000000)
    if moment in moments:
        raise ValueError("twice the same moment: %s" % (moment,))
    moments.add(moment)
    start, end = int(query["from"]), int(query["until"])
    if not 1.5e18 < start <= end:
        raise ValueError("times are nanoseconds")
    return kind, start, end, parse_name(query["name"]), parts["profile"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, text="", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_POST(self):
        global taken
        now = mode()
        with open(directory + "/attempts", "a") as file:
            print(now, file=file)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if now == "hang":
            time.sleep(600)
        elif now == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif now == "redirect" and not self.path.startswith("/behind/"):
            self.answer(307, Location="http://localhost:%d/behind%s" % (port, self.path))
        elif now == "429":
            self.answer(429, "slow down", Retry_After="1")
        elif now not in ("ok", "redirect"):
            self.answer(int(now), "refused on\r\npurpose\x1b[0m")
        else:
            try:
                kind, start, end, name, profile = parse_request(self.path, self.headers["Content-Type"], body)
            except Exception as error:
                with open(directory + "/wrong", "a") as file:
                    print(error, file=file)
                self.answer(400, str(error))
                return
            taken += 1
            with open("%s/%04d.%s.pb.gz" % (directory, taken, kind), "wb") as file:
                file.write(profile)
            with open(directory + "/taken", "a") as file:
                print("%04d" % taken, kind, start, end, name, file=file)
            self.answer(200)


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True


with open(directory + "/taken", "a+") as earlier:
    earlier.seek(0)
    taken = len(earlier.readlines())
Server(("127.0.0.1", port), Handler).serve_forever()
