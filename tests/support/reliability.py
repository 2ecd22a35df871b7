#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the README's tables of reliability from the logs of real runs.

    reliability.py README LOG...

Reads, in logs of `make integration`, `make soak` and `make fuzz`, the lines of the hostile programs and of the
witnesses, and the tallies ("tally WHAT: COUNT", see tests/integration/lib.sh), which are summed.  A program that ran
more than once counts each run; whatever failed in any of the logs is shown as failed.  What stands between the two
markers in README is replaced.
"""
import os
import platform
import re
import sys
import time

BEGIN = "<!-- made by `make reliability-readme` -->"
END = "<!-- end of what `make reliability-readme` made -->"

HOSTILE = re.compile(r"ok +(\S+) +plain (\d+) +cprof (\d+) +(\d+) profiles +(\d+) blocks +same$")
PYTHON = re.compile(r"ok +CPython (\S+) +plain 0 +cprof 0 +(\d+) tests +same$")
PYTHON_UNFIT = re.compile(r"skip +CPython (\S+): status \d+ without cprof$")
STRESS = re.compile(r"ok +stress-ng (\S+) +status (\d+).* same$")
PROGRAM = re.compile(r"ok +(\S+) +(defaults|everything|flight|full) +status \d+, +\d+ lines +same$")
TALLY = re.compile(r"tally (.*): (\d+)$")
FUZZ = re.compile(r"ok +((?:collector|preload)_\w+) .*?(\d+) runs in")
FAIL = re.compile(r"FAIL +(?! )(.*)")


class Logs:
    """What all of them say together."""

    def __init__(self, paths):
        self.hostile, self.python, self.stress, self.tallies, self.fuzz = {}, {}, {}, {}, {}
        self.programs = {}
        self.unfit, self.failed = set(), []
        self.latest = 0
        for path in paths:
            self.latest = max(self.latest, os.stat(path).st_mtime)
            with open(path, encoding="utf-8", errors="replace") as log:
                for line in log:
                    self._take(line.rstrip("\n"))

    def _take(self, line):
        if m := HOSTILE.match(line):
            _, _, runs, profiles, blocks = self.hostile.get(m[1], ("", "", 0, 0, 0))
            self.hostile[m[1]] = (m[2], m[3], runs + 1, profiles + int(m[4]), blocks + int(m[5]))
        elif m := PYTHON.match(line):
            self.python[m[1]] = int(m[2])
        elif m := PYTHON_UNFIT.match(line):
            self.unfit.add(m[1])
        elif m := STRESS.match(line):
            self.stress[m[1]] = int(m[2])
        elif m := PROGRAM.match(line):
            self.programs[m[1]] = self.programs.get(m[1], 0) + 1
        elif m := TALLY.match(line):
            self.tallies[m[1]] = self.tallies.get(m[1], 0) + int(m[2])
        elif m := FUZZ.match(line):
            self.fuzz[m[1]] = self.fuzz.get(m[1], 0) + int(m[2])
        elif m := FAIL.match(line):
            self.failed.append(m[1])


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
    yield ""


def witnesses(logs):
    if logs.python:
        modules = {name.partition("/")[0] for name in logs.python}
        yield (f"CPython's own tests: {len(modules):,} modules that pass without cprof, "
               f"{sum(logs.python.values()):,} tests", "pass", "pass", "same")
    if logs.stress:
        fit = sum(status == 0 for status in logs.stress.values())
        yield f"stress-ng --verify: {fit} stressors", "status 0", "status 0", "same"
        for name, status in logs.stress.items():
            if status:
                yield f"stress-ng --verify: {name}", f"status {status}", f"status {status}", "same"
    if logs.programs:
        yield (f"programs of a Debian system: {', '.join(sorted(logs.programs))}", "output, status, files",
               f"{sum(logs.programs.values())} runs", "same")


def hostile(logs):
    for name, (plain, seen, runs, profiles, blocks) in logs.hostile.items():
        times = f", {runs} times" if runs > 1 else ""
        yield name + times, f"status {plain}", f"status {seen}; {profiles:,} profiles, {blocks:,} blocks", "same"


def text(logs):
    machine = f"Linux {platform.release()}, {platform.libc_ver()[0]} {platform.libc_ver()[1]}"
    day = time.strftime("%d %B %Y", time.gmtime(logs.latest)).lstrip("0")
    count = sum(runs for _, _, runs, _, _ in logs.hostile.values())
    blocks = sum(row[4] for row in logs.hostile.values())
    yield BEGIN
    yield ""
    yield (f"{day}, {machine}: {len(logs.hostile)} hostile programs in {count} runs, each without cprof and under it with "
           f"everything on; {blocks:,} blocks allocated, {blocks:,} in the profiles; {len(logs.failed)} failures.")
    yield ""
    failed = [(what[:200], "", "", "**differs**") for what in logs.failed]
    yield from table(("witness", "plain", "under cprof", "verdict"), [*witnesses(logs), *failed])
    unfit = sorted(logs.unfit - logs.python.keys() - {name.partition("/")[0] for name in logs.python})
    if unfit:
        yield f"CPython's {', '.join(unfit)} did not pass, or took too long, without cprof."
        yield ""
    if logs.tallies or logs.fuzz:
        tallies = [(what, f"{times:,}", "held") for what, times in sorted(logs.tallies.items())]
        fuzz = [(f"fuzzed inputs: {name}", f"{times:,}", "held") for name, times in sorted(logs.fuzz.items())]
        yield from table(("fault", "times", "verdict"), tallies + fuzz)
    yield "<details><summary>The hostile programs</summary>"
    yield ""
    yield from table(("program", "plain", "under cprof", "verdict"), hostile(logs))
    yield "</details>"
    yield ""
    yield END


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: reliability.py README LOG...")
    path, logs = sys.argv[1], Logs(sys.argv[2:])
    if not logs.hostile:
        sys.exit("reliability: no hostile program in these logs: run `make integration T=hostile` first")
    with open(path, encoding="utf-8") as readme:
        before, _, rest = readme.read().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{path}: has not both {BEGIN} and {END}")
    with open(path, "w", encoding="utf-8") as readme:
        readme.write(before + "\n".join(text(logs)) + after)


if __name__ == "__main__":
    main()
