#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares a Perfetto trace with what victims/trace_truth.c knows about itself.

    trace_truth.py LOG TRACE

Every wait, region and task of the log must be in the trace, once, with its object, between the moments that
the log names, and woken by the thread that it names, in the slice's words and by the flow that ends there.
Prints how many there were, and how far apart the two accounts are; the status is 1 if anything is missing.
"""
import sys

import perfetto_text


def tid_of(track):
    """Of "name/tid" or "name/tid/waits"."""
    return int(track.split("/")[1])


def candidates(trace, what, tid):
    for piece in trace.slices:
        track = piece["track"]
        if what == "task":
            if track.endswith("tasks"):
                yield piece
        elif track.endswith("/waits") == (what == "wait") and track.count("/") and tid_of(track) == tid:
            yield piece


def flow_into(trace, piece):
    """The thread whose flow ends with the wait."""
    for flow, end in trace.flow_ends.items():
        if end == (piece["track"], piece["end"]):
            return tid_of(trace.flows[flow])
    return 0


def main():
    failures = []
    differences = []
    counts = {}
    trace = perfetto_text.read(sys.argv[2])
    with open(sys.argv[1], encoding="utf-8") as log:
        lines = [line.rstrip("\n").split("\t") for line in log]
    for what, name, tid, thing, begin_from, begin_until, end_from, end_until, waker in lines:
        tid, thing, waker = int(tid), int(thing, 16), int(waker)
        begin_from, begin_until, end_from, end_until = map(int, (begin_from, begin_until, end_from, end_until))
        is_hang = what == "hang"
        found = [piece for piece in candidates(trace, "wait" if is_hang else what, tid)
                 if piece["name"] == name and begin_from <= piece["begin"] <= begin_until
                 and (is_hang or end_from <= piece["end"] <= end_until)]
        told = f"{what} {name} of {tid} at {begin_from}"
        if len(found) != 1:
            failures.append(f"{told}: {len(found)} in the trace")
            continue
        piece = found[0]
        counts[what] = counts.get(what, 0) + 1
        if thing and piece.get("object") != thing:
            failures.append(f"{told}: object {piece.get('object'):#x}, not {thing:#x}")
        if is_hang:
            if not piece.get("not over"):
                failures.append(f"{told}: is over")
            continue
        if waker and (piece.get("woken by", "").split(" ")[-1] != str(waker) or flow_into(trace, piece) != waker):
            failures.append(f"{told}: woken by {piece.get('woken by')}, flow from {flow_into(trace, piece)}, "
                            f"not by {waker}")
        differences.append(max(piece["begin"] - begin_from, end_until - piece["end"]))
    if not counts:
        failures.append("the log is empty")
    print(" ".join(f"{what}={count}" for what, count in sorted(counts.items())))
    if differences:
        differences.sort()
        print(f"apart: median {differences[len(differences) // 2]} ns, most {differences[-1]} ns")
    for failure in failures:
        print(f"trace_truth: {failure}")
    sys.exit(bool(failures))


main()
