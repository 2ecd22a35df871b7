# SPDX-License-Identifier: MIT
"""Whether programs that are rebuilt with `cprof pgo` are faster, and how much.

    BUILD=dir tools/bench/bench.py pgo [NAME...]     dispatch sqlite3 lua lz4; default: all

Each program is built with clang -O2, profiled under cprof in several runs, converted and
rebuilt; an instrumented build shows what could be had.  The builds then run in turns in
random order on data that no profile saw; the ratio of CPU time in user mode is taken
within each round, and its median given with a 95 % interval (bootstrap over rounds).
Sources come from Debian (apt-get source, with lists of its own).  Writes pgo.md to BUILD/bench.
PGO_ROUNDS and PGO_SAMPLES set how much is measured; PGO_KEEP=dir keeps the builds there.
"""

import glob
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

from report import machine, machine_words, markdown_table
from run import Scratch, clean_environment
from variants import BUILD, LIBRARY

CPROF = os.path.join(BUILD, "cprof")
VICTIM = os.path.join(os.path.dirname(__file__), "../../tests/integration/victims/virtual_dispatch.cc")
# Functions at cache lines: else the same loop takes a quarter more or less time by where it happens to lie.
FLAGS = ["-O2", "-g", "-fdebug-info-for-profiling", "-funique-internal-linkage-names", "-w", "-falign-functions=64"]
HZ = 250


def run(command, directory, **settings):
    """Runs a command; its output.  A failure is an error."""
    done = subprocess.run(command, env=clean_environment() | settings, cwd=directory, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}: status {done.returncode}: {done.stderr[-600:]}")
    return done.stdout


def debian_source(package, directory):
    """The unpacked upstream source of a Debian package; the system's own lists stay as they are."""
    os.makedirs(os.path.join(directory, "lists/partial"), exist_ok=True)
    with open("/etc/os-release", encoding="utf-8") as release:
        suite = re.search(r"^VERSION_CODENAME=(\w+)", release.read(), re.M).group(1)
    with open(os.path.join(directory, "sources.list"), "w", encoding="utf-8") as sources:
        sources.write(f"deb-src http://deb.debian.org/debian {suite} main\n")
    options = [f"Dir::Etc::sourcelist={directory}/sources.list", "Dir::Etc::sourceparts=-",
               f"Dir::State::lists={directory}/lists", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=",
               "Acquire::Retries=5", "APT::Sandbox::User=root"]
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    run([*apt, "update"], directory)
    run([*apt, "source", "--download-only", package], directory)
    archive = sorted(glob.glob(f"{directory}/{package}_*.orig.tar.*"), key=len)[0]
    run(["tar", "xf", archive], directory)
    return os.path.join(directory, run(["tar", "tf", archive], directory).split("/", 1)[0])


@dataclass
class Program:
    name: str
    directory: str
    compiler: str
    sources: list  # files and flags for them
    train: list  # arguments of the profiled runs
    run: list  # of those that are measured
    limit: float  # what the ratio may be at most
    upper: float  # and its interval's upper end
    binaries: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)

    def build(self, variant, *flags, sources=None):
        path = os.path.join(self.directory, f"{self.name}.{variant}")
        run([self.compiler, *FLAGS, *flags, "-o", path, *(sources or self.sources)], self.directory)
        self.binaries[variant] = path
        return path

    def build_with(self, variant, profile, **sources):
        return self.build(variant, f"-fprofile-sample-use={profile}", **sources)


def count_samples(paths):
    import profile as pprof  # pylint: disable=import-outside-toplevel
    return sum(pprof.read(path).total("samples") for path in paths)


def collect(program, variant, wanted, scratch):
    """CPU profiles of a build, from as many runs as it takes; two at least, each at an address of its own."""
    out, samples = scratch.fresh(), 0
    found = []
    while samples < wanted or len(found) < 2:
        run([program.binaries[variant], *program.train], program.directory, LD_PRELOAD=LIBRARY, CPROF_OUT=out,
            CPROF_CPU_HZ=str(HZ), CPROF_HEAP_RATE="0")
        scratch.settle()
        found = glob.glob(f"{out}/*.cpu.pb.gz")
        samples = count_samples(found)
    program.notes.append(f"{variant}: {samples:,} samples from {len(found)} runs")
    return found


def convert(program, variant, profiles, name, *options):
    path = os.path.join(program.directory, f"{program.name}.{name}.prof")
    run([CPROF, "pgo", "--binary", program.binaries[variant], *options, "-o", path, *profiles], program.directory)
    return path


def instrument(program):
    """The ceiling: counts of everything, of the same work."""
    raw = os.path.join(program.directory, program.name + ".raw")
    path = program.build("instrumenting", f"-fprofile-generate={raw}")
    run([path, *program.train], program.directory)
    data = raw + ".profdata"
    run(["llvm-profdata", "merge", "-o", data, *glob.glob(raw + "/*")], program.directory)
    del program.binaries["instrumenting"]
    program.build("instrumented", f"-fprofile-use={data}")


