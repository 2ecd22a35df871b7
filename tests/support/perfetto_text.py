#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads a Perfetto trace by the field numbers of the public .proto, prints it event by event, and checks
what every viewer relies on: slices end and nest, whatever is mentioned was defined before, flows have both
ends, time does not run backwards.  Written apart from the writer: where the two differ, one is wrong.

    perfetto_text.py FILE

A line is: nanoseconds since the trace's begin, track, what, name, then key=value, [leaf < ... < root].
The first wrong thing is named on stderr, and the status is 1.
"""
import sys


class Address(int):
    """A number that is shown as an address."""


class Wrong(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Wrong(what)


def varint(data, at):
    value = shift = 0
    while True:
        need(at < len(data) and shift < 70, "a varint that does not end")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def fields(data):
    """(number, value) of each field; bytes for those with a length."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 1:
            value, at = int.from_bytes(data[at:at + 8], "little"), at + 8
        elif wire == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            raise Wrong(f"wire type {wire}")
        need(at <= len(data), "a field that goes beyond its message")
        need(tag >> 3, "field number 0")
        yield tag >> 3, value


def message(data):
    result = {}
    for number, value in fields(data):
        result.setdefault(number, []).append(value)
    return result


def one(msg, number, default=None):
    values = msg.get(number, [])
    need(len(values) <= 1, f"field {number} twice")
    return values[0] if values else default


def text(data):
    return data.decode("utf-8")  # strictly: protobuf demands it


INTERNED = {1: "category", 2: "name", 3: "annotation", 5: "function", 18: "file", 29: "text"}
TYPES = {1: "begin", 2: "end", 3: "instant", 4: "count"}


