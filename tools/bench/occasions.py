# SPDX-License-Identifier: MIT
"""What a target's row was on the last occasions, this run's included.

One run meets the machine in one state, whatever the number of its rounds: quartiles within
a run say nothing of that.
"""

import json
import os
import time

KEPT = 3


def earlier(path, host):
    """What a report of an earlier run on this machine has of them: row: [(when, figure)], oldest first."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as made:
        report = json.load(made)
    return report.get("occasions", {}) if report["machine"] == host else {}


def with_this_run(found, judged, names):
    """The same with the rows of this run, which measured the benchmarks `names`."""
    now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    rows = {title: list(row) for title, row in found.items()}
    for verdict in judged:
        if verdict.target.benchmark in names:
            rows.setdefault(verdict.target.title, []).append([now, verdict.measured.median])
    return {title: row[-KEPT:] for title, row in rows.items()}


def figures(found, title):
    return [figure for _, figure in found.get(title, [])]


def words(found):
    """When they were."""
    times = sorted({when for row in found.values() for when, _ in row})
    return "" if not times else times[0] if len(times) == 1 else f"{times[0]} to {times[-1]}"
