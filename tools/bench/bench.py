#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What cprof costs, next to what else one could use.

    BUILD=dir tools/bench/bench.py [NAME...]     all benchmarks, or those whose name contains a NAME
    BUILD=dir tools/bench/bench.py --list
    BUILD=dir tools/bench/bench.py pgo           programs rebuilt with their profiles, see pgo.py
    BUILD=dir tools/bench/bench.py --readme      puts the last run's table into README.md

Every benchmark runs without cprof, with it, and with its peers in turns, so that what the
machine does meanwhile meets them all.  Writes report.md, report.json, cost.md and a plot for each
benchmark to BUILD/bench; what is not measured this time is shown as in its last run there.
BENCH_QUICK=1 takes few rounds, to see that all works; BENCH_ROUNDS=n sets the number of rounds.
A missed target is reported and is no failure: machines differ.
"""

import os
import sys
import time

sys.dont_write_bytecode = True  # the sources stay as they are

# pylint: disable=wrong-import-position
import occasions
import pgo
import report
from benchmarks import BENCHMARKS
from results import Results, verdicts
from run import Runner, Scratch
from variants import BUILD, VARIANTS, Variant

DIRECTORY = os.path.join(BUILD, "bench")


def _available(benchmark):
    """The benchmark's variants that can run here; tools that are no variant count as such."""
    found = [VARIANTS.get(name, Variant(name, name)) for name in benchmark.variants]
    return [variant for variant in found if variant.is_installed()]


def _measure(benchmark, runner, results, rounds, is_quick):
    variants = _available(benchmark)
    for turn in range(rounds):
        for point in benchmark.points:
            first = turn % len(variants)
            order = variants[first:] + variants[:first]
            try:
                results.add_round(benchmark, point, benchmark.measure(runner, order, point, is_quick))
            except RuntimeError as error:
                _measure_apart(benchmark, runner, results, point, order, is_quick, error)


def _measure_apart(benchmark, runner, results, point, variants, is_quick, error):
    """A round that failed, again without the variant that fails."""
    for variant in variants:
        try:
            benchmark.measure(runner, [variant], point, is_quick)
        except RuntimeError as why:
            results.failures[benchmark.name, variant.name] = str(why)
    works = [variant for variant in variants if (benchmark.name, variant.name) not in results.failures]
    if len(works) == len(variants):
        print(f"bench: {benchmark.name}: a round is left out: {error}", file=sys.stderr)
    elif works:
        results.add_round(benchmark, point, benchmark.measure(runner, works, point, is_quick))


def main(words):
    if words == ["--list"]:
        for benchmark in BENCHMARKS:
            print(f"{benchmark.name:16} {benchmark.title}")
        print(f"{'pgo':16} programs rebuilt with their profiles")
        return 0
    if words == ["--readme"]:
        report.update_readme("README.md", DIRECTORY)
        return 0
    if words and words[0] == "pgo":
        return pgo.main(words[1:])
    wanted = [b for b in BENCHMARKS if not words or any(word in b.name for word in words)]
    if not wanted:
        print(f"bench: no such benchmark; there are: {' '.join(b.name for b in BENCHMARKS)}", file=sys.stderr)
        return 2
    is_quick = os.environ.get("BENCH_QUICK", "0") not in ("", "0")
    results, runner, host = Results(), Runner(Scratch()), report.machine()
    if not is_quick:
        results.keep(os.path.join(DIRECTORY, "report.json"), host, {benchmark.name for benchmark in wanted})
    for benchmark in wanted:
        if not benchmark.needs():
            print(f"bench: {benchmark.name} is left out: what it needs is not installed", file=sys.stderr)
            continue
        rounds = int(os.environ.get("BENCH_ROUNDS") or (benchmark.quick_rounds if is_quick else benchmark.rounds))
        start = time.monotonic()
        _measure(benchmark, runner, results, rounds, is_quick)
        print(f"  {benchmark.name:16} {rounds:3} rounds {time.monotonic() - start:6.1f} s", file=sys.stderr)
    settings = "medians of quick rounds" if is_quick else "medians of 5 to 31 rounds, variants in turns"
    seen = occasions.earlier(os.path.join(DIRECTORY, "report.json"), host)
    if not is_quick:
        seen = occasions.with_this_run(seen, verdicts(results), {benchmark.name for benchmark in wanted})
    report.write(results, host, settings, DIRECTORY, seen)
    with open(os.path.join(DIRECTORY, "report.md"), encoding="utf-8") as made:
        print(made.read())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
