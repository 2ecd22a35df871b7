# SPDX-License-Identifier: MIT
"""What was measured, as medians with quartiles, against baselines and targets.

A difference or ratio is taken within each round first: what the machine did in that round
is in both.  Of these there is the Hodges-Lehmann estimate, the median of the averages of
all pairs, with its 95 % interval from Wilcoxon's signed ranks: it asks nothing of how the
noise is distributed but that it is as often above as below.  A target is met or missed
when the whole interval is on one side of it.
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


@dataclass
class Estimate:
    """What rounds say together, and between what it lies in 95 of 100 such measurements."""
    median: float
    low: float
    high: float
    rounds: int


def spread(values):
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(statistics.median(values), low, high)


# The range of fewer is no interval.
_ROUNDS_MIN = 5


def _left_out(count):
    """How many of the lowest averages of pairs may be left out of a 95 % interval, of so many rounds."""
    ways = [1]  # of which sum of ranks, when each is taken or not
    for rank in range(1, count + 1):
        longer = ways + [0] * rank
        for total, number in enumerate(ways):
            longer[total + rank] += number
        ways = longer
    below, left = 0, -1
    for number in ways:
        below += number
        if below > 0.025 * 2 ** count:
            break
        left += 1
    return max(left, 0)


def estimate(values):
    averages = sorted((a + b) / 2 for i, a in enumerate(values) for b in values[i:])
    # With fewer than six rounds the whole range is less than 95 %.
    left = min(_left_out(len(values)), (len(averages) - 1) // 2)
    return Estimate(statistics.median(averages), averages[left], averages[-1 - left], len(values))


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
        """The estimate of a variant's figure in the form of a target."""
        values = self.get(benchmark, point, variant, metric)
        if not values:
            return None
        if form == "value":
            return estimate(values)
        first = by_name[benchmark].points[0]
        if form == "scaling":
            base = self.get(benchmark, first, variant, metric)
        else:
            base = self.get(benchmark, point, self.baseline(benchmark, variant), metric)
        if not base:
            return None
        pairs = list(zip(values, base))
        if form == "added":
            return estimate([value - plain for value, plain in pairs])
        if form == "growth":
            at_first = zip(self.get(benchmark, first, variant, metric),
                           self.get(benchmark, first, self.baseline(benchmark, variant), metric))
            return estimate([value - plain - (one - plain_one)
                             for (value, plain), (one, plain_one) in zip(pairs, at_first)])
        return estimate([value / plain for value, plain in pairs if plain])


@dataclass
class Verdict:
    target: object
    without: Spread
    cprof: Spread
    measured: Estimate  # in the target's form
    word: str
    peers: list  # (title, Estimate in the target's form), best first
    floors: list  # the same, in the target's order


def _judge(target, measured):
    """Whether all of the interval is where it has to be, or none of it."""
    if measured.rounds < _ROUNDS_MIN:
        return "undecided"
    more_is_better = target.form in ("share", "scaling")
    worst, best = (measured.low, measured.high) if more_is_better else (-measured.high, -measured.low)
    limit = target.limit if more_is_better else -target.limit
    return "met" if worst >= limit else "missed" if best < limit else "undecided"


def _titled(results, target, variants):
    """(title, Estimate in the target's form) of the variants that were measured."""
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
        peers = _titled(results, target, target.peers)
        peers.sort(key=lambda peer: peer[1].median, reverse=more_is_better)
        base = results.baseline(target.benchmark, target.variant)
        found.append(Verdict(target, results.spread(*where, base, target.metric) if base else None,
                             results.spread(*where, target.variant, target.metric), measured,
                             _judge(target, measured), peers, _titled(results, target, target.floors)))
    return found
