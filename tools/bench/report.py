# SPDX-License-Identifier: MIT
"""The report: Markdown with plots, JSON with every value, and the README's table."""

import json
import os
import platform
import re
import subprocess

import occasions
import plot
from benchmarks import titles
from results import verdicts

_NUMBER = plot.number
_BEGIN, _END = "<!-- made by `make bench` -->", "<!-- end of what `make bench` made -->"


def machine():
    """What was measured on, in a few words each."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = re.search(r"^model name\s*: (.*)$", cpuinfo.read(), re.M)
    compiler = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=False).stdout.strip()
    virtual = subprocess.run(["systemd-detect-virt"], capture_output=True, text=True, check=False).stdout.strip() \
        if os.path.exists("/usr/bin/systemd-detect-virt") else ""
    return {"cpus": os.cpu_count(), "model": model.group(1) if model else platform.machine(),
            "kernel": platform.release().split("-")[0], "libc": platform.libc_ver()[1], "gcc": compiler,
            "virtual": virtual not in ("", "none")}


def machine_words(host):
    return (f"{host['cpus']} {'virtual ' if host['virtual'] else ''}CPUs ({host['model'].strip()}), "
            f"Linux {host['kernel']}, glibc {host['libc']}, gcc {host['gcc']}")


def markdown_table(header, rows):
    alignment = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, alignment, *rows)) + "\n"


def _in_form(form, value, unit):
    """A figure in the form of its target; small additions keep two decimals."""
    if form in ("added", "growth"):
        return f"{value:+.2f} {unit}" if abs(value) < 100 else f"{value:+,.0f} {unit}"
    if form == "ratio":
        return f"{(value - 1) * 100:+.1f} %"
    if form == "share":
        return f"{value * 100:.1f} %"
    if form == "scaling":
        return f"{value:.2f} x"
    return f"{_NUMBER(value)} {unit}"


def _limit(target, unit):
    if target.form in ("share", "scaling"):
        return "≥ " + _in_form(target.form, target.limit, unit)
    return "≤ " + _in_form(target.form, target.limit, unit)


def _runs(target, unit, seen):
    return ", ".join(_in_form(target.form, figure, unit) for figure in occasions.figures(seen, target.title))


def _interval(form, shown, unit):
    """What is between two figures, the unit behind the second."""
    low, high = (_in_form(form, figure, unit) for figure in (shown.low, shown.high))
    return f"{low.removesuffix(' ' + high.split()[-1])} … {high}"


def _unit(results, target):
    return next(b for b in results.benchmarks() if b.name == target.benchmark).metrics[target.metric].unit


def _target_rows(results, judged, seen):
    """The table's rows; the last word of each is the verdict's."""
    for verdict in judged:
        target, shown = verdict.target, verdict.measured
        unit = _unit(results, target)
        best = f"{_in_form(target.form, verdict.peers[0][1].median, unit)} ({verdict.peers[0][0]})" if verdict.peers else ""
        yield [target.title, f"{_NUMBER(verdict.without.median)} {unit}" if verdict.without else "",
               f"{_NUMBER(verdict.cprof.median)} {unit}", f"**{_in_form(target.form, shown.median, unit)}**",
               _interval(target.form, shown, unit), _runs(target, unit, seen), _limit(target, unit), verdict.word, best]


_COLUMNS = ["", "without", "with cprof", "added", "95 % interval", "last runs", "target", "", "best peer"]


def _floor_lines(results, judged):
    """What was measured in the same rounds as a verdict, and cannot be gone below."""
    for verdict in judged:
        target = verdict.target
        unit = _unit(results, target)
        floors = ", ".join(f"{title} {_in_form(target.form, value.median, unit)} "
                           f"({_interval(target.form, value, unit)})" for title, value in verdict.floors)
        if floors:
            yield f"- {target.title} ({verdict.word}): {floors}"


def _tally(judged):
    parts = [f"{sum(verdict.word == 'met' for verdict in judged)} of {len(judged)} targets met"]
    for word, meaning in (("undecided", "undecided, as the limit is within the interval or the rounds are few"), ("missed", "missed")):
        found = [verdict.target.title for verdict in judged if verdict.word == word]
        if found:
            parts.append(f"{meaning}: {', '.join(found)}")
    return "; ".join(parts) + "."


def _benchmark_rows(results, benchmark, metric):
    unit = benchmark.metrics[metric].unit
    for point in results.points(benchmark):
        for variant in results.variants(benchmark):
            value = results.spread(benchmark.name, point, variant, metric)
            if not value:
                continue
            row = [titles(variant)] if point is None else [str(point), titles(variant)]
            row += [f"{_NUMBER(value.median)} {unit}", f"{_NUMBER(value.low)} … {_NUMBER(value.high)}"]
            added = results.against("added", benchmark.name, point, variant, metric)
            ratio = results.against("ratio", benchmark.name, point, variant, metric)
            row += [_in_form("added", added.median, unit), f"{ratio.median:.3f}"] if added and ratio else ["", ""]
            base = results.baseline(benchmark.name, variant)
            yield row + [titles(base) if base else ""]


def _plot(results, benchmark, metric, directory):
    """Writes the benchmark's plot; returns its file name."""
    unit, variants = benchmark.metrics[metric].unit, results.variants(benchmark)
    points = results.points(benchmark)
    if len(points) > 1:
        rows = [(titles(v), [results.spread(benchmark.name, point, v, metric) for point in points]) for v in variants]
        drawing = plot.lines(benchmark.title, unit, benchmark.point_title, points, rows)
    else:
        rows = [(titles(v), results.spread(benchmark.name, points[0], v, metric), v.startswith("cprof"))
                for v in variants if results.get(benchmark.name, points[0], v, metric)]
        drawing = plot.bars(benchmark.title, unit, rows)
    name = f"{benchmark.name}.svg"
    with open(os.path.join(directory, name), "w", encoding="utf-8") as out:
        out.write(drawing)
    return name


