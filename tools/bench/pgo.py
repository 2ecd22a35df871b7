# SPDX-License-Identifier: MIT
"""Whether programs that are rebuilt with `cprof pgo` are faster, and how much.

    BUILD=dir tools/bench/bench.py pgo [NAME...]            all of what follows; default: all programs
    BUILD=dir tools/bench/bench.py pgo make [NAME...]       profiles and builds, kept in BUILD/bench/pgo
    BUILD=dir tools/bench/bench.py pgo measure [NAME...]    PGO_ROUNDS (25) more rounds of them
    BUILD=dir tools/bench/bench.py pgo report [NAME...]     BUILD/bench/pgo.md

Each program is built with clang -O2, profiled under cprof in several runs, converted and
rebuilt; an instrumented build shows what could be had.  The builds then run in turns in
random order on data that no profile saw; the ratio of CPU time in user mode is taken
within each round, and its median given with a 95 % interval (bootstrap over rounds).
PGO_SAMPLES bounds how many samples are taken.
"""

import contextlib
import glob
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys

import profile as pprof
from pgo_programs import PROGRAMS, VICTIM, run
from report import machine, machine_words, markdown_table
from run import Scratch, clean_environment
from variants import BUILD, LIBRARY

CPROF = os.path.join(BUILD, "cprof")
DIRECTORY = os.path.join(BUILD, "bench", "pgo")
# Functions at cache lines: else the same loop takes a quarter more or less time by where it happens to lie.
FLAGS = ["-O2", "-g", "-fdebug-info-for-profiling", "-funique-internal-linkage-names", "-w", "-falign-functions=64"]
HZ = 250


# ---- profiles and builds ---------------------------------------------------------------


class Workshop:
    """The builds of one program, and what is known of them."""

    def __init__(self, name):
        self.name = name
        self.directory = os.path.join(DIRECTORY, name)
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        self.program = PROGRAMS[name](self.directory)
        self.scratch = Scratch()
        self.binaries = {}
        self.notes = []
        self.facts = []  # (what is demanded, whether it holds)

    def path(self, name):
        return os.path.join(self.directory, f"{self.name}.{name.replace(' ', '-')}")

    def build(self, variant, *flags, sources=None):
        path = self.path(variant)
        run([self.program.compiler, *FLAGS, *flags, "-o", path, *(sources or self.program.sources)], self.directory)
        return path

    def rebuild(self, variant, profile, **sources):
        """A build that is measured."""
        self.binaries[variant] = self.build(variant, f"-fprofile-sample-use={profile}", **sources)

    def collect(self, binary, wanted):
        """CPU profiles of a build, from as many runs as it takes; two at least."""
        out, kept, samples, starts, found = self.scratch.fresh(), binary + ".profiles", 0, set(), []
        while samples < wanted or len(found) < 2:
            run([binary, *self.program.train], self.directory, LD_PRELOAD=LIBRARY, CPROF_OUT=out,
                CPROF_CPU_HZ=str(HZ), CPROF_HEAP_RATE="0")
            self.scratch.settle()
            found = glob.glob(f"{out}/*.cpu.pb.gz")
            samples = 0
            for path in found:
                read = pprof.read(path)
                samples += read.total("samples")
                starts |= {start for file, start in read.starts if file == os.path.realpath(binary)}
        self.notes.append(f"{os.path.basename(binary)}: {samples:,} samples from {len(found)} runs at {len(starts)} "
                          "load addresses")
        self.facts.append(("runs at different load addresses", len(starts) >= 2))
        shutil.copytree(out, kept)
        return sorted(glob.glob(f"{kept}/*.cpu.pb.gz"))

    def convert(self, binary, profiles, name, *options):
        path = self.path(name) + ".prof"
        said = run([CPROF, "pgo", "--binary", binary, *options, "-o", path, *profiles], self.directory)
        run(["llvm-profdata", "merge", "--sample", "-o", "/dev/null", path], self.directory)
        return path, said

    def instrument(self):
        """The ceiling: counts of everything, of the same work."""
        raw = self.path("raw")
        path = self.build("instrumenting", f"-fprofile-generate={raw}")
        run([path, *self.program.train], self.directory)
        data = raw + ".profdata"
        run(["llvm-profdata", "merge", "-o", data, *glob.glob(raw + "/*")], self.directory)
        self.binaries["instrumented"] = self.build("instrumented", f"-fprofile-use={data}")

    def save(self):
        with open(os.path.join(self.directory, "state.json"), "w", encoding="utf-8") as to:
            json.dump({"binaries": self.binaries, "arguments": self.program.run, "limit": self.program.limit,
                       "upper": self.program.upper, "notes": self.notes, "facts": self.facts, "seconds": [],
                       "different": []}, to, indent=1)


