#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How true the profiles are, beside what else measures the same.

    BUILD=dir tools/bench/accuracy.py [NAME...]    cpu heap locks stacks; default: all
    BUILD=dir tools/bench/accuracy.py --readme     puts what was found into README.md

    cpu     the CPU profile against `perf record` on the same run: total variation distance of the
            shares of functions, flat and with callers; two runs of perf against each other are
            the floor
    heap    allocations at rate 1 against those of a counter behind malloc, of heaptrack and of jemalloc;
            and those estimated at the default rate against theory
    locks   block and mutex profiles at rate 1 against the program's own clock
    stacks  how many samples of real programs have a stack that is cut or broken, or frames
            without a name, and of these how many have one in the file that they are from

Each part is kept in BUILD/bench/accuracy.json when it is done, so they may run one by one;
accuracy.md has all that are there.  What cannot run here is said and left out.
"""

import bisect
import glob
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter

sys.dont_write_bytecode = True  # the sources stay as they are

# pylint: disable=wrong-import-position
import profile as pprof
import workloads
from report import machine, machine_words, markdown_table, replace_marked
from run import Scratch, clean_environment
from variants import BUILD, LIBRARY, VARIANTS

_BEGIN, _END = "<!-- made by `make accuracy` -->", "<!-- end of what `make accuracy` made -->"
# With the amount of work that gives each enough samples for its number of functions.
PROGRAMS = {"sqlite3": 30, "python": 120, "compile": 150}
VICTIMS = os.path.join(BUILD, "tests", "victims")
DIRECTORY = os.path.join(BUILD, "bench")
SCRATCH = Scratch()
HZ = 250
# For the compiler and CPython: what they allocate must not hang on chance.
EVERY_ALLOCATION = {"CPROF_CPU_HZ": "0", "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}
DEFAULT_RATE = 512 << 10
ESTIMATES = 16


def run(command, variant="cprof", stdin=None, **settings):
    """Runs a command under a variant until all its files are there; (their directory, its output)."""
    out = SCRATCH.fresh()
    with open(stdin or os.devnull, "rb") as source:
        done = subprocess.run(command, env=clean_environment() | VARIANTS[variant].environment_in(out) | settings,
                              cwd=SCRATCH.path, stdin=source, capture_output=True, check=False, timeout=120)
    SCRATCH.settle()
    return out, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def largest(out, kind):
    """Of all profiles of a kind the one that says most, or None."""
    found = [pprof.read(path) for path in glob.glob(f"{out}/*.{kind}.pb.gz")]
    return max(found, key=lambda each: each.total(each.types[-1]), default=None)


# ---- CPU -------------------------------------------------------------------------------


class Symbols:
    """Names for offsets in files, the same for both profilers: the nearest symbol before."""

    def __init__(self):
        self._symbols = {}

    @staticmethod
    def _read(path):
        """(offset in the file, name, size) of functions, sorted."""
        headers = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=False).stdout
        code = re.search(r"LOAD +0x([0-9a-f]+) 0x([0-9a-f]+) .* R E ", headers)
        shift = int(code.group(2), 16) - int(code.group(1), 16) if code else 0
        found = set()
        for options in (["-D"], []):
            listing = subprocess.run(["nm", "-S", "--defined-only", *options, path], capture_output=True, text=True,
                                     check=False).stdout
            for words in map(str.split, listing.splitlines()):
                size = int(words.pop(1), 16) if len(words) == 4 else 0
                if len(words) == 3 and words[1] in "tTwWiu":
                    found.add((int(words[0], 16) - shift, words[2].split("@")[0], size))
        return sorted(found)

    def _nearest(self, path, offset):
        if path not in self._symbols:
            self._symbols[path] = self._read(path)
        at = bisect.bisect_right(self._symbols[path], (offset, "\x7f"))
        return self._symbols[path][at - 1] if at else None

    def name(self, path, offset):
        symbol = self._nearest(path, offset)
        return f"{os.path.basename(path)}:{symbol[1] if symbol else '?'}"

    def has_name(self, path, offset):
        """Whether the file itself has a name for what lies there."""
        symbol = self._nearest(path, offset)
        return symbol is not None and offset < symbol[0] + symbol[2]


def perf_stacks(data, symbols):
    """The stacks that perf saw in user space, as names, leaf first."""
    script = subprocess.run(["perf", "script", "--no-inline", "-i", data, "-F", "ip,sym,dso"], capture_output=True,
                            text=True, check=False).stdout
    for block in script.split("\n\n"):
        names = [symbols.name(path, int(offset, 16))
                 for offset, path in re.findall(r"^\s*([0-9a-f]+) .*\((/.*)\)$", block, re.M) if path != LIBRARY]
        if names:
            yield names


def cprof_stacks(found, symbols):
    """The same of a CPU profile, each as often as it was sampled."""
    for frames, values in found.samples:
        names = [symbols.name(frame.file, frame.offset) for frame in frames]
        for _ in range(values[0]):
            yield names


def shares(stacks, is_cumulative):
    count = Counter()
    for names in stacks:
        count.update(set(names) if is_cumulative else names[:1])
    whole = sum(count.values()) or 1
    return {name: n / whole for name, n in count.items()}


def distance(a, b):
    """Total variation: 0 for equal distributions, 1 for those that share nothing."""
    return sum(abs(a.get(name, 0) - b.get(name, 0)) for name in a.keys() | b.keys()) / 2


def perf_event():
    """What perf may sample by here: with the kernel's time, which the profile has too, or without; None: neither."""
    for event in ("cpu-clock", "cpu-clock:u"):
        if shutil.which("perf") and not subprocess.run(["perf", "record", "-q", "-e", event, "-o", "/dev/null", "true"],
                                                       capture_output=True, check=False).returncode:
            return event
    return None


