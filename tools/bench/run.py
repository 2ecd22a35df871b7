# SPDX-License-Identifier: MIT
"""Running a program once under a variant, and what it took."""

import os
import subprocess
import tempfile
import time

from variants import BUILD

PROGRAMS = os.path.join(BUILD, "bench")


class Scratch:
    """A directory for the profilers' files; knows whether a collector still writes there."""

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="cprof-bench.")
        self.path = self._directory.name
        self._count = 0

    def fresh(self):
        """A new directory, readable by servers that drop their privileges."""
        self._count += 1
        path = os.path.join(self.path, str(self._count))
        os.makedirs(path)
        os.chmod(self.path, 0o755)
        return path

    def collectors(self):
        """Pids of the collectors whose files go here."""
        mark = f"CPROF_OUT={self.path}/".encode()
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/comm", "rb") as comm:
                    if not comm.read().startswith(b"cprof-collect"):
                        continue
                with open(f"/proc/{pid}/environ", "rb") as environment:
                    if mark in environment.read():
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def settle(self):
        """Until no collector is left: it would take part in the next measurement."""
        deadline = time.monotonic() + 10
        while self.collectors() and time.monotonic() < deadline:
            time.sleep(0.02)


def clean_environment():
    """Ours, without what would profile or steer allocators, or what earlier runs have kept."""
    steering = ("CPROF_", "MALLOC_", "LD_PRELOAD", "TCMALLOC_", "HEAPPROFILE", "CPUPROFILE", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)} | {
        "LC_ALL": "C", "XDG_CACHE_HOME": "/nonexistent"}


def figures(text):
    """The lines "NAME VALUE" that a benchmark program prints."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2:
            try:
                found[words[0]] = float(words[1])
            except ValueError:
                pass
    return found


class Runner:
    """Runs programs under variants; each run gets a directory of its own."""

    def __init__(self, scratch):
        self.scratch = scratch

    def program(self, variant, *command, environment=None):
        """Runs one of our programs; returns its figures."""
        settings = clean_environment() | variant.environment_in(self.scratch.fresh()) | (environment or {})
        return self.bare(*command, environment=settings)

    def bare(self, *command, environment=None):
        """The same without a variant."""
        name, *arguments = command
        done = subprocess.run([os.path.join(PROGRAMS, name), *arguments], env=environment or clean_environment(),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {done.stderr[-400:]}")
        return figures(done.stdout)

    def to_its_end(self, variant, command):
        """Runs a command that prints the time when it has nothing more to do; milliseconds from then until it is gone."""
        out = self.scratch.fresh()
        settings = clean_environment() | variant.environment_in(out) | {"XDG_CACHE_HOME": out}
        with subprocess.Popen(command, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, cwd=self.scratch.path) as child:
            done = float(child.stdout.readline() or "nan")
            child.wait(60)
            return {"ms": (time.monotonic() - done) * 1e3}

    def command(self, variant, command, stdin=None):
        """Runs any command; returns CPU and real time of it and its children in milliseconds."""
        settings = clean_environment() | variant.environment_in(self.scratch.fresh())
        with open(stdin or os.devnull, "rb") as source:
            start = time.monotonic()
            child = subprocess.Popen(command, env=settings, stdin=source, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, cwd=self.scratch.path)
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if status:
            raise RuntimeError(f"{' '.join(command)}: status {child.returncode}")
        return {"cpu_ms": (usage.ru_utime + usage.ru_stime) * 1e3, "wall_ms": wall * 1e3,
                "rss_mb": usage.ru_maxrss / 1024}
