# SPDX-License-Identifier: MIT
"""The programs that pgo.py rebuilds: their sources, and what they do while profiled and while measured."""

import glob
import os
import re
import subprocess
from dataclasses import dataclass

from run import clean_environment

VICTIM = os.path.join(os.path.dirname(__file__), "../../tests/integration/victims/virtual_dispatch.cc")


def run(command, directory, **settings):
    """Runs a command; its output.  A failure is an error."""
    done = subprocess.run(command, env=clean_environment() | settings, cwd=directory, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}: status {done.returncode}: {done.stderr[-600:]}")
    return done.stdout


@dataclass
class Program:
    compiler: str
    sources: list  # files and flags for them
    train: list  # arguments of the profiled runs
    run: list  # of those that are measured, on data that no profile saw
    samples: int  # of the profile
    limit: float  # what the ratio may be at most
    upper: float  # and its interval's upper end
    is_iterated: bool  # profiled a second time, in the optimised build


def debian_source(package, directory):
    """The unpacked upstream source of a Debian package; the system's own lists stay as they are."""
    os.makedirs(os.path.join(directory, "lists/partial"), exist_ok=True)
    with open("/etc/os-release", encoding="utf-8") as release:
        suite = re.search(r"^VERSION_CODENAME=(\w+)", release.read(), re.M).group(1)
    with open(os.path.join(directory, "sources.list"), "w", encoding="utf-8") as sources:
        sources.write(f"deb-src http://deb.debian.org/debian {suite} main\n")
    options = [f"Dir::Etc::sourcelist={directory}/sources.list", "Dir::Etc::sourceparts=-",
               f"Dir::State::lists={directory}/lists", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=",
               "Acquire::Retries=5", "APT::Sandbox::User=root"]
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    run([*apt, "update"], directory)
    run([*apt, "source", "--download-only", package], directory)
    archive = sorted(glob.glob(f"{directory}/{package}_*.orig.tar.*"), key=len)[0]
    run(["tar", "xf", archive], directory)
    return os.path.join(directory, run(["tar", "tf", archive], directory).split("/", 1)[0])


def dispatch(_directory):
    return Program("clang++", [os.path.abspath(VICTIM)], ["1", "12000000"], ["7", "1500000"],
                   samples=6000, limit=0.85, upper=0.85, is_iterated=True)


def sqlite3(directory):
    source = debian_source("sqlite3", directory)
    run(["./configure", "--disable-tcl"], source)
    run(["make", "sqlite3.c"], source)
    flags = ["-I" + source, "-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", "-lm"]
    return Program("clang", [f"{source}/sqlite3.c", f"{source}/test/speedtest1.c", *flags],
                   ["--memdb", "--size", "300"], ["--memdb", "--size", "80"],
                   samples=10000, limit=0.97, upper=1.0, is_iterated=True)


LUA_WORK = """
local n = tonumber(arg[1])
local function fib(k) if k < 2 then return k end return fib(k - 1) + fib(k - 2) end
local t, s = {}, {}
for i = 1, n do t[i] = (i * 7919) % 10007; s[#s + 1] = tostring(i) .. ":" end
table.sort(t)
local text, count, sum = table.concat(s), 0, 0
for word in text:gmatch("%d+") do count = count + #word end
local objects = {}
for i = 1, n // 10 do objects[i] = setmetatable({v = i}, {__index = function(o, k) return o.v + #k end}) end
for _, o in ipairs(objects) do sum = sum + o.some + o.other end
print(fib(arg[2] + 0), t[n // 2], count, sum)
"""


def lua(directory):
    source = debian_source("lua5.4", directory)
    work = os.path.join(directory, "work.lua")
    with open(work, "w", encoding="utf-8") as to:
        to.write(LUA_WORK)
    files = [path for path in sorted(glob.glob(f"{source}/src/*.c")) if os.path.basename(path) != "luac.c"]
    return Program("clang", [*files, "-DLUA_USE_POSIX", "-lm"], [work, "3000000", "34"], [work, "700000", "29"],
                   samples=5000, limit=1.02, upper=1.02, is_iterated=False)


def lz4(directory):
    source = debian_source("lz4", directory)
    files = sorted(glob.glob(f"{source}/lib/*.c") + glob.glob(f"{source}/programs/*.c"))
    data, other = (os.path.join(directory, name) for name in ("data", "other"))
    for path, parts in ((data, ("/usr/bin/python3", "/usr/bin/git", "/lib/x86_64-linux-gnu/libc.so.6")),
                        (other, ("/usr/bin/perl", "/usr/share/dict/words", "/usr/bin/bash", "/usr/bin/clang"))):
        with open(path, "wb") as to:
            for part in filter(os.path.exists, parts):
                with open(part, "rb") as found:
                    to.write(found.read(6 << 20) * 3)
    return Program("clang", [*files, f"-I{source}/lib", "-DXXH_NAMESPACE=LZ4_"], ["-f", "-9", "-q", data, "/dev/null"],
                   ["-f", "-7", "-q", other, "/dev/null"], samples=3500, limit=1.02, upper=1.02, is_iterated=False)


PROGRAMS = {"dispatch": dispatch, "sqlite3": sqlite3, "lua": lua, "lz4": lz4}