def both_profiles(event, command, stdin, symbols):
    """The stacks that perf and cprof see in one run."""
    data = os.path.join(SCRATCH.fresh(), "perf")
    # Not inherited: the collector is no part of the program.
    out, _, error = run(["perf", "record", "-q", "--no-inherit", "-e", event, "-F", str(HZ), "--call-graph",
                         "dwarf,32768", "-o", data, *command], stdin=stdin, CPROF_CPU_HZ=str(HZ),
                        CPROF_MATCH=os.path.basename(command[0]) + "*")
    found = largest(out, "cpu")
    if not found:
        raise RuntimeError(f"nothing recorded for {command[0]}: {error[-300:]}")
    stacks_of_both = list(perf_stacks(data, symbols)), list(cprof_stacks(found, symbols))
    os.unlink(data)
    return stacks_of_both


def cpu():
    """Distances of CPU profiles from perf's."""
    event = perf_event()
    if not event:
        return "perf cannot record here.\n", []
    rows, brief, symbols = [], [], Symbols()
    for name, size in PROGRAMS.items():
        command, stdin = workloads.command(name, size)
        seen = [both_profiles(event, command, stdin, symbols) for _ in range(2)]
        row, pairs = [name, *(f"{sum(len(both[i]) for both in seen):,}" for i in (0, 1))], []
        for is_cumulative in (False, True):
            (perf1, cprof1), (perf2, cprof2) = [[shares(each, is_cumulative) for each in both] for both in seen]
            ours, floor = (distance(cprof1, perf1) + distance(cprof2, perf2)) / 2, distance(perf1, perf2)
            row += [f"{ours:.3f}", f"{floor:.3f}"]
            pairs.append((f"{ours:.3f}", f"{floor:.3f}"))
        rows.append(row)
        brief.append([f"CPU time of {name}: distance from `perf record` of the same run, by function; with callers",
                      "; ".join(ours for ours, _ in pairs),
                      "; ".join(floor for _, floor in pairs) + " between two runs of perf"])
    return markdown_table(["program", "samples of perf", "of cprof", "flat: cprof to perf", "perf to perf",
                           "cumulative: cprof to perf", "perf to perf"], rows), brief


# ---- heap ------------------------------------------------------------------------------


def count_behind(command, stdin):
    """Blocks and bytes that cprof sees, and those that a counter behind it does: it must pass on each, and add none."""
    out = SCRATCH.fresh()
    counter, counts = os.path.join(VICTIMS, "libcount_allocations.so"), os.path.join(out, "counts")
    profiles, _, _ = run(command, "cprof_exact", stdin, LD_PRELOAD=f"{LIBRARY}:{counter}", COUNT_FILE=counts,
                         **EVERY_ALLOCATION)
    with open(counts, encoding="ascii") as found:
        return largest(profiles, "heap"), [int(word) for word in found.read().split()]


