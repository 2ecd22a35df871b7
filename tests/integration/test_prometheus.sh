#!/bin/bash
# SPDX-License-Identifier: MIT
# A real Prometheus scrapes programs under cprof; the alert for leaks fires for the one
# that leaks, and for no other.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

has_commands prometheus promtool curl || skip_test "prometheus is not installed"
share=$HERE/../../share/cprof

expect "the rules are valid" promtool check rules "$share/alerts.yml"
expect "they do what they say" promtool test rules "$share/alerts_test.yml"

port=$(free_ports)
leak_port=$port
steady_port=$((port + 1))
server_port=$((port + 2))
server=http://127.0.0.1:$server_port

# The leak takes a second of its hour: all times in the rules, but not what they compare.
sed -E 's/\[30m\]/[4s]/; s/offset 1h/offset 4s/; s/for: 30m/for: 1s/; s/\[5m\]/[4s]/; s/\[10m\]/[4s]/; s/for: (5|10)m/for: 1s/' \
	"$share/alerts.yml" >"$TMP/alerts.yml"
echo secret >"$TMP/password"
cat >"$TMP/prometheus.yml" <<CONF
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: leaks
    basic_auth: {username: admin, password_file: password}
    static_configs: [{targets: ['127.0.0.1:$leak_port']}]
  - job_name: steady
    static_configs: [{targets: ['127.0.0.1:$steady_port']}]
CONF
expect "the configuration is valid" promtool check config "$TMP/prometheus.yml"

# Each round is told, so that the programs end when we do.
coproc LEAKS { LIMIT=200 profiled CPROF_HTTP=$leak_port CPROF_HTTP_PASSWORD_FILE="$TMP/password" "$VICTIMS/http_steps" >/dev/null; }
leaks_in=${LEAKS[1]}
mkfifo "$TMP/steady.in"
LIMIT=200 profiled CPROF_HTTP=$steady_port "$VICTIMS/http_steps" >/dev/null <"$TMP/steady.in" &
exec {steady_in}>"$TMP/steady.in"
echo "alloc 10000 10000" >&"$steady_in"
echo "alloc 1000 10000" >&"$leaks_in"
expect "both serve" wait_until 20 bash -c "curl -sf -u admin:secret http://127.0.0.1:$leak_port/metrics >/dev/null &&
	curl -sf http://127.0.0.1:$steady_port/metrics >/dev/null"
expect "metrics are as they should be" bash -c "curl -s http://127.0.0.1:$steady_port/metrics | promtool check metrics"
curl -s -D "$TMP/headers" -o /dev/null "http://127.0.0.1:$steady_port/metrics"
expect "of the type that says so" grep -qi '^content-type: text/plain; version=0.0.4; charset=utf-8' "$TMP/headers"

prometheus --config.file="$TMP/prometheus.yml" --storage.tsdb.path="$TMP/data" \
	--web.listen-address=127.0.0.1:$server_port --log.level=error >"$TMP/prometheus.log" 2>&1 &
prometheus_pid=$!
trap 'kill $prometheus_pid 2>/dev/null || true' EXIT

# ask QUERY: the value of the one series, or nothing.
ask()
{
	curl -s --get --data-urlencode "query=$1" "$server/api/v1/query" |
		python3 -c 'import json, sys; r = json.load(sys.stdin)["data"]["result"]; print(r[0]["value"][1] if len(r) == 1 else "")' 2>/dev/null || true
}
is_up() { [[ $(ask 'count(up == 1)') == 2 ]]; }
expect "Prometheus scrapes both" wait_until 60 is_up

# Each expression of the dashboard is one that Prometheus understands, about metrics that there are.
python3 - "$share/dashboard.json" >"$TMP/expressions" <<'PY'
import json, sys
for panel in json.load(open(sys.argv[1]))["panels"]:
    for target in panel["targets"]:
        print(target["expr"].replace("$__rate_interval", "10s").replace("$job", ".*").replace("$instance", ".*"))
PY
expect_range "expressions of the dashboard" 8 "$(wc -l <"$TMP/expressions")" 100
answers() { [[ $(curl -s --get --data-urlencode "query=count($1)" "$server/api/v1/query") == *'"value":'* ]]; }
while read -r expression; do
	expect "the dashboard's ${expression%%\{*}" wait_until 20 answers "$expression"
done <"$TMP/expressions"

# Keeps growing until somebody notices.
rounds=0
fires() { [[ -n $(ask 'ALERTS{alertname="CprofMemoryLeak", alertstate="firing", job="leaks"}') ]]; }
until fires || ((rounds++ >= 300)); do
	echo "alloc 300 10000" >&"$leaks_in"
	sleep 0.1
done
expect "the alert for leaks fires" fires
expect_equal "not for the steady one" "" "$(ask 'ALERTS{alertname="CprofMemoryLeak", alertstate="firing", job="steady"}')"
expect_equal "no other alert fires" "" "$(ask 'count(ALERTS{alertname!="CprofMemoryLeak", alertstate="firing"})')"
expect_equal "and every scrape was good" 1 "$(ask 'min(min_over_time(up[1m]) or vector(1))')"
kill $prometheus_pid
wait $prometheus_pid || true
echo quit >&"$leaks_in"
echo quit >&"$steady_in"
expect "settles" settle
finish
