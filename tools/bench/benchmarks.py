# SPDX-License-Identifier: MIT
"""What is measured, under which variants, and what cprof has to reach.

A benchmark runs each of its variants once a round, in turns.  Its points are the places
where it is measured (threads, frames); most have one.  Targets are compared with the
baseline of the same rounds.
"""

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Callable

import servers
import workloads
from variants import VARIANTS


@dataclass(frozen=True)
class Metric:
    title: str
    unit: str
    more_is_better: bool = False


@dataclass(frozen=True)
class Benchmark:
    name: str
    title: str
    variants: tuple
    metrics: dict  # name: Metric; the first one is plotted
    measure: Callable  # (runner, variants, point, is_quick) -> {variant's name: {metric's name: value}}
    rounds: int = 9
    quick_rounds: int = 3
    points: tuple = (None,)
    point_title: str = ""
    needs: Callable = lambda: True


@dataclass(frozen=True)
class Target:
    title: str
    benchmark: str
    metric: str
    variant: str
    # What is limited: at most "added", "growth" (more added than at the benchmark's first point), "ratio", "value"; at
    # least "share" (of the baseline), "scaling" (of the same at the first point).
    form: str
    limit: float
    point: object = None
    peers: tuple = ()
    floors: tuple = ()  # variants that do no more than what cannot be left out
    unit: str = ""  # if other than the metric's


NS = Metric("CPU time", "ns")


def each(measure_one):
    """A round of programs that run one after another."""
    def measure(runner, variants, point, is_quick):
        found = {}
        for variant in variants:
            found[variant.name] = measure_one(runner, variant, point, is_quick)
            if variant.is_cprof:
                runner.scratch.settle()
        return found
    return measure


def _program(*command):
    def measure_one(runner, variant, point, _):
        words = command if point is None else (*command, str(point))
        return runner.program(variant, *words)
    return each(measure_one)


def _start_first(runner, variant, _, is_quick):
    settings = [f"{name}={value}" for name, value in variant.environment_in(runner.scratch.fresh()).items()]
    return runner.bare("start", "10" if is_quick else "40", *settings)


def _start_later(runner, variant, _, is_quick):
    # Some 100 ms after a program of another kind has started, a collector say, the scheduler still keeps parent and
    # child apart, which takes each 150 us more: no more than a third of these begin so early.
    return runner.program(variant, "start", "30" if is_quick else "300")


def _start_tree(runner, variant, _, is_quick):
    count = 100 if is_quick else 500
    start = time.monotonic()
    runner.program(variant, "start", str(count))
    return {"us": (time.monotonic() - start) * 1e6 / (count + 1)}


def _snapshot(runner, variant, _, is_quick):
    blocks, stacks = ("200000", "20000") if is_quick else ("1000000", "100000")
    return runner.program(variant, "snapshot", blocks, stacks, environment={"CPROF_MEM": "1G"})


