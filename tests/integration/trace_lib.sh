# SPDX-License-Identifier: MIT
#
# What tests of traces share, besides lib.sh.
#
# Context: bash, sourced.

# trace_of NAME KIND: the path of the one unnumbered trace (perfetto-trace or trace) of this name.
trace_of()
{
	local found
	found=$(find "$OUT" -maxdepth 1 -name "$1.*.$2" | grep -E "/$1\.[0-9-]+\.$2\$" || true)
	if [[ -z $found || $found == *$'\n'* ]]; then
		echo "$OUT/no-single-$2-of-$1"
	else
		echo "$found"
	fi
}

# perfetto_lines FILE: the trace as text, and a status that tells whether it is right.
perfetto_lines()
{
	python3 "$HERE/../support/perfetto_text.py" "$1"
}

# unknown_fields PERFETTO: how many lines of what protoc decodes are of no field that the public format has there.
unknown_fields()
{
	protoc -I "$HERE/../support" --decode=perfetto.Trace perfetto.proto <"$1" >"$TMP/decoded" || return
	grep -cE '^ *[0-9]+[:{ ]' "$TMP/decoded" || true
}

# expect_forms WHAT PERFETTO GO: both forms are right; Go's as Go's own tool sees it.
expect_forms()
{
	expect "$1: Perfetto's form is right" perfetto_lines "$2"
	if command -v protoc >/dev/null; then
		expect_equal "$1: protoc knows all of Perfetto's form" 0 "$(unknown_fields "$2")"
	else
		skip_check "$1: protoc is not installed"
	fi
	if command -v go >/dev/null; then
		expect "$1: go tool trace takes Go's form" go_trace -pprof=sync "$3"
	else
		skip_check "$1: go is not installed"
	fi
}

# expect_traces WHAT NAME: the same of the unnumbered ones.
expect_traces()
{
	expect_forms "$1" "$(trace_of "$2" perfetto-trace)" "$(trace_of "$2" trace)"
}

# exec_or_run COMMAND...: a job is the command itself, so that it can be ended.
exec_or_run()
{
	if ((BASHPID != $$)); then
		exec "$@"
	fi
	"$@"
}

go_trace()
{
	if [[ -z ${trace_path:-} ]]; then
		trace_path=$(go tool -n trace 2>/dev/null | awk '{ print $1 }' || true)
	fi
	if [[ -x ${trace_path:-} ]]; then
		exec_or_run "$trace_path" "$@"
	else
		exec_or_run go tool trace "$@"
	fi
}

# viewer_open GO: the tool serves its pages.
viewer_open()
{
	viewer=
	BROWSER=true go_trace -http=127.0.0.1:0 "$1" >"$TMP/viewer.log" 2>&1 &
	viewer_job=$!
	wait_until 60 viewer_listens && viewer_listens
}

viewer_listens()
{
	viewer=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$TMP/viewer.log")
	[[ -n $viewer ]] && page / >/dev/null
}

# page PATH: what the viewer serves.
page()
{
	curl -fsS --max-time 60 "$viewer$1"
}

viewer_close()
{
	kill "$viewer_job" 2>/dev/null || true
	wait "$viewer_job" 2>/dev/null || true
}

# lines_of PERFETTO: of each thread of the victim trace_logs: "tN first last count", by number of the
# thread; "tN broken" if one between is missing, there twice, or not in its place.
lines_of()
{
	perfetto_lines "$1" | lines_in
}

# lines_in: the same of the text on stdin.
lines_in()
{
	sed -nE 's/.* instant t([0-9]+) n([0-9]+) category=count.*/\1 \2/p' | awk '
		!($1 in count) { first[$1] = $2 }
		count[$1]++ && $2 != last[$1] + 1 { broken[$1] = 1 }
		{ last[$1] = $2 }
		END { for (t in count) print "t" t, (t in broken) ? "broken" : first[t] " " last[t] " " count[t] }' |
		sort -V
}

# gaps_in: of a trace as text, how many gaps, and how many events they say were dropped.
gaps_in()
{
	sed -nE 's/.* gaps begin .*events=([0-9]+).*/\1/p' | awk '{ sum += $1 } END { print NR, sum + 0 }'
}

# gaps_of PERFETTO: the same of a file.
gaps_of()
{
	perfetto_lines "$1" | gaps_in
}

# logged_lines TABLE THREAD: how many lines the thread of trace_logs has logged.
logged_lines()
{
	od -An -t u8 -j $((8 * $2)) -N 8 "$1" 2>/dev/null | tr -d ' ' | grep . || echo 0
}
