#!/bin/bash
# SPDX-License-Identifier: MIT
# With every wait recorded, programs that use threads a lot, and some that do not, give what they
# give without cprof.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# same NAME COMMAND...: output, errors and status as without cprof, all profiles valid.
same()
{
	local name=$1 plain=0 seen=0
	shift
	fresh_out
	bounded "$@" >"$TMP/plain" 2>"$TMP/plain.err" || plain=$?
	profiled CPROF_BLOCK_RATE=1 "$@" >"$TMP/seen" 2>"$TMP/seen.err" || seen=$?
	expect_equal "$name: exit status" "$plain" "$seen"
	expect "$name: same output" cmp "$TMP/plain" "$TMP/seen"
	expect "$name: same errors" diff "$TMP/plain.err" "$TMP/seen.err"
	expect "$name: settles" settle
	expect_all_valid "$name"
}

# waited PROGRAM: the most waits that one of its processes had.
waited()
{
	profiles_of "$1" block | while read -r file; do query "$file" total contentions; done | sort -n | tail -1
}

# ---- what a program sees of itself ----
# The documented differences, taken out of both views.
allowed()
{
	sed -E -e '/^env (LD_PRELOAD|CPROF_[A-Z_]*)=/d' -e '/^raw signal (27|10) /d' "$1"
}
bounded env "$VICTIMS/self_view" >"$TMP/view" 2>&1 </dev/null
mv "$TMP/view" "$TMP/plain"
profiled CPROF_BLOCK_RATE=1 "$VICTIMS/self_view" >"$TMP/view" 2>&1 </dev/null || fail "self_view: exit status $?"
mv "$TMP/view" "$TMP/seen"
expect "self_view: the view is the same" diff <(allowed "$TMP/plain") <(allowed "$TMP/seen")

# ---- others' programs ----
seq 1 400000 >"$TMP/numbers"
same "xz" xz -T2 --block-size=256KiB -3 -c "$TMP/numbers"
expect_range "xz: waits" 4 "$(waited xz)" 100000000
xz -T2 --block-size=256KiB -3 -c "$TMP/numbers" >"$TMP/numbers.xz"
same "unxz" xz -T2 -d -c "$TMP/numbers.xz"
same "sqlite3" sqlite3 :memory: 'PRAGMA threads = 3; CREATE TABLE t (a, b);
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO t SELECT i * 7919 % 100003, i FROM n;
	CREATE INDEX x ON t (a, b); SELECT count(*), sum(a * b % 1000) FROM t ORDER BY 1; PRAGMA integrity_check;'
if command -v git >/dev/null; then
	mkdir "$TMP/repository"
	cat >"$TMP/git.sh" <<-'SCRIPT'
		set -e
		rm -rf "$1" && mkdir "$1" && cd "$1"
		export GIT_CONFIG_NOSYSTEM=1 HOME=$1 GIT_AUTHOR_DATE="2020-01-01T00:00:00Z" GIT_COMMITTER_DATE="2020-01-01T00:00:00Z"
		git init -q . 2>/dev/null
		git config user.email a@example.org && git config user.name A
		for i in 1 2 3; do
			for f in $(seq 1 20); do seq $i $((i * f * 3)) >file$f; done
			git add . && git commit -q -m "commit $i"
		done
		git -c pack.threads=3 repack -adq --window=30
		git fsck 2>&1
		git -c grep.threads=3 grep -c 17 | tail -2
		git -c index.threads=2 status --short
		git rev-parse HEAD
	SCRIPT
	same "git" bash "$TMP/git.sh" "$TMP/repository"
fi
cat >"$TMP/program.cc" <<'CODE'
#include <future>
#include <iostream>
#include <numeric>
#include <vector>
int main()
{
	std::vector<std::future<long>> parts;
	for (int p = 0; p < 4; p++)
		parts.push_back(std::async(std::launch::async, [p] {
			std::vector<long> v(100000, p);
			return std::accumulate(v.begin(), v.end(), 0L);
		}));
	long sum = 0;
	for (auto &part : parts)
		sum += part.get();
	std::cout << sum << std::endl;
}
CODE
same "g++" bash -c 'g++ -O1 -pthread -o program "$1/program.cc" && ./program && sha256sum program && rm program' bash "$TMP"
cat >"$TMP/Makefile" <<'MAKE'
objects := $(foreach n,1 2 3 4 5 6 7 8,part$(n).o)
all: $(objects)
	@cat $^ | sha256sum; rm -f $^
%.o:
	@echo 'int f$*(int x) { return x * 3; }' | gcc -O1 -x c -c -o $@ -
MAKE
same "make -j2" make -j2 -s -f "$TMP/Makefile"
same "gzip" gzip -nc "$TMP/numbers"

# ---- python3's own tests of locks ----
python=/usr/bin/python3
if "$python" -c 'import test.test_thread' 2>/dev/null; then
	# run NAME COMMAND...: the tests with their verdicts, to a file.
	run()
	{
		local status=0
		mkdir -p "$TMP/$1"
		(cd "$TMP/$1" && LIMIT=100 bounded env TMPDIR="$TMP/$1" "${@:2}" "$python" -m test -v test_thread >"$TMP/$1.log" 2>&1) || status=$?
		{
			# Behind a test's name stands whatever its threads printed first, or its result.
			grep -aE '^test_[a-z0-9_]+ \(|^Ran |^(OK|FAILED)( |$)' "$TMP/$1.log" |
				sed -E 's/ in [0-9.]+s$//; s/^(test_.*) \.\.\. (waiting|task|creating|all|starting).*/\1 .../; s/^(test_.*) \.\.\. ok$/\1 .../' | sort
			echo "status $status"
		} >"$TMP/$1.results"
	}
	fresh_out
	run python.plain &
	run python.seen LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_BLOCK_RATE=1
	wait
	if grep -q '^status 0$' "$TMP/python.plain.results"; then
		expect "python3: each test has the same result" diff "$TMP/python.plain.results" "$TMP/python.seen.results"
		expect "python3: settles" settle
		expect_all_valid python3
		expect_range "python3: waits" 20 "$(waited python3)" 100000000
	else
		skip_check "python3's tests fail here without cprof"
	fi
else
	skip_check "python3 with its test suite is not installed"
fi
finish