def heaptrack_counts(command, stdin):
    """What heaptrack counts: blocks by their size, and the bytes that were never freed; or None."""
    if not VARIANTS["heaptrack"].is_installed() or not shutil.which("heaptrack_print"):
        return None
    trace = os.path.join(SCRATCH.fresh(), "heap")
    run(["heaptrack", "-o", trace, *command], "plain", stdin, **EVERY_ALLOCATION)
    sizes, kept = Counter(), 0
    for path in glob.glob(trace + ".*"):
        subprocess.run(["heaptrack_print", "-f", path, "-H", path + ".sizes", "-F", path + ".kept", "--flamegraph-cost-type",
                        "leaked", "--disable-builtin-suppressions", "--disable-embedded-suppressions"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        with open(path + ".sizes", encoding="ascii") as lines:
            for size, count in map(str.split, lines):
                sizes[int(size)] += int(count)
        with open(path + ".kept", encoding="utf-8", errors="replace") as lines:
            kept += sum(int(line.rsplit(None, 1)[1]) for line in lines)
    return sizes, kept


def jemalloc_counts(command, stdin):
    """What cprof counts on jemalloc, and what that says itself; or None twice."""
    if not VARIANTS["jemalloc"].is_installed():
        return None, None
    out, _, error = run(command, "cprof_exact", stdin, MALLOC_CONF="stats_print:true,tcache:false",
                        LD_PRELOAD=f"{LIBRARY}:{VARIANTS['jemalloc'].environment['LD_PRELOAD']}", **EVERY_ALLOCATION)
    stats = re.search(r"^total:\s+(\d+)\s+(\d+)", error, re.M)
    return largest(out, "heap").total("alloc_objects"), int(stats.group(2)) if stats else None


def estimates(command, stdin, sizes):
    """
    Bytes as estimated in each of some runs at the default rate, and the standard deviation that theory gives one:
    a block of s bytes is seen with probability p and then counts as s/p.
    """
    seen = [largest(run(command, stdin=stdin, **EVERY_ALLOCATION)[0], "heap") for _ in range(ESTIMATES)]
    chances = {size: -math.expm1(-size / DEFAULT_RATE) for size in sizes if size}
    variance = sum(sizes[size] * size * size * (1 - p) / p for size, p in chances.items())
    return [each.total("alloc_space") for each in seen], math.sqrt(variance)


def heap():
    """Allocations by four who count them all, and as the default rate estimates them."""
    rows, brief, estimated = [], [], []
    for name in PROGRAMS:
        command, stdin = workloads.command(name, 1)
        found, counted = count_behind(command, stdin)
        blocks, size = found.total("alloc_objects"), found.total("alloc_space")
        seen = heaptrack_counts(command, stdin)
        theirs = [] if seen is None else [sum(seen[0].values()), sum(s * n for s, n in seen[0].items()), seen[1]]
        rows.append([name, f"{blocks:,}", f"{counted[0]:,}", f"{size:,}", f"{counted[1]:,}",
                     f"{found.total('inuse_space'):,}",
                     *("" if n is None else f"{n:,}" for n in theirs or [None] * 3),
                     *("" if n is None else f"{n:,}" for n in jemalloc_counts(command, stdin))])
        beside = f"; {theirs[0]:,} blocks, {theirs[1]:,} bytes by heaptrack" if theirs else ""
        brief.append([f"what {name} allocates, every block recorded", f"{blocks:,} blocks, {size:,} bytes",
                      f"{counted[0]:,} and {counted[1]:,} by a counter behind malloc{beside}"])
        if not seen:
            continue
        each, sigma = estimates(command, stdin, seen[0])
        mean, sigma_of_mean = sum(each) / len(each), sigma / math.sqrt(len(each))
        estimated.append([name, f"{size:,}", f"{mean:,.0f}", f"{(mean - size) / size * 100:+.1f} %",
                          f"{sigma_of_mean / size * 100:.1f} %", f"{(mean - size) / sigma_of_mean:+.1f}"])
        brief.append([f"the same, estimated at the default rate: mean of {len(each)} runs", f"{mean:,.0f} bytes",
                      f"{(mean - size) / size * 100:+.1f} % of {size:,}; by theory one σ is {sigma_of_mean / size * 100:.1f} %"])
    return markdown_table(["program", "cprof: blocks", "a counter behind it", "cprof: bytes", "the counter",
                           "cprof: in use at the end", "heaptrack: blocks", "bytes", "not freed",
                           "on jemalloc, cprof: blocks", "jemalloc: blocks"], rows) + (
        "\nheaptrack brings the C++ library along, whose first block of 72,704 bytes it counts, and sets other variables\n"
        "of the environment, for which CPython allocates; jemalloc counts blocks of its own, and no realloc that stays in\n"
        "place, and has no sizes but its own classes'.  The compiler's own sizes differ by some 0.02 % between runs.\n\n") + markdown_table(
            ["program", "bytes, all counted", f"estimated, mean of {ESTIMATES} runs", "off", "one σ of that", "in σ"],
            estimated), brief


# ---- locks -----------------------------------------------------------------------------


def sum_at(found, sites):
    """Sums of the samples whose leaf and one of its callers are (site, leaf)."""
    sums = [0, 0]
    for frames, values in found.samples:
        leaf = frames[0].functions[-1:]  # what was called, not what is inlined there
        names = {part for frame in frames[1:] for function in frame.functions for part in function.split("::")}
        if any(leaf == [wanted] and site in names for site, wanted in sites):
            sums = [total + value for total, value in zip(sums, values)]
    return sums


def locks():
    """Waits of the programs that know their own: "wait SITE LEAF COUNT NS", "charge SITE LEAF COUNT LOW HIGH"."""
    rows, brief = [], []
    for victim in ("contention_sites", "contention_cxx", "contention_rust"):
        path = os.path.join(VICTIMS, victim)
        if not os.path.exists(path):
            continue
        out, printed, _ = run([path], CPROF_BLOCK_RATE="1", CPROF_CPU_HZ="0", CPROF_HEAP_RATE="0")
        for kind, word in (("block", "wait"), ("mutex", "charge")):
            known = [line.split() for line in printed.splitlines() if line.startswith(word + " ")]
            found = largest(out, kind)
            if not known or not found:
                continue
            count, ns = sum_at(found, {(words[1], words[2]) for words in known})
            low, high = (sum(int(words[column]) for words in known) for column in (4, -1))
            off = min(ns - low, 0) + max(ns - high, 0)
            clock = f"{low / 1e6:,.1f}" if low == high else f"{low / 1e6:,.1f} … {high / 1e6:,.1f}"
            own_count = sum(int(words[3]) for words in known)
            rows.append([victim, kind, f"{own_count:,}", f"{count:,}", clock + " ms", f"{ns / 1e6:,.1f} ms",
                         f"{off / high * 100:+.2f} %"])
            brief.append([f"{kind} profile of {victim}: waits, delay", f"{count:,}, {ns / 1e6:,.1f} ms",
                          f"{own_count:,}, {clock} ms by its own clock"])
    if not rows:
        return "The test programs are not built (make test-programs).\n", []
    return markdown_table(["program", "profile", "waits: its own count", "the profile's", "delay: its own clock",
                           "the profile's", "outside"], rows), brief


# ---- stacks ----------------------------------------------------------------------------

_PROGRAMS = {
    "perl": ["perl", "-e", "my %h; for my $i (1..6000000) { $h{$i % 5003} .= chr(65 + $i % 26) } print scalar keys %h"],
    "bash": ["bash", "-c", "for ((i = 0; i < 400000; i++)); do s=$((s + i % 7)); done; echo $s"],
    "awk": ["awk", "BEGIN { for (i = 0; i < 6000000; i++) s += i * i % 17; print s }"],
    "xz": ["sh", "-c", "head -c 6000000 /usr/bin/python3 | xz -5 | wc -c"],
    "sort": ["sh", "-c", "seq 6000000 | sort -r | tail -1"],
    "git": ["sh", "-c", "rm -rf r && git init -q r && cd r && cp -r /usr/include/linux . && git add . && "
            "git -c user.name=a -c user.email=a@b commit -qm one && git gc -q && git log -p | wc -l"],
    "openssl": ["openssl", "speed", "-seconds", "1", "-bytes", "4096", "sha256"],
}


_SHARES = (("cut", "samples", "cut at 128 frames"), ("broken", "samples", "broken"),
           ("unnamed", "frames", "frames without a name"), ("missed", "frames", "though their file has one"))


def _share(counts, what, whole, _):
    return f"{counts[what] / max(counts[whole], 1) * 100:.2f} %"


def stacks():
    """Of real programs, the share of samples that are cut, broken or have frames without a name."""
    rows, total, symbols = [], Counter(), Symbols()
    for name in (*PROGRAMS, *_PROGRAMS):
        command, stdin = (_PROGRAMS[name], None) if name in _PROGRAMS else workloads.command(name, 10)
        if not shutil.which(command[0]):
            continue
        out, _, _ = run(command, stdin=stdin, CPROF_CPU_HZ=str(HZ))
        here = Counter()
        for path in glob.glob(f"{out}/*.cpu.pb.gz"):
            found = pprof.read(path)
            for stack, values in found.samples:
                unnamed = [frame for frame in stack if not frame.functions]
                here["samples"] += values[0]
                here["frames"] += len(stack) * values[0]
                here["unnamed"] += len(unnamed) * values[0]
                here["missed"] += sum(symbols.has_name(frame.file, frame.offset) for frame in unnamed) * values[0]
            for comment in found.comments:
                for words, mark in (("more than 128 frames", "cut"), ("could not be followed", "broken")):
                    if words in comment:
                        here[mark] += int(re.search(r"\d+", comment).group())
        if here["samples"]:
            total.update(here)
            rows.append([name, f"{here['samples']:,}", f"{here['frames'] / here['samples']:.1f}",
                         *(_share(here, *part) for part in _SHARES)])
    brief = [[f"{total['samples']:,} samples of {len(rows)} stripped programs: " + "; ".join(part[2] for part in _SHARES),
              "; ".join(_share(total, *part) for part in _SHARES), ""]]
    return markdown_table(["program", "samples", "frames each", *(part[2] for part in _SHARES)], rows), brief


_PARTS = {"cpu": ("CPU time, beside perf on the same run", cpu), "heap": ("Allocations, every one counted", heap),
          "locks": ("Waits, beside the programs' own clocks", locks), "stacks": ("Stacks of real programs", stacks)}


def _kept():
    """What earlier parts have found."""
    try:
        with open(os.path.join(DIRECTORY, "accuracy.json"), encoding="utf-8") as found:
            return json.load(found)
    except (OSError, ValueError):
        return {}


def _write(found):
    """Keeps what is known so far, and the two texts made of it; returns the longer."""
    host = machine_words(machine()) + ".\n"
    text = "\n".join(["# How true the profiles are\n", host,
                      *(f"## {title}\n\n{found[name]['table']}" for name, (title, _) in _PARTS.items() if name in found)])
    rows = [row for name in _PARTS if name in found for row in found[name]["brief"]]
    brief = "\n".join([_BEGIN, "", "On " + host, markdown_table(["", "cprof", "beside it"], rows), _END, ""])
    for name, what in (("accuracy.json", json.dumps(found, indent=1) + "\n"), ("accuracy.md", text),
                       ("accuracy_brief.md", brief)):
        with open(os.path.join(DIRECTORY, name), "w", encoding="utf-8") as out:
            out.write(what)
    return text


def main(words):
    if words == ["--readme"]:
        brief = os.path.join(DIRECTORY, "accuracy_brief.md")
        if not os.path.exists(brief):
            print("accuracy: nothing was measured yet; README.md stays as it is", file=sys.stderr)
            return 0
        with open(brief, encoding="utf-8") as made:
            replace_marked("README.md", _BEGIN, _END, made.read())
        return 0
    if any(word not in _PARTS for word in words):
        print(f"accuracy: there are: {' '.join(_PARTS)}", file=sys.stderr)
        return 2
    os.makedirs(DIRECTORY, exist_ok=True)
    found, text = _kept(), ""
    for name, (_, part) in _PARTS.items():
        if not words or name in words:
            start = time.monotonic()
            table, brief = part()
            found[name] = {"table": table, "brief": brief}
            text = _write(found)
            print(f"  {name:16} {time.monotonic() - start:6.1f} s", file=sys.stderr)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