def write(results, host, settings, directory, seen):
    """Writes report.md, report.json, cost.md and the plots; `seen` are the occasions."""
    judged = verdicts(results)
    text = ["# What cprof costs\n", f"{machine_words(host)}; {settings}; the last runs: {occasions.words(seen)}, UTC.\n"]
    if judged:
        floors = list(_floor_lines(results, judged))
        text += [_tally(judged) + "\n", markdown_table(_COLUMNS, _target_rows(results, judged, seen)),
                 "\n".join(["In the same rounds:\n", *floors, ""]) if floors else ""]
    for benchmark in results.benchmarks():
        text.append(f"## {benchmark.title}\n")
        text.append(f"![{benchmark.title}]({_plot(results, benchmark, next(iter(benchmark.metrics)), directory)})\n")
        for metric, about in benchmark.metrics.items():
            rows = list(_benchmark_rows(results, benchmark, metric))
            if rows:
                first = [benchmark.point_title, ""] if len(rows[0]) == 7 else [""]
                text.append(markdown_table([*first, about.title, "quartiles", "added", "ratio", "compared with"], rows))
    for (name, variant), why in results.failures.items():
        text.append(f"{name} under {titles(variant)} could not be measured: {why}\n")
    _write(directory, "report.md", "\n".join(text))
    _write(directory, "cost.md", _cost(results, judged, host, settings, seen))
    _write(directory, "report.json", json.dumps(_as_json(results, judged, host, settings, seen), indent=1) + "\n")


def _write(directory, name, text):
    with open(os.path.join(directory, name), "w", encoding="utf-8") as out:
        out.write(text)


def _as_json(results, judged, host, settings, seen):
    rows = [{"what": v.target.title, "benchmark": v.target.benchmark, "point": v.target.point,
             "variant": v.target.variant, "metric": v.target.metric, "form": v.target.form, "limit": v.target.limit,
             "median": v.measured.median, "low": v.measured.low, "high": v.measured.high, "verdict": v.word,
             "peers": {title: value.median for title, value in v.peers},
             "floors": {title: value.median for title, value in v.floors}} for v in judged]
    measured = [{"benchmark": name, "point": point, "variant": variant, "metric": metric, "values": values}
                for (name, point, variant, metric), values in results.values.items()]
    return {"machine": host, "settings": settings, "targets": rows, "occasions": seen, "measured": measured}


def _cost(results, judged, host, settings, seen):
    """What the README says of it."""
    floors = list(_floor_lines(results, [verdict for verdict in judged if verdict.word != "met"]))
    why = ["What cannot be gone below, in the same rounds as what is not met:", "", *floors, ""] if floors else []
    return "\n".join([_BEGIN, "", f"On {machine_words(host)}; {settings};", f"the last runs: {occasions.words(seen)}, UTC.",
                      _tally(judged), "", markdown_table(_COLUMNS, _target_rows(results, judged, seen)), *why, _END, ""])


def replace_marked(path, begin, end, text):
    """Replaces the part of a file from one mark to another, both included."""
    with open(path, encoding="utf-8") as old:
        whole = old.read()
    pattern = re.escape(begin) + ".*" + re.escape(end) + "\n?"
    if not re.search(pattern, whole, re.S):
        raise SystemExit(f"bench: {path} has no part marked {begin}")
    with open(path, "w", encoding="utf-8") as new:
        new.write(re.sub(pattern, lambda _: text, whole, flags=re.S))


def update_readme(path, directory):
    """Replaces the marked part of a README by the last run's table."""
    with open(os.path.join(directory, "cost.md"), encoding="utf-8") as made:
        replace_marked(path, _BEGIN, _END, made.read())