def shuffled(shop, profile):
    """The profile with the functions' names exchanged."""
    with open(profile, encoding="utf-8") as source:
        text = source.read()
    names = sorted(set(re.findall(r"^(\S+):\d+:\d+$", text, re.M)))
    exchange = dict(zip(names, names[1:] + names[:1]))
    text = re.sub(r"([^\s:]+)(?=:\d+)", lambda m: exchange.get(m.group(1), m.group(1)), text)
    path = shop.path("shuffled") + ".prof"
    with open(path, "w", encoding="utf-8") as to:
        to.write(text)
    return path


def drift(shop):
    """Lines above, which change nothing; and a hot function that changed, which --check leaves out."""
    with open(VICTIM, encoding="utf-8") as source:
        text = source.read()
    # The same path for all: it is part of the names of what is local to a file.
    tree = os.path.join(shop.directory, "tree")
    path = os.path.join(tree, "virtual_dispatch.cc")
    os.makedirs(tree)

    def write(content):
        with open(path, "w", encoding="utf-8") as to:
            to.write(content)

    write(text)
    binary = shop.build("tree", sources=[path])
    profile, _ = shop.convert(binary, shop.collect(binary, 1000), "tree")
    shop.rebuild("not moved", profile, sources=[path])
    hot = "\tfor (const auto &op : program)"
    for variant, content, demanded in (("moved", "\n" * 40 + text, "0 changed"),
                                       ("changed", text.replace(hot, "\n\n\n\n" + hot), "1 changed")):
        write(content)
        checked = shop.path(variant) + ".prof"
        said = run([CPROF, "pgo", "--check", profile, tree, "-o", checked], shop.directory).split(": ", 1)[1].strip()
        shop.notes.append(f"{variant}: {said}")
        shop.facts.append((f"{variant}: {demanded}", demanded in said))
        shop.rebuild(variant, checked, sources=[path])


def make(name, samples):
    shop = Workshop(name)
    wanted = min(samples, shop.program.samples)
    before = shop.binaries["before"] = shop.build("before")
    profiles = shop.collect(before, wanted)
    profile, said = shop.convert(before, profiles, "pgo")
    shop.notes.append(said.split("\n", 1)[1].replace("\n", ";").strip("; "))
    shop.rebuild("pgo", profile)
    shop.rebuild("pgo max", shop.convert(before, profiles, "max", "--estimator", "max")[0])
    shop.instrument()
    if shop.program.is_iterated:
        again, _ = shop.convert(shop.path("pgo"), shop.collect(shop.path("pgo"), wanted), "again")
        shop.rebuild("pgo again", again)
    if name == "dispatch":
        shop.facts.append(("indirect calls' targets are found", "0 with targets" not in said))
        shop.rebuild("no calls", shop.convert(before, profiles, "no-calls", "--no-calls")[0])
        shop.rebuild("shuffled", shuffled(shop, profile))
        drift(shop)
        other = os.path.join(shop.directory, "tree", os.path.basename(before))
        shutil.copy(shop.path("pgo"), other)
        said = subprocess.run([CPROF, "pgo", "--binary", other, "-o", other + ".prof", *profiles],
                              capture_output=True, text=True, check=False)
        shop.facts.append(("profiles of another build are refused", said.returncode != 0 and "build id" in said.stderr))
    shop.save()


# ---- measuring -------------------------------------------------------------------------


@contextlib.contextmanager
def state_of(name):
    """What `make` saved, to be read and added to."""
    path = os.path.join(DIRECTORY, name, "state.json")
    with open(path, encoding="utf-8") as source:
        state = json.load(source)
    yield state
    with open(path + ".new", "w", encoding="utf-8") as to:
        json.dump(state, to, indent=1)
    os.rename(path + ".new", path)


