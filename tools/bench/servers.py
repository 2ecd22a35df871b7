# SPDX-License-Identifier: MIT
"""Servers under load: several variants of one server run side by side and are loaded in
turns, so that what the machine does meanwhile meets them all.  CPU time is the
scheduler's own account, in nanoseconds.  Many short bursts: each is noisier than a long one
would be, but what the machine does drifts.

Each has worked for about a second when it begins: the first samples of a process, whose stacks
and unwind tables nobody has seen yet, cost more, once, and servers run for days."""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import time

import run


def cpu_ns(pid):
    """CPU time of all threads of a process."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as account:
            total += int(account.read().split()[0])
    return total


def rss_mb(pid):
    """Memory that a process has to itself plus its share of what is shared."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        for line in rollup:
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return [int(child) for child in children.read().split()]


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server process (and its workers) under one variant."""

    def __init__(self, kind, variant, scratch):
        self.kind, self.variant, self.port = kind, variant, _free_port()
        self._scratch, self._attached = scratch, None
        out = scratch.fresh()
        os.chmod(out, 0o777)
        known = set(scratch.collectors())
        self._process = subprocess.Popen(
            kind.command(self.port, out), env=run.clean_environment() | variant.environment_in(out), cwd=out,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_until_up()
        self.collectors = set(scratch.collectors()) - known
        self.pids = children_of(self._process.pid) if kind.has_workers else [self._process.pid]
        self._pin()
        if variant.attach:
            words = [word.replace("{pid}", str(self.pids[0])) for word in variant.attach]
            self._attached = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.3)

    def _wait_until_up(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                time.sleep(0.05)
                return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.02)
        raise RuntimeError(f"{self.kind.name} does not answer under {self.variant.title}")

    def _pin(self):
        """The server to the last CPU, its collector anywhere: the load generator has the first."""
        if os.cpu_count() > 1:
            for pid in self.pids:
                for task in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(task), {os.cpu_count() - 1})

    def cpu_ns(self):
        return sum(map(cpu_ns, self.pids))

    def collector_cpu_ns(self):
        return sum(map(cpu_ns, self.collectors))

    def rss_mb(self):
        return sum(map(rss_mb, self.pids))

    def collector_rss_mb(self):
        return sum(map(rss_mb, self.collectors))

    def stop(self):
        """Ends it; the milliseconds until it was gone."""
        if self._attached:
            self._attached.send_signal(signal.SIGINT)
            self._attached.wait()
        start = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        return (time.monotonic() - start) * 1e3


class Redis:
    name, has_workers, protocol = "redis-server", False, "redis"
    connections, depth, requests, bursts, first = 20, 16, 75000, 8, 1500000

    @staticmethod
    def command(port, out):
        return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", out]


class Memcached:
    name, has_workers, protocol = "memcached", False, "memcached"
    connections, depth, requests, bursts, first = 20, 8, 25000, 16, 300000

    @staticmethod
    def command(port, _):
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return ["memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "2", *user]


class Nginx:
    name, has_workers, protocol = "nginx", True, "http"
    connections, depth, requests, bursts, first = 20, 4, 10000, 16, 100000

    @staticmethod
    def command(port, out):
        places = " ".join(f"{kind}_temp_path {out}/{kind};"
                          for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(os.path.join(out, "conf"), "w", encoding="ascii") as conf:
            conf.write(f"""
{"user nobody nogroup;" if os.geteuid() == 0 else ""}
daemon off; worker_processes 1; pid {out}/pid; error_log {out}/error.log;
events {{ worker_connections 512; }}
http {{ access_log off; keepalive_requests 100000000; {places}
server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "{"some text, " * 60}"; }} }} }}
""")
        return ["nginx", "-c", f"{out}/conf", "-p", out, "-e", f"{out}/error.log"]


def is_installed(kind):
    return shutil.which(kind.name, path="/usr/sbin:/usr/bin:/sbin:/bin") is not None


def _load(kind, port, requests):
    """Runs the load generator on the first CPU; its figures."""
    pin = ["taskset", "-c", "0"] if os.cpu_count() > 1 else []
    done = subprocess.run([*pin, os.path.join(run.PROGRAMS, "load"), kind.protocol, str(port), str(kind.connections),
                           str(kind.depth), str(requests)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"load on {kind.name}: {done.stderr[-400:]}")
    return run.figures(done.stdout)


def measure(kind, variants, scratch, bursts):
    """One round: a fresh server for each variant; {variant name: figures}, medians over the bursts."""
    servers, found = [], {}
    try:
        for variant in variants:
            servers.append(Server(kind, variant, scratch))
            _load(kind, servers[-1].port, 0)
            _load(kind, servers[-1].port, kind.first)
        runs = {server: [] for server in servers}
        for burst in range(bursts):
            turn = burst % len(servers)
            for server in servers[turn:] + servers[:turn]:
                before, collector_before = server.cpu_ns(), server.collector_cpu_ns()
                figures = _load(kind, server.port, kind.requests)
                figures["cpu_ns"] = (server.cpu_ns() - before) / kind.requests
                figures["collector_cpu_ns"] = (server.collector_cpu_ns() - collector_before) / kind.requests
                runs[server].append(figures)
        for server in servers:
            # A collector works now and then: most bursts have nothing of it.
            of_collector = statistics.fmean(figures.pop("collector_cpu_ns") for figures in runs[server])
            medians = {name: statistics.median(figures[name] for figures in runs[server]) for name in runs[server][0]}
            medians["rss_mb"] = server.rss_mb()
            if server.variant.is_cprof:
                medians |= {"collector_rss_mb": server.collector_rss_mb(), "collector_cpu_ns": of_collector}
            found[server.variant.name] = medians
    finally:
        for server in servers:
            found.setdefault(server.variant.name, {})["exit_ms"] = server.stop()
    return found