class Reader:
    def __init__(self):
        self.sequence = None
        self.begin = None
        self.last = 0
        self.interned = {}
        self.tracks = {}
        self.counters = set()
        self.open = {}
        self.flows = {}  # id -> the track that it comes from
        self.flow_ends = {}  # id -> the track that it leads to, and when
        self.slices = []
        self.lines = []

    def intern(self, data):
        for number, value in fields(data):
            msg = message(value)
            iid = one(msg, 1)
            need(iid, f"interned field {number} without an id")
            if number in INTERNED:
                entry = text(one(msg, 2))
            elif number == 6:
                function = self.lookup(5, one(msg, 2))
                need(function, "a frame without a function")
                entry = function
                if 5 in msg:
                    entry += f" {self.lookup(18, one(msg, 5))}:{one(msg, 6, 0)}"
            elif number == 7:
                need(msg.get(2), "a stack without frames")
                entry = " < ".join(reversed([self.lookup(6, frame) for frame in msg[2]]))
            else:
                raise Wrong(f"interned field {number}")
            need((number, iid) not in self.interned, f"interned field {number} has {iid} twice")
            self.interned[number, iid] = entry

    def lookup(self, number, iid):
        need((number, iid) in self.interned, f"interned field {number} has no {iid}")
        return self.interned[number, iid]

    def stack(self, msg, number):
        return f" [{self.lookup(7, one(msg, number))}]" if number in msg else ""

    def describe(self, msg):
        uuid = one(msg, 1)
        need(uuid and uuid not in self.tracks, f"track {uuid} twice")
        parent = one(msg, 5)
        need(parent is None or parent in self.tracks, f"track {uuid} has an unknown parent")
        if 3 in msg:
            process = message(one(msg, 3))
            name = f"process {one(process, 1)} {text(one(process, 6, b''))}"
        elif 4 in msg:
            thread = message(one(msg, 4))
            need(one(thread, 1) is not None and one(thread, 2) is not None, "a thread without pid or tid")
            name = f"{text(one(thread, 5, b''))}/{one(thread, 2)}"
        else:
            name = text(one(msg, 2))
            need(parent is not None, f"track {name} has no parent")
            if not self.tracks[parent].startswith("process "):
                name = f"{self.tracks[parent]}/{name}"
        if 8 in msg:
            self.counters.add(uuid)
        self.tracks[uuid] = name

    def annotation(self, data):
        msg = message(data)
        name = self.lookup(3, one(msg, 1))
        for number, show in ((2, bool), (3, int), (7, Address), (17, lambda iid: self.lookup(29, iid))):
            if number in msg:
                return name, show(one(msg, number))
        raise Wrong(f"annotation {name} without a value")

    def event(self, time, msg):
        uuid = one(msg, 11)
        need(uuid in self.tracks, f"an event on unknown track {uuid}")
        track = self.tracks[uuid]
        kind = one(msg, 9)
        need(kind in TYPES, f"event type {kind}")
        need((kind == 4) == (uuid in self.counters), f"track {track} is a counter, or is none")
        name = text(one(msg, 23)) if 23 in msg else self.lookup(2, one(msg, 10)) if 10 in msg else ""
        need(name or kind in (2, 4), f"an event without a name on {track}")
        line = f"{track} {TYPES[kind]}{' ' if name else ''}{name}"
        notes = dict(self.annotation(data) for data in msg.get(4, []))
        if kind == 1:
            self.open.setdefault(uuid, []).append({"track": track, "name": name, "begin": time, **notes})
        elif kind == 2:
            need(self.open.get(uuid), f"end without a begin on {track}")
            self.slices.append({**self.open[uuid].pop(), "end": time, **notes})
        elif kind == 4:
            line += f" {one(msg, 30)}"
        for iid in msg.get(3, []):
            self.lookup(1, iid)
        line += "".join(f" {key}={hex(value) if isinstance(value, Address) else value}" for key, value in notes.items())
        for flow in msg.get(47, []):
            need(flow not in self.flows, f"flow {flow} begins twice")
            self.flows[flow] = track
            line += f" ->{flow & 0xffffffff}"
        for flow in msg.get(48, []):
            need(flow in self.flows, f"flow {flow} ends before it begins")
            need(flow not in self.flow_ends, f"flow {flow} ends twice")
            self.flow_ends[flow] = (track, time)
            line += f" <-{flow & 0xffffffff}"
        self.lines.append(f"{time - self.begin} {line}{self.stack(msg, 56)}")

    def sample(self, time, msg):
        need(4 in msg, "a sample without a stack")
        self.lines.append(f"{time - self.begin} {one(msg, 2)}/{one(msg, 3)} sample{self.stack(msg, 4)}")

    def packet(self, data):
        msg = message(data)
        sequence = one(msg, 10)
        need(sequence and self.sequence in (None, sequence), "another sequence")
        if self.sequence is None:
            need(one(msg, 13) == 1 and one(message(one(msg, 59)), 58) == 3, "no defaults at the begin")
            clocks = {one(message(c), 1): one(message(c), 2) for c in message(one(msg, 6))[1]}
            need(set(clocks) == {1, 3}, "clocks other than REALTIME and MONOTONIC")
            self.sequence, self.begin, self.last = sequence, clocks[3], clocks[3]
            self.lines.append(f"0 clocks realtime={clocks[1]} monotonic={clocks[3]}")
            return
        need(one(msg, 13) == 2, "a packet that does not need the state")
        if 12 in msg:
            self.intern(one(msg, 12))
        time = one(msg, 8)
        need(time is not None and time >= self.last, f"time runs backwards at {time}")
        self.last = time
        if 60 in msg:
            self.describe(message(one(msg, 60)))
        elif 11 in msg:
            self.event(time, message(one(msg, 11)))
        elif 66 in msg:
            self.sample(time, message(one(msg, 66)))
        else:
            raise Wrong(f"a packet with fields {sorted(msg)}")

    def finish(self):
        need(self.sequence is not None, "an empty trace")
        for uuid, begins in self.open.items():
            need(not begins, f"{len(begins)} slices are open on {self.tracks[uuid]}")
        need(self.flows.keys() == self.flow_ends.keys(), "flows that do not end")


def read(path):
    """A checked trace; ends the program if it is not valid."""
    reader = Reader()
    with open(path, "rb") as file:
        data = file.read()
    try:
        for number, value in fields(data):
            need(number == 1, f"field {number} in the trace")
            reader.packet(value)
        reader.finish()
    except (Wrong, UnicodeDecodeError, TypeError) as error:
        sys.exit(f"perfetto_text: {path}: {error}")
    return reader


if __name__ == "__main__":
    print("\n".join(read(sys.argv[1]).lines))
