# SPDX-License-Identifier: MIT
"""What a program runs under: nothing, cprof, or a peer that Debian has.

A variant is environment variables, or a profiler that is attached from outside.  Its
baseline is the variant that it is compared with: an allocator's profiler is compared
with the same allocator, everything else with the plain program.
"""

import glob
import os
import shutil
from dataclasses import dataclass, field

BUILD = os.environ["BUILD"]
LIBRARY = os.path.join(BUILD, "libcprof.so")


@dataclass(frozen=True)
class Variant:
    name: str
    title: str
    environment: dict = field(default_factory=dict)  # {out} stands for a scratch directory
    baseline: str = "plain"
    needs: str = ""  # a file without which the variant cannot run
    attach: tuple = ()  # a command that profiles {pid}

    @property
    def is_cprof(self):
        return self.environment.get("LD_PRELOAD") == LIBRARY

    def is_installed(self):
        return not self.needs or bool(glob.glob(self.needs))

    def environment_in(self, out):
        return {name: value.replace("{out}", out) for name, value in self.environment.items()}


def _cprof(name, title, **settings):
    return Variant(name, title, {"LD_PRELOAD": LIBRARY, "CPROF_OUT": "{out}", **settings})


def _preloaded(name, title, library, baseline="plain", **settings):
    found = sorted(glob.glob(f"/usr/lib/*/{library}") + glob.glob(f"/usr/lib/{library}"))
    path = found[0] if found else f"/usr/lib/{library}"
    return Variant(name, title, {"LD_PRELOAD": path, **settings}, baseline, needs=path)


_ALL = (
    Variant("plain", "without"),
    # What is measured of it is chance.
    Variant("plain_again", "a second one without"),
    _cprof("cprof", "cprof"),
    _cprof("cprof_exact", "cprof, every allocation", CPROF_HEAP_RATE="1"),
    _cprof("cprof_locks", "cprof, block and mutex on", CPROF_BLOCK_RATE="10us"),
    _cprof("cprof_flight", "cprof, flight recorder", CPROF_TRACE="flight"),
    # One timer, so that its mark can be found, but hardly a signal of its own.
    _cprof("cprof_handler", "cprof", CPROF_CPU_HZ="1", CPROF_HEAP_RATE="0"),
    # Not profilers, but what a preloaded one cannot go below.
    Variant("interposer_jump", "a library that only jumps on",
            {"LD_PRELOAD": os.path.join(BUILD, "bench", "interposer_jump")}),
    Variant("interposer_count", "one that counts and looks up as well",
            {"LD_PRELOAD": os.path.join(BUILD, "bench", "interposer_count")}),
    Variant("interposer_record", "one that enters every block into a table, without a stack",
            {"LD_PRELOAD": os.path.join(BUILD, "bench", "interposer_record")}),
    Variant("interposer_trace", "one that reads the clock at waits and wakes and notes 32 bytes",
            {"LD_PRELOAD": os.path.join(BUILD, "bench", "interposer_trace")}),
    _preloaded("jemalloc", "jemalloc", "libjemalloc.so.2"),
    _preloaded("jemalloc_prof", "jemalloc prof, 512 KiB", "libjemalloc.so.2", "jemalloc",
               MALLOC_CONF="prof:true,lg_prof_sample:19"),
    _preloaded("jemalloc_exact", "jemalloc prof, every allocation", "libjemalloc.so.2", "jemalloc",
               MALLOC_CONF="prof:true,lg_prof_sample:0"),
    # A program that is linked with jemalloc needs no preload.
    Variant("jemalloc_own_prof", "jemalloc prof, 512 KiB", {"MALLOC_CONF": "prof:true,lg_prof_sample:19"}),
    _preloaded("tcmalloc", "tcmalloc", "libtcmalloc.so.4"),
    _preloaded("tcmalloc_sampling", "tcmalloc sampling, 512 KiB", "libtcmalloc.so.4", "tcmalloc",
               TCMALLOC_SAMPLE_PARAMETER="524288"),
    _preloaded("gperftools_heap", "gperftools heap profiler", "libtcmalloc.so.4", "tcmalloc",
               HEAPPROFILE="{out}/heap"),
    _preloaded("gperftools_cpu", "gperftools CPU profiler", "libprofiler.so.0", CPUPROFILE="{out}/cpu"),
    _preloaded("gperftools_handler", "gperftools CPU profiler", "libprofiler.so.0", CPUPROFILE="{out}/cpu",
               CPUPROFILE_FREQUENCY="1"),
    _preloaded("heaptrack", "heaptrack", "heaptrack/libheaptrack_preload.so",
               DUMP_HEAPTRACK_OUTPUT="/dev/null"),
    Variant("perf", "perf record -g, 100 Hz", needs=shutil.which("perf") or "/usr/bin/perf",
            attach=("perf", "record", "-q", "-e", "cpu-clock", "-F", "100", "-g", "-o", "/dev/null",
                    "-p", "{pid}")),
)
VARIANTS = {variant.name: variant for variant in _ALL}
