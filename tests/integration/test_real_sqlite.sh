#!/bin/bash
# SPDX-License-Identifier: MIT
# Debian's sqlite3 builds and queries a database of a million rows.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

command -v sqlite3 >/dev/null || skip_test "sqlite3 is not installed"

cat >"$TMP/work.sql" <<'SQL'
PRAGMA journal_mode = off;
PRAGMA synchronous = off;
CREATE TABLE measurement (id INTEGER PRIMARY KEY, place TEXT, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
INSERT INTO measurement SELECT i, 'place-' || (i * 7919 % 1009), (i * 2654435761 % 1000003) / 7.0 FROM n;
CREATE INDEX by_place ON measurement (place, value);
SELECT place, count(*), round(avg(value), 6), max(value) FROM measurement GROUP BY place ORDER BY 3 DESC LIMIT 20;
SELECT count(*) FROM measurement a JOIN measurement b ON b.id = a.id + 1 WHERE b.value > a.value;
SELECT count(DISTINCT substr(place, 7, 2)) FROM measurement WHERE place LIKE '%9%';
UPDATE measurement SET value = value * 2 WHERE id % 10 = 0;
PRAGMA integrity_check;
SQL
expect "plain" bounded sqlite3 "$TMP/plain.db" ".read $TMP/work.sql"
cp "$TMP/expect.log" "$TMP/plain"
status=0
profiled sqlite3 "$TMP/seen.db" ".read $TMP/work.sql" >"$TMP/seen" 2>&1 || status=$?
expect_equal "exit status" 0 "$status"
expect "same output" diff "$TMP/plain" "$TMP/seen"
expect "same database" cmp "$TMP/plain.db" "$TMP/seen.db"
expect_profile sqlite3 cpu
expect_profile sqlite3 heap
cpu=$(profile sqlite3 cpu) heap=$(profile sqlite3 heap)
samples=$(query "$cpu" total samples)
expect_range "samples enough to judge" 100 "$samples" 100000
expect_range "time below sqlite3_step" $((samples * 9 / 10)) "$(query "$cpu" has sqlite3_step samples)" "$samples"
# The program itself is stripped, its library and libc have names.
expect_range "stacks that go through the program" $((samples * 99 / 100)) "$(query "$cpu" has '[sqlite3]' samples)" "$samples"
expect_range "allocated below sqlite3_step" 1000000 "$(query "$heap" has sqlite3_step alloc_space)" 100000000000
expect_sane_pprof "cpu" "$cpu"
expect_sane_pprof "heap" "$heap"
expect_all_valid "sqlite3"
finish