def user_seconds(binary, arguments, output):
    with open(output, "wb") as to:
        child = subprocess.Popen([binary, *arguments], cwd=os.path.dirname(binary), env=clean_environment(),
                                 stdin=subprocess.DEVNULL, stdout=to, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise RuntimeError(f"{binary}: status {child.returncode}")
    return usage.ru_utime


def measure_round(name):
    """Runs every build once; all must print the same."""
    with state_of(name) as state:
        binaries, seconds, printed = state["binaries"], {}, {}
        for variant in random.sample(list(binaries), len(binaries)):
            output = os.path.join(DIRECTORY, name, "output")
            seconds[variant] = user_seconds(binaries[variant], state["arguments"], output)
            with open(output, encoding="utf-8", errors="replace") as text:
                # Programs that tell how long they took.
                printed[variant] = re.sub(r"\d+\.\d+\s*(s|MB/s)?", "", text.read())
        state["seconds"].append(seconds)
        state["different"] = sorted({*state["different"],
                                     *(variant for variant in printed if printed[variant] != printed["before"])})


# ---- the report ------------------------------------------------------------------------


def interval(values):
    """Median, and the bounds that hold it 95 times of 100."""
    medians = sorted(statistics.median(random.choices(values, k=len(values))) for _ in range(4000))
    return statistics.median(values), medians[100], medians[3899]


def judge(state):
    """The median and interval of each build; what is demanded, and whether it holds."""
    def against(variant, base):
        return interval([seconds[variant] / seconds[base] for seconds in state["seconds"]])

    found = {variant: against(variant, "before") for variant in state["binaries"] if variant != "before"}
    median, _, high = found["pgo"]
    limit, upper = state["limit"], state["upper"]
    verdicts = [("all builds print the same", not state["different"]), *dict(state["facts"]).items(),
                (f"pgo: at most {limit}, interval's end below {upper}", median <= limit and high < upper)]
    if "no calls" in found:
        verdicts.append((f"no calls: interval above {limit}", found["no calls"][1] > limit))
        verdicts.append(("shuffled: interval above 0.98", found["shuffled"][1] > 0.98))
        verdicts.append((f"moved: interval's end below {upper}", found["moved"][2] < upper))
        verdicts.append(("changed: at most 1.01", found["changed"][0] <= 1.01))
    for variant, base in (("pgo again", "pgo"), ("moved", "not moved")):
        if variant in found:
            beside = against(variant, base)
            words = "{:.3f} [{:.3f}, {:.3f}]".format(*beside)
            verdicts.append((f"{variant}: at most 1.01 of {base}: {words}", beside[0] <= 1.01))
    return found, verdicts


def report(names):
    """Prints and writes what was found; whether all that is demanded holds."""
    rows, lines, is_met = [], [], True
    for name in names:
        with state_of(name) as state:
            if not state["seconds"]:
                continue
            found, verdicts = judge(state)
        for variant, (median, low, high) in found.items():
            rows.append([name, variant, f"{median:.3f}", f"{low:.3f} … {high:.3f}", str(len(state["seconds"]))])
        lines += [f"- {name}: {note}" for note in state["notes"]]
        lines += [f"- {name}: {what}: {'met' if holds else '**missed**'}" for what, holds in verdicts]
        is_met = is_met and all(holds for _, holds in verdicts)
    text = (f"CPU time in user mode as a share of that of clang -O2, medians, on {machine_words(machine())}\n\n"
            + markdown_table(["program", "build", "ratio", "95 % interval", "rounds"], rows) + "\n"
            + "\n".join(lines) + "\n")
    with open(os.path.join(BUILD, "bench", "pgo.md"), "w", encoding="utf-8") as to:
        to.write(text)
    print(text)
    return is_met


def main(words):
    is_quick = os.environ.get("BENCH_QUICK", "0") not in ("", "0")
    rounds = int(os.environ.get("PGO_ROUNDS") or (3 if is_quick else 25))
    samples = int(os.environ.get("PGO_SAMPLES") or (600 if is_quick else 1000000))
    phases = ("make", "measure", "report")
    phase = words.pop(0) if words and words[0] in phases else None
    names = words or list(PROGRAMS)
    strangers = [name for name in names if name not in PROGRAMS]
    if strangers:
        print(f"bench: pgo: no such program: {strangers[0]}; there are: {' '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    if phase in (None, "make"):
        for name in names:
            make(name, samples)
    if phase:
        names = [name for name in names if os.path.exists(os.path.join(DIRECTORY, name, "state.json"))]
    if phase in (None, "measure"):
        for name in names:
            for _ in range(rounds):
                measure_round(name)
    if phase in (None, "report"):
        return 0 if report(names) else 1
    return 0
