#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The in-app unwinder against libunwind: real programs are stopped at random moments (and
# at the three instructions that follow each), the preloaded unwinder walks the stack in
# the signal handler, and libunwind walks the same stack from outside by ptrace.  At
# least 99.9 % of the walks agree frame by frame; what does not is printed with a reason.
set -u
. "$(dirname "$0")/lib.sh"

ORACLE=$BUILD/tests/unwind_oracle
PROBE=$VICTIMS/libwalk_probe.so
SAMPLES=${SAMPLES:-1000}

# A program that is missing on this machine is no failure; five must be there.
programs=0

# compare NAME COMMAND...
compare()
{
	local name=$1
	shift
	if ! command -v "$1" >/dev/null; then
		skip_check "$name: $1 is not installed"
		return
	fi
	programs=$((programs + 1))
	if bounded "$ORACLE" "$SAMPLES" "$PROBE" "$@" >"$TMP/oracle.$name" 2>"$TMP/oracle.err"; then
		pass "$name: $(grep samples, "$TMP/oracle.$name")"
	else
		fail "$name: at least 99.9 % agree: $(tail -1 "$TMP/oracle.err")"
	fi
	sed 's/^/      | /' "$TMP/oracle.$name" | head -60
}

cat >work.py <<'END'
import hashlib, json, random, re, zlib
random.seed(1)
def work():
    table = {str(i): [random.random() for _ in range(20)] for i in range(200)}
    text = json.dumps(table)
    swapped = re.sub(r'(\d)\.(\d+)', lambda m: m.group(2) + m.group(1), text)
    hashlib.sha256(zlib.compress(swapped.encode())).hexdigest()
    return sorted(json.loads(text).items(), key=lambda item: -sum(item[1]))
def descend(n):
    return work() if n == 0 else descend(n - 1)
while True:
    descend(random.randrange(12))
END

cat >work.pl <<'END'
srand(1);
sub descend {
	my $n = shift;
	return descend($n - 1) if $n;
	my %h;
	$h{int(rand(1e6))} .= "x$_" for 1..2000;
	my $s = join(",", map {"$_=$h{$_}"} sort {$h{$a} cmp $h{$b} or $a <=> $b} keys %h);
	$s =~ s/(\d+)=(x\d)/$2$1/g;
	return scalar(() = $s =~ /x[0-9]{3}/g);
}
while (1) { descend(int(rand(8))); }
END

cat >work.sql <<'END'
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000)
	insert into t select i, hex(randomblob(8)), random() / 1e9 from n;
create index ti on t(b);
select count(*), sum(c) from t where b > '8' group by substr(b, 1, 2);
select x.b from t x join t y on x.a = y.a + 1 where x.b like '%AB%' order by y.c limit 10;
with recursive n(i) as (select 1 union all select i + 1 from n) select count(*), max(substr(i, 1, 1)) from n;
END

cat >work.cc <<'END'
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>
template <int N> struct chain {
	static std::map<int, std::vector<std::string>> table;
	static int value()
	{
		table[N].push_back(std::to_string(N));
		std::sort(table[N].begin(), table[N].end());
		return chain<N - 1>::value() + N;
	}
};
template <int N> std::map<int, std::vector<std::string>> chain<N>::table;
template <> struct chain<0> { static int value() { return 0; } };
int main()
{
	std::cout << std::regex_match("abc", std::regex("(a|b)*c")) << chain<400>::value();
}
END

seq 1 4000000 >numbers

compare sqlite3 sqlite3 :memory: ".read work.sql"
compare python3 /usr/bin/python3 work.py
compare perl perl work.pl
compare xz xz -k -c numbers
compare gzip gzip -9 -k -c numbers numbers numbers numbers
if g++ -E -std=c++17 work.cc -o work.ii 2>/dev/null; then
	compare cc1plus "$(g++ -print-prog-name=cc1plus)" -quiet -O2 -std=c++17 work.ii -o work.s
fi

if command -v redis-benchmark >/dev/null; then
	(
		# The server is slow while it is being compared; the benchmark ends with it.
		sleep 0.5
		exec redis-benchmark -s "$TMP/redis.sock" -n 100000000 -q -t set,get,lpush,lrange_100,zadd,mset
	) >/dev/null 2>&1 &
	compare redis-server redis-server --port 0 --unixsocket "$TMP/redis.sock" --save ''
	kill $! 2>/dev/null
fi

if ((programs >= 5)); then
	pass "$programs real programs were compared"
else
	fail "only $programs real programs are installed"
fi

# Frames that are hard to undo.  Where there is no call frame information at all, and in the
# instructions by which the C++ runtime leaves a thrown-through frame, both sides guess.
bounded "$ORACLE" 1500 "$PROBE" "$VICTIMS/unwind_shapes" >"$TMP/oracle.shapes" 2>&1
sed 's/^/      | /' "$TMP/oracle.shapes"
disagreements=$(sed -nE 's/.* ([0-9]+) disagree$/\1/p' "$TMP/oracle.shapes")
guesses=$(sed -nE 's/^  ([0-9]+): no call frame information.*/\1/p' "$TMP/oracle.shapes")
expect_range "hard frames: disagreements other than guesses" 0 $((${disagreements:-9999} - ${guesses:-0})) 15

finish