def _symbolise(runner, variants, _, is_quick):
    """The addresses of a list, by the collector's code and by the tools one would use instead."""
    target, count = workloads.object_with_debug_information(), 2000 if is_quick else 20000
    with tempfile.TemporaryDirectory(prefix="cprof-bench.") as scratch:
        addresses = os.path.join(scratch, "addresses")
        ours = runner.bare("symbolise", target, str(count), addresses)
        found = {"plain": {}, "cprof": ours}
        tools = {"addr2line": ["addr2line", "-aifC", "-e", target],
                 "llvm-symbolizer": ["llvm-symbolizer", "--obj=" + target]}
        for name in {variant.name for variant in variants} & set(tools):
            start = time.monotonic()
            with open(addresses, "rb") as source:
                subprocess.run(tools[name], stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            found[name] = {"all_ms": (time.monotonic() - start) * 1e3}
    return found


def _to_its_end(runner, variant, _, is_quick):
    return runner.to_its_end(variant, workloads.to_its_end(0.3 if is_quick else 1))


def _server(kind):
    def measure(runner, variants, _, is_quick):
        found = servers.measure(kind, variants, runner.scratch, 2 if is_quick else kind.bursts)
        runner.scratch.settle()
        return found
    return measure


def _workload(name):
    def measure_one(runner, variant, _, is_quick):
        command, stdin = workloads.command(name, 1 if is_quick else 4)
        return runner.command(variant, command, stdin)
    return each(measure_one)


_INTERPOSERS = ("interposer_jump", "interposer_count")
_MALLOC = ("plain", "cprof", "cprof_exact", *_INTERPOSERS, "interposer_record", "jemalloc", "jemalloc_prof", "jemalloc_exact", "tcmalloc",
           "tcmalloc_sampling", "gperftools_heap", "heaptrack")
_PROGRAM = ("plain", "cprof", "cprof_locks", "cprof_exact", "gperftools_cpu", "heaptrack")
_SERVER_METRICS = {
    "cpu_ns": Metric("CPU time a request", "ns"),
    "per_second": Metric("requests", "/s", more_is_better=True),
    "p99_us": Metric("p99 of a batch", "us"),
    "exit_ms": Metric("from SIGTERM to its end", "ms"),
    "rss_mb": Metric("memory", "MB"),
    "collector_rss_mb": Metric("memory of the collector", "MB"),
    "collector_cpu_ns": Metric("CPU time of the collector a request", "ns"),
}
_WORKLOAD_METRICS = {
    "cpu_ms": Metric("CPU time", "ms"),
    "wall_ms": Metric("real time", "ms"),
    "rss_mb": Metric("largest memory", "MB"),
}

# Threads that wait for each other get one, or one each.
_CPUS = (1, 2) if os.cpu_count() > 1 else (1,)

BENCHMARKS = (
    Benchmark("malloc_pair", "malloc(64) and free", _MALLOC, {"ns": NS}, _program("malloc", "pair"), rounds=15),
    Benchmark("malloc_mixed", "malloc and free, mixed sizes, 1024 in use", _MALLOC, {"ns": NS},
              _program("malloc", "mixed"), rounds=15),
    Benchmark("malloc_few", "malloc and free, mixed sizes, 16 in use",
              ("plain", "cprof", "cprof_exact", *_INTERPOSERS, "interposer_record"),
              {"ns": NS}, _program("malloc", "few"), rounds=11),
    Benchmark("malloc_deep", "malloc(64) and free, 10 frames deep",
              ("plain", "cprof_exact", "jemalloc", "jemalloc_exact", "heaptrack"), {"ns": NS},
              _program("malloc", "deep")),
    Benchmark("malloc_threads", "malloc(64) and free, by threads", ("plain", "cprof", "cprof_exact", *_INTERPOSERS),
              {"ns": NS, "pairs": Metric("pairs of all threads", "/us", more_is_better=True)},
              _program("malloc", "pair"), rounds=7, points=(1, 2, 8, 64), point_title="threads"),
    Benchmark("unwind", "unwinding, 30 frames through several objects",
              ("cprof", "libunwind", "libunwind_step", "libgcc"),
              {"warm": Metric("a frame, seen before", "ns"), "cold": Metric("a frame, first sight", "ns")},
              workloads.unwind, rounds=15),
    Benchmark("lock", "pthread_mutex_lock and unlock, uncontended", ("plain", "cprof", "cprof_locks"), {"ns": NS},
              _program("lock"), rounds=31),
    Benchmark("lock_contended", "one mutex that all threads want", ("plain", "cprof_locks"),
              {"locks": Metric("locks of all threads", "/us", more_is_better=True)}, _program("lock"), rounds=15,
              points=(2, 4, 8), point_title="threads"),
    Benchmark("trace", "one event of the trace", ("cprof_flight",),
              {"event": Metric("without a stack", "ns"), "stack": Metric("with one of 10 frames, seen before", "ns")},
              workloads.trace, rounds=15),
    Benchmark("handoff", "two threads that wake each other by semaphores",
              ("plain", "cprof", "cprof_locks", "cprof_flight", "interposer_trace"),
              {"ns": Metric("CPU time of a handoff", "ns")}, _program("wait", "handoff"), rounds=9,
              points=_CPUS, point_title="CPUs"),
    Benchmark("relay", "items that are handed to and fro, each by two threads, some 100,000 events a second",
              ("plain", "cprof_flight", "interposer_trace"),
              {"added": Metric("added to the CPU time when turned on", "%"), "turn_ns": Metric("CPU time of a turn, off", "ns"),
               "events": Metric("waits and wakes", "/s", more_is_better=True),
               "waited": Metric("turns that began with a wait", "%", more_is_better=True)},
              _program("wait", "relay"), rounds=11, points=_CPUS, point_title="CPUs"),
    Benchmark("annotate", "what a program says by cprof.h, and a call that might block", ("plain", "cprof", "cprof_flight"),
              {"region": Metric("begin and end of a region", "ns"), "labels": Metric("a label pushed and popped", "ns"),
               "read": Metric("a read that fails at once", "ns")}, _program("annotate"), rounds=9),
    Benchmark("handler", "one CPU sample, a stack seen before", ("plain", "cprof_handler", "gperftools_handler"),
              {"ns": NS}, _program("handler", "same"), rounds=7, points=(5, 29, 100), point_title="frames"),
    Benchmark("handler_varied", "one CPU sample, a new stack each time",
              ("plain", "cprof_handler", "gperftools_handler"), {"ns": NS}, _program("handler", "varied"), rounds=7,
              points=(29,), point_title="frames"),
    Benchmark("start_first", "start and end of `true`, first process of a tree", ("plain", "cprof", "gperftools_cpu"),
              {"us": Metric("real time", "us")}, each(_start_first)),
    Benchmark("start_later", "start and end of `true`, later process of a tree",
              ("plain", "cprof", "interposer_jump", "gperftools_cpu"), {"us": Metric("real time", "us")},
              each(_start_later), rounds=15),
    Benchmark("start_tree", "500 short processes, one after another, all profiles written",
              ("plain", "cprof", "gperftools_cpu"), {"us": Metric("real time of one", "us")}, each(_start_tree),
              rounds=5),
    Benchmark("snapshot", "snapshot of 1 million live blocks with 100,000 stacks", ("cprof_exact",),
              {"snapshot_ms": Metric("signal to file", "ms"), "fill_ns": Metric("each allocation", "ns")},
              each(_snapshot), rounds=5),
    Benchmark("symbolise", "naming 20,000 addresses of a large object with debug information",
              ("cprof", "addr2line", "llvm-symbolizer"),
              {"all_ms": Metric("real time", "ms"), "first_ms": Metric("the first one", "ms"),
               "rss_mb": Metric("memory", "MB"), "named": Metric("named", "%", more_is_better=True)},
              _symbolise, rounds=5, quick_rounds=1, needs=lambda: workloads.object_with_debug_information() is not None),
    Benchmark("exit_wait", "the end of CPython with debug symbols, all profiles written", ("plain", "cprof"),
              {"ms": Metric("real time", "ms")}, each(_to_its_end), rounds=7,
              needs=lambda: workloads.to_its_end(1) is not None),
    Benchmark("redis", "redis-server, 20 connections, 16 requests under way each",
              ("plain", "plain_again", "cprof", "cprof_locks", "cprof_flight", *_INTERPOSERS, "interposer_trace",
               "gperftools_cpu", "jemalloc_own_prof", "perf"), _SERVER_METRICS, _server(servers.Redis), rounds=15, quick_rounds=2, needs=lambda: servers.is_installed(servers.Redis)),
    Benchmark("nginx", "nginx, one worker, 20 connections", ("plain", "cprof", "cprof_locks", "gperftools_cpu", "perf"),
              _SERVER_METRICS, _server(servers.Nginx), rounds=5, quick_rounds=2,
              needs=lambda: servers.is_installed(servers.Nginx)),
    Benchmark("memcached", "memcached, two threads, 20 connections",
              ("plain", "cprof", "cprof_locks", "gperftools_cpu", "perf"), _SERVER_METRICS,
              _server(servers.Memcached), rounds=5, quick_rounds=2,
              needs=lambda: servers.is_installed(servers.Memcached)),
    Benchmark("sqlite3", "sqlite3, inserts, joins and sorts", _PROGRAM, _WORKLOAD_METRICS, _workload("sqlite3"),
              rounds=5, quick_rounds=2),
    Benchmark("compile", "the C++ compiler (cc1plus -O1), one file", _PROGRAM, _WORKLOAD_METRICS, _workload("compile"), rounds=5,
              quick_rounds=2),
    Benchmark("python", "CPython: objects, dictionaries, strings, sorting", _PROGRAM, _WORKLOAD_METRICS,
              _workload("python"), rounds=5, quick_rounds=2),
)

_SAMPLERS = ("jemalloc_prof", "tcmalloc_sampling")
_EXACT = ("heaptrack", "jemalloc_exact", "gperftools_heap")

TARGETS = (
    Target("malloc(64) and free", "malloc_pair", "ns", "cprof", "added", 0.8, peers=_SAMPLERS,
           floors=_INTERPOSERS),
    Target("malloc and free, mixed sizes, 1024 in use", "malloc_mixed", "ns", "cprof", "added", 1.0, peers=_SAMPLERS,
           floors=_INTERPOSERS),
    Target("malloc(64) and free, every allocation", "malloc_pair", "ns", "cprof_exact", "added", 50, peers=_EXACT,
           floors=("interposer_record",)),
    Target("mixed sizes, every allocation", "malloc_mixed", "ns", "cprof_exact", "added", 50, peers=_EXACT,
           floors=("interposer_record",)),
    # 0.3 ns: a cycle.
    Target("malloc(64) and free, 64 threads, more than is added to one", "malloc_threads", "ns", "cprof", "growth", 0.3,
           point=64),
    Target("every allocation, two threads' throughput", "malloc_threads", "pairs", "cprof_exact", "scaling", 1.8,
           point=2, peers=("plain",)),
    Target("unwinding a frame, seen before", "unwind", "warm", "cprof", "value", 3,
           peers=("libunwind", "libgcc")),
    Target("unwinding a frame, first sight", "unwind", "cold", "cprof", "value", 40, peers=("libunwind", "libgcc")),
    Target("uncontended lock and unlock, profiling off", "lock", "ns", "cprof", "added", 0.4),
    Target("uncontended lock and unlock, profiling on", "lock", "ns", "cprof_locks", "added", 1.8),
    *(Target(f"contended locks, {threads} threads, profiling on", "lock_contended", "locks", "cprof_locks", "share",
             0.97, point=threads) for threads in (2, 4, 8)),
    Target("one CPU sample, 29 frames", "handler", "ns", "cprof_handler", "added", 2000, point=29,
           peers=("gperftools_handler",)),
    Target("`true`, first process of a tree", "start_first", "us", "cprof", "added", 2000, peers=("gperftools_cpu",)),
    Target("`true`, later process", "start_later", "us", "cprof", "added", 300, peers=("gperftools_cpu",),
           floors=("interposer_jump",)),
    Target("the end of CPython with debug symbols, nothing cached", "exit_wait", "ms", "cprof", "added", 300),
    Target("naming 20,000 addresses of 100 MB of debug information", "symbolise", "all_ms", "cprof", "value", 2000,
           peers=("addr2line", "llvm-symbolizer")),
    Target("redis-server, CPU time a request", "redis", "cpu_ns", "cprof", "ratio", 1.01,
           peers=("gperftools_cpu", "jemalloc_own_prof", "perf"), floors=("plain_again", *_INTERPOSERS)),
    Target("redis-server, block and mutex on as well", "redis", "cpu_ns", "cprof_locks", "ratio", 1.02),
    Target("redis-server, flight recorder on", "redis", "cpu_ns", "cprof_flight", "ratio", 1.02,
           floors=("plain_again", "interposer_trace")),
    Target("one event of the trace", "trace", "event", "cprof_flight", "value", 60),
    Target("one event of the trace, with its stack", "trace", "stack", "cprof_flight", "value", 150),
    Target("a region's begin and end, no trace", "annotate", "region", "cprof", "value", 1),
    Target("a label pushed and popped", "annotate", "labels", "cprof", "value", 50),
    # The recorder turned on and off in one process: without anything to turn on, it is chance.
    *(Target(f"items handed on, some 100,000 events a second, {cpus}, flight recorder", "relay", "added",
             "cprof_flight", "value", 2, floors=("plain", "interposer_trace"), point=point)
      for point, cpus in zip(_CPUS, ("one CPU", "two CPUs"))),
    # A wait and a wake: 2 % of a CPU at 100,000 events a second.
    Target("a thread wakes another on its CPU, flight recorder on", "handoff", "ns", "cprof_flight", "added", 400,
           floors=("interposer_trace",), point=1),
)

by_name = {benchmark.name: benchmark for benchmark in BENCHMARKS}


def titles(name):
    """A variant's title; some are tools rather than variants."""
    return VARIANTS[name].title if name in VARIANTS else name