def shuffled(program, profile):
    """The profile with the functions' names exchanged at random."""
    with open(profile, encoding="utf-8") as source:
        text = source.read()
    names = sorted(set(re.findall(r"^(\S+):\d+:\d+$", text, re.M)))
    others = names[1:] + names[:1]
    exchange = dict(zip(names, others))
    text = re.sub(r"([^\s:]+)(?=:\d+)", lambda m: exchange.get(m.group(1), m.group(1)), text)
    path = os.path.join(program.directory, f"{program.name}.shuffled.prof")
    with open(path, "w", encoding="utf-8") as to:
        to.write(text)
    return path


# ---- measuring -------------------------------------------------------------------------


def user_seconds(binary, arguments, directory, output):
    with open(output, "wb") as to:
        child = subprocess.Popen([binary, *arguments], cwd=directory, env=clean_environment(),
                                 stdin=subprocess.DEVNULL, stdout=to, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise RuntimeError(f"{binary}: status {child.returncode}")
    return usage.ru_utime


def measure(program, rounds):
    """variant -> ratios to `before`, one for each round; all must print the same."""
    ratios = {variant: [] for variant in program.binaries}
    outputs = {}
    for _ in range(rounds):
        seconds = {}
        for variant in random.sample(list(program.binaries), len(program.binaries)):
            output = os.path.join(program.directory, f"{variant}.out")
            seconds[variant] = user_seconds(program.binaries[variant], program.run, program.directory, output)
            with open(output, encoding="utf-8", errors="replace") as text:
                # Programs that tell how long they took.
                outputs[variant] = re.sub(r"\d+\.\d+\s*(s|MB/s)?", "", text.read())
        for variant, value in seconds.items():
            ratios[variant].append(value / seconds["before"])
    different = [variant for variant in outputs if outputs[variant] != outputs["before"]]
    program.notes.append(f"output differs: {', '.join(different)}" if different else "all builds print the same")
    return ratios


def interval(values):
    """Median, and the bounds that hold it 95 times of 100."""
    medians = sorted(statistics.median(random.choices(values, k=len(values))) for _ in range(4000))
    return statistics.median(values), medians[100], medians[3899]


# ---- programs --------------------------------------------------------------------------


def dispatch(scratch):
    return Program("dispatch", scratch.fresh(), "clang++", [os.path.abspath(VICTIM)], ["1", "12000000"],
                   ["7", "1500000"], 0.85, 0.85)


def sqlite3(scratch):
    directory = scratch.fresh()
    source = debian_source("sqlite3", directory)
    run(["./configure", "--disable-tcl"], source)
    run(["make", "sqlite3.c"], source)
    flags = ["-I" + source, "-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", "-lm"]
    return Program("sqlite3", directory, "clang", [f"{source}/sqlite3.c", f"{source}/test/speedtest1.c", *flags],
                   ["--memdb", "--size", "300"], ["--memdb", "--size", "80"], 0.97, 1.0)


LUA_WORK = """
local n = tonumber(arg[1])
local function fib(k) if k < 2 then return k end return fib(k - 1) + fib(k - 2) end
local t, s = {}, {}
for i = 1, n do t[i] = (i * 7919) % 10007; s[#s + 1] = tostring(i) .. ":" end
table.sort(t)
local text, count, sum = table.concat(s), 0, 0
for word in text:gmatch("%d+") do count = count + #word end
local objects = {}
for i = 1, n // 10 do objects[i] = setmetatable({v = i}, {__index = function(o, k) return o.v + #k end}) end
for _, o in ipairs(objects) do sum = sum + o.some + o.other end
print(fib(arg[2] + 0), t[n // 2], count, sum)
"""


def lua(scratch):
    directory = scratch.fresh()
    source = debian_source("lua5.4", directory)
    work = os.path.join(directory, "work.lua")
    with open(work, "w", encoding="utf-8") as to:
        to.write(LUA_WORK)
    files = [path for path in sorted(glob.glob(f"{source}/src/*.c")) if os.path.basename(path) != "luac.c"]
    return Program("lua", directory, "clang", [*files, "-DLUA_USE_POSIX", "-lm"], [work, "3000000", "34"],
                   [work, "700000", "29"], 1.02, 1.02)


def lz4(scratch):
    directory = scratch.fresh()
    source = debian_source("lz4", directory)
    files = sorted(glob.glob(f"{source}/lib/*.c") + glob.glob(f"{source}/programs/*.c"))
    data, other = (os.path.join(directory, name) for name in ("data", "other"))
    for path, parts in ((data, ("/usr/bin/python3", "/usr/bin/git", "/lib/x86_64-linux-gnu/libc.so.6")),
                        (other, ("/usr/bin/perl", "/usr/share/dict/words", "/usr/bin/bash", "/usr/bin/clang"))):
        with open(path, "wb") as to:
            for part in filter(os.path.exists, parts):
                with open(part, "rb") as found:
                    to.write(found.read(6 << 20) * 3)
    return Program("lz4", directory, "clang", [*files, f"-I{source}/lib", "-DXXH_NAMESPACE=LZ4_"],
                   ["-f", "-9", "-q", data, "/dev/null"], ["-f", "-7", "-q", other, "/dev/null"], 1.02, 1.02)


# ---- what each shows -------------------------------------------------------------------


def drift(program, scratch):
    """Lines above, which change nothing; and a hot function that changed, which --check leaves out."""
    with open(VICTIM, encoding="utf-8") as source:
        text = source.read()
    # The same path for all: it is part of the names of what is local to a file.
    tree = os.path.join(program.directory, "tree")
    path = os.path.join(tree, "virtual_dispatch.cc")
    os.makedirs(tree)

    def write(content):
        with open(path, "w", encoding="utf-8") as to:
            to.write(content)

    write(text)
    program.build("tree", sources=[path])
    profile = convert(program, "tree", collect(program, "tree", 1000, scratch), "tree")
    del program.binaries["tree"]
    hot = "\tfor (const auto &op : program)"
    for variant, content in (("moved", "\n" * 40 + text), ("changed", text.replace(hot, "\n\n\n\n" + hot))):
        write(content)
        checked = os.path.join(program.directory, variant + ".prof")
        said = run([CPROF, "pgo", "--check", profile, tree, "-o", checked], program.directory)
        program.notes.append(f"{variant}: {said.split(': ', 1)[1].strip()}")
        program.build_with(variant, checked, sources=[path])


def prepare(program, samples, scratch):
    program.build("before")
    profiles = collect(program, "before", samples, scratch)
    profile = convert(program, "before", profiles, "average")
    program.build_with("pgo", profile)
    program.build_with("pgo max", convert(program, "before", profiles, "max", "--estimator", "max"))
    instrument(program)
    if program.name == "dispatch":
        program.build_with("no calls", convert(program, "before", profiles, "no-calls", "--no-calls"))
        program.build_with("shuffled", shuffled(program, profile))
        drift(program, scratch)
        other = subprocess.run([CPROF, "pgo", "--binary", program.binaries["pgo"], "-o", "/dev/null", *profiles],
                               capture_output=True, text=True, check=False)
        refused = other.returncode != 0
        program.notes.append(f"profiles of another build are {'refused' if refused else 'TAKEN'}")
    elif program.name == "sqlite3":
        again = collect(program, "pgo", samples, scratch)
        program.build_with("pgo again", convert(program, "pgo", again, "again"))


def judge(program, ratios):
    """Rows of the table; whether all that is demanded holds."""
    rows, verdicts = [], []
    found = {variant: interval(values) for variant, values in ratios.items() if variant != "before"}
    for variant, (median, low, high) in found.items():
        rows.append([program.name, variant, f"{median:.3f}", f"{low:.3f} … {high:.3f}"])
    median, _, high = found["pgo"]
    verdicts.append((f"pgo at most {program.limit}, its interval's end below {program.upper}",
                     median <= program.limit and high < program.upper))
    for variant in ("no calls", "shuffled"):
        if variant in found:
            verdicts.append((f"{variant}: not below {program.limit}", found[variant][0] >= program.limit))
    if "moved" in found:
        verdicts.append((f"moved: interval's end below {program.upper}", found["moved"][2] < program.upper))
        verdicts.append(("changed: at most 1.01", found["changed"][0] <= 1.01))
    if "pgo again" in found:
        verdicts.append(("pgo again: within 0.01 of pgo", found["pgo again"][0] <= median + 0.01))
    return rows, verdicts


def main(words):
    is_quick = os.environ.get("BENCH_QUICK", "0") not in ("", "0")
    rounds = int(os.environ.get("PGO_ROUNDS") or (3 if is_quick else 25))
    samples = int(os.environ.get("PGO_SAMPLES") or (600 if is_quick else 10000))
    makers = {"dispatch": dispatch, "sqlite3": sqlite3, "lua": lua, "lz4": lz4}
    scratch, rows, lines, is_met = Scratch(), [], [], True
    for name in words or makers:
        if name not in makers:
            print(f"bench: pgo: no such program: {name}; there are: {' '.join(makers)}", file=sys.stderr)
            return 2
        program = makers[name](scratch)
        prepare(program, min(samples, 6000) if name == "dispatch" else samples, scratch)
        program_rows, verdicts = judge(program, measure(program, rounds))
        rows += program_rows
        lines += [f"- {name}: {note}" for note in program.notes]
        lines += [f"- {name}: {what}: {'met' if holds else '**missed**'}" for what, holds in verdicts]
        is_met = is_met and all(holds for _, holds in verdicts)
        if os.environ.get("PGO_KEEP"):
            shutil.copytree(program.directory, os.path.join(os.environ["PGO_KEEP"], name), dirs_exist_ok=True)
    text = (f"CPU time in user mode as a share of that of clang -O2, medians of {rounds} rounds, on "
            f"{machine_words(machine())}\n\n"
            + markdown_table(["program", "build", "ratio", "95 % interval"], rows) + "\n" + "\n".join(lines) + "\n")
    with open(os.path.join(BUILD, "bench", "pgo.md"), "w", encoding="utf-8") as to:
        to.write(text)
    print(text)
    return 0 if is_met else 1
