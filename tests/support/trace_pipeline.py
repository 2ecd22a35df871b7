#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares a trace with what the traced program knew itself (victims/trace_pipeline.c).

    trace_pipeline.py TRUTH TEXT       TEXT: what perfetto_text.py printed

Prints figures, a line each.  A wait is due when the program slept in it for DUE_NS, as the
kernel's own accounts tell; its slice lies within the program's clock readings and is no shorter
than that sleep.  So each statement holds however busy the machine is; only `close` counts
what clocks that are read one after the other may miss.
"""
import re
import sys
from collections import defaultdict

DUE_NS = 1000000
KINDS = {"cond": "condition variable", "join": "end of thread", "rwlock": "rwlock"}


def read_truth(path):
    truth = defaultdict(list)
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            truth[words[0]].append([int(w) if w.lstrip("-").isdigit() else w for w in words[1:]])
    return truth


def tid_of(track):
    return int(re.search(r"(\d+)(/waits)?$", track).group(1))


def read_slices(path):
    """Waits and regions by thread: [name, begin, end, waker or None]; begins and ends of tasks."""
    waits, regions, tasks = defaultdict(list), defaultdict(list), {"begin": [], "end": []}
    origin = 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            clocks = re.match(r"0 clocks realtime=\d+ monotonic=(\d+)$", line)
            event = re.match(r"(\d+) (tasks|\S*/\d+(?:/waits)?) (begin|end)(?: (.*))?$", line)
            if clocks:
                origin = int(clocks.group(1))
            if not event:
                continue
            time, track, what, rest = origin + int(event.group(1)), event.group(2), event.group(3), event.group(4) or ""
            if track == "tasks":
                tasks[what].append(time)
                continue
            slices = waits if track.endswith("/waits") else regions
            if what == "begin":
                slices[tid_of(track)].append([rest, time, None, None])
                continue
            waker = re.search(r"woken by=(?:\S+ )?(\d+)", rest)
            last = [s for s in slices[tid_of(track)] if s[2] is None][-1]
            last[2], last[3] = time, int(waker.group(1)) if waker else None
    return waits, regions, tasks


def lies_within(inner, begin, end):
    return begin <= inner[1] and inner[2] is not None and inner[2] <= end


def main():
    truth = read_truth(sys.argv[1])
    waits, regions, tasks = read_slices(sys.argv[2])
    figures = defaultdict(int)
    for kind, tid, begin, end, blocked, waker in truth["wait"]:
        name = KINDS.get(kind, kind)
        found = [s for s in waits[tid] if s[0].startswith(name) and lies_within(s, begin, end)]
        if blocked < DUE_NS:
            continue
        figures["due"] += 1
        if len(found) != 1:
            print(f"# {len(found)} slices of {kind} by {tid} from {begin} to {end}")
            continue
        figures["found"] += 1
        figures["long_enough"] += found[0][2] - found[0][1] >= blocked
        figures["close"] += found[0][1] - begin < DUE_NS and end - found[0][2] < DUE_NS
        if waker < 0:
            continue
        figures["wakers_due"] += 1
        is_right = found[0][3] == (waker or None)
        if kind == "mutex" and not is_right:
            # Whoever took it in between, and gave it up again before the one who was woken came.
            is_right = any(r[0] == found[0][3] and r[1] <= end and r[2] >= begin for r in truth["release"])
            figures["wakers_overtaken"] += is_right
        figures["wakers_right"] += is_right
        if not is_right:
            print(f"# {kind} by {tid} from {begin} to {end}: {waker} woke it, not {found[0][3]}")
    for tid, slices in waits.items():
        for name, begin, end, _ in slices:
            known = [t for t in truth["wait"] if t[1] == tid and name.startswith(KINDS.get(t[0], t[0])) and
                     t[2] <= begin and end <= t[3]]
            if end - begin >= DUE_NS and not known and not name.startswith(("input", "output")):
                figures["invented"] += 1
                print(f"# {name} by {tid} from {begin} to {end} is not known")
    for name, tid, begin_low, begin_high, end_low, end_high in truth["region"]:
        figures["regions_due"] += 1
        figures["regions_right"] += sum(1 for s in regions[tid] if s[0].startswith(name) and
                                        begin_low <= s[1] <= begin_high and end_low <= s[2] <= end_high)
    for _, begin_low, begin_high, end_low, end_high in truth["task"]:
        figures["tasks_due"] += 1
        figures["tasks_right"] += (any(begin_low <= t <= begin_high for t in tasks["begin"]) and
                                   any(end_low <= t <= end_high for t in tasks["end"]))
    for name in ("due", "found", "long_enough", "close", "wakers_due", "wakers_right", "wakers_overtaken", "invented",
                 "regions_due", "regions_right", "tasks_due", "tasks_right"):
        print(name, figures[name])


main()
