# SPDX-License-Identifier: MIT
"""What was measured, as medians with quartiles, against baselines and targets.

A difference or ratio is taken within each round first, and its median after: what the
machine did in that round is in both.
"""

import json
import os
import statistics
from dataclasses import dataclass, field

from benchmarks import TARGETS, by_name
from variants import VARIANTS


@dataclass
class Spread:
    median: float
    low: float  # the quartiles
    high: float


def spread(values):
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(statistics.median(values), low, high)


@dataclass
class Results:
    """The raw values: (benchmark, point, variant, metric) -> one for each round, None where it failed."""

    values: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)  # (benchmark, variant): what went wrong

    def add_round(self, benchmark, point, found):
        for variant, figures in found.items():
            for metric, value in figures.items():
                if metric in benchmark.metrics:
                    self.values.setdefault((benchmark.name, point, variant, metric), []).append(value)

    def keep(self, path, host, names):
        """What an earlier run on this machine reported of other benchmarks than `names`."""
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8") as made:
            earlier = json.load(made)
        for row in earlier["measured"] if earlier["machine"] == host else []:
            if row["benchmark"] in by_name and row["benchmark"] not in names:
                self.values[row["benchmark"], row["point"], row["variant"], row["metric"]] = row["values"]

    def benchmarks(self):
        return [by_name[name] for name in by_name if any(key[0] == name for key in self.values)]

    def variants(self, benchmark):
        measured = {key[2] for key in self.values if key[0] == benchmark.name}
        return [name for name in benchmark.variants if name in measured]

    def points(self, benchmark):
        return [point for point in benchmark.points if any(key[:2] == (benchmark.name, point) for key in self.values)]

    def get(self, benchmark, point, variant, metric):
        return self.values.get((benchmark, point, variant, metric))

    def spread(self, *key):
        values = self.get(*key)
        return spread(values) if values else None

    def baseline(self, benchmark, variant):
        """The name of what a variant is compared with, or None."""
        if variant not in VARIANTS or variant == "plain":
            return None
        name = VARIANTS[variant].baseline
        return name if any(key[0] == benchmark and key[2] == name for key in self.values) else None

    def against(self, form, benchmark, point, variant, metric):
        """The spread of a variant's figure in the form of a target."""
        values = self.get(benchmark, point, variant, metric)
        if not values:
            return None
        if form == "value":
            return spread(values)
        if form == "scaling":
            base = self.get(benchmark, by_name[benchmark].points[0], variant, metric)
        else:
            base = self.get(benchmark, point, self.baseline(benchmark, variant), metric)
        if not base:
            return None
        pairs = list(zip(values, base))
        if form == "added":
            return spread([value - plain for value, plain in pairs])
        return spread([value / plain for value, plain in pairs if plain])


@dataclass
class Verdict:
    target: object
    without: Spread
    cprof: Spread
    measured: Spread  # in the target's form
    is_met: bool
    peers: list  # (title, Spread in the target's form), best first
    floors: list  # the same, in the target's order

    def word(self):
        return "met" if self.is_met else "missed"


def _titled(results, target, variants):
    """(title, Spread in the target's form) of the variants that were measured."""
    found = []
    for variant in variants:
        value = results.against(target.form, target.benchmark, target.point, variant, target.metric)
        if value:
            found.append((VARIANTS[variant].title if variant in VARIANTS else variant, value))
    return found


def verdicts(results):
    """Of every target that was measured."""
    found = []
    for target in TARGETS:
        where = (target.benchmark, target.point)
        measured = results.against(target.form, *where, target.variant, target.metric)
        if not measured:
            continue
        more_is_better = target.form in ("share", "scaling")
        is_met = measured.median >= target.limit if more_is_better else measured.median <= target.limit
        peers = _titled(results, target, target.peers)
        peers.sort(key=lambda peer: peer[1].median, reverse=more_is_better)
        base = results.baseline(target.benchmark, target.variant)
        found.append(Verdict(target, results.spread(*where, base, target.metric) if base else None,
                             results.spread(*where, target.variant, target.metric), measured, is_met, peers,
                             _titled(results, target, target.floors)))
    return found
