# SPDX-License-Identifier: MIT
"""Programs with a fixed amount of work, made once a run, and their inputs."""

import os
import re
import shutil
import subprocess
import tempfile

from variants import BUILD

_PYTHON = """
import random
random.seed(1)
class Node:
    def __init__(self, value, rest):
        self.value, self.rest = value, rest
for turn in range({turns}):
    chain = None
    for i in range(20000):
        chain = Node(i, chain)
    words = ["w%d" % random.randrange(5000) for i in range(20000)]
    counts = {{}}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    text = " ".join(sorted(words, key=lambda w: (counts[w], w)))
    total = sum(len(part) for part in text.replace("w1", "x").split("x"))
"""

_SQL = """
PRAGMA journal_mode = MEMORY;
CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, city INTEGER, born INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO people SELECT i, 'person ' || (i * 7919 % {rows}), i % 97, 1900 + i * 31 % 120 FROM n;
CREATE INDEX by_city ON people(city, born);
SELECT city, count(*), avg(born), min(name) FROM people GROUP BY city ORDER BY 3 LIMIT 5;
SELECT a.name, b.name FROM people a JOIN people b ON a.city = b.city AND a.born = b.born + 7
    WHERE a.id % 50 = 0 ORDER BY a.name, b.name LIMIT 20;
UPDATE people SET name = upper(name) || substr(name, 3) WHERE born % 3 = 0;
SELECT count(*), sum(length(name)) FROM people WHERE name LIKE '%ON 1%';
"""

_CXX_HEAD = """
#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>
"""
_CXX_UNIT = """
namespace unit{number} {{
template <int N> struct table {{ std::map<std::string, std::vector<int>> rows; table<N - 1> rest;
    int sum() const {{ int s = rest.sum(); for (auto &r : rows) for (int x : r.second) s += x * N; return s; }} }};
template <> struct table<0> {{ int sum() const {{ return 0; }} }};
int main(int argc, char **argv)
{{
    table<60> all;
    std::unordered_map<std::string, int> seen;
    for (int i = 0; i < argc; i++)
        if (argv[i][0] != '-')
            seen[argv[i]]++;
    std::vector<std::pair<std::string, int>> sorted(seen.begin(), seen.end());
    std::sort(sorted.begin(), sorted.end(), [](auto &a, auto &b) {{ return a.second > b.second; }});
    std::cout << all.sum() << sorted.size();
    return 0;
}}
}}
"""

_scratch = tempfile.TemporaryDirectory(prefix="cprof-bench.")


def _file(name, text):
    path = os.path.join(_scratch.name, name)
    if not os.path.exists(path):
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
    return path


def command(name, size):
    """The command for a size, 1 for a tenth of a second, and the file for its standard input or None."""
    if name == "sqlite3":
        return ["sqlite3"], _file(f"{size}.sql", _SQL.format(rows=20000 * size))
    if name == "python":
        return ["/usr/bin/python3", _file(f"{size}.py", _PYTHON.format(turns=3 * size))], None
    # The compiler proper: heaptrack does not follow children.
    units = max(1, size // 5)
    program = _CXX_HEAD + "".join(_CXX_UNIT.format(number=number) for number in range(units))
    compiler = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True, check=True)
    return [compiler.stdout.strip(), "-quiet", "-O1", "-D_GNU_SOURCE", "-o", os.path.join(_scratch.name, "out.s"),
            _file(f"program{units}.cc", program)], None


_PYTHON_TO_ITS_END = """
import json, random, re, sys, time
random.seed(1)
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    rows = [{{"name": "n%d" % random.randrange(1000), "size": random.random()}} for _ in range(1000)]
    text = json.dumps(sorted(rows, key=lambda row: row["size"]), indent=1)
    names = re.findall(r'"name": "(n[0-9]+)"', text)
    total = sum(row["size"] for row in json.loads(text) if row["name"] in set(names))
print(time.monotonic(), flush=True)
"""


def to_its_end(seconds):
    """A program of Debian's whose debug symbols are installed, which prints when it has done all but ended; or None."""
    if not _debian_debug_file("/usr/bin/python3"):
        return None
    return ["/usr/bin/python3", _file(f"end{seconds}.py", _PYTHON_TO_ITS_END.format(seconds=seconds))]


def _debian_debug_file(*names):
    """The first program of Debian's whose debug symbols are installed, or None."""
    for name in names:
        path = shutil.which(name)
        notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=False).stdout if path else ""
        found = re.search(r"Build ID: (..)([0-9a-f]+)", notes)
        if found and os.path.exists(f"/usr/lib/debug/.build-id/{found.group(1)}/{found.group(2)}.debug"):
            return os.path.realpath(path)
    return None


def object_with_debug_information():
    """
    A large object with DWARF: one of Debian's, or 100 MB made here.  Those are a C++ object of 7 MB that is linked
    thirty-five times, each time under other names: a compiler would take minutes for as much.
    """
    made = os.path.join(BUILD, "bench", "debug.so")
    found = _debian_debug_file("gdb", "clang-14", "clang") or (made if os.path.exists(made) else None)
    if found:
        return found
    source = _file("debug.cc", _CXX_HEAD + "".join(_CXX_UNIT.format(number=number) for number in range(10)))
    one = os.path.join(_scratch.name, "debug.o")
    subprocess.run(["g++", "-g", "-O2", "-fPIC", "-c", "-o", one, source], check=True)
    copies = [os.path.join(_scratch.name, f"debug{number}.o") for number in range(35)]
    for number, copy in enumerate(copies):
        subprocess.run(["objcopy", f"--prefix-symbols=copy{number}_", one, copy], check=True)
    # What they call in the C++ library is undefined under their names; nobody runs them.
    handles = [f"-Wl,--defsym=copy{number}___dso_handle=0" for number in range(len(copies))]
    subprocess.run(["g++", "-shared", "-nostdlib", "-o", made + ".new", *handles, *copies], check=True)
    os.rename(made + ".new", made)
    for path in (one, *copies):
        os.unlink(path)
    return made


def unwind(runner, _, __, ___):
    """All unwinders on one stack in one process."""
    found = {}
    for name, value in runner.bare("unwind").items():
        unwinder, _, state = name.rpartition("_")
        found.setdefault(unwinder, {})[state] = value
    return found


def trace(runner, _, __, ___):
    """Events of a trace, one after another."""
    return {"cprof_flight": runner.bare("trace")}
