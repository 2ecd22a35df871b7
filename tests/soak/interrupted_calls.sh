#!/bin/bash
# SPDX-License-Identifier: MIT
# Calls that no SA_RESTART restarts, many of each, beside threads that compute, with as many CPU samples as there can
# be; and waits of io_uring, where the kernel runs the timers.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"

LIMIT=250
all=(CPROF_CPU_HZ=1000 CPROF_HEAP_RATE=1 CPROF_BLOCK_RATE=1 CPROF_TRACE=flight)
hostile interrupted-calls-many "${all[@]}" "$HOSTILE/interrupted_calls" "${ROUNDS:-200}"
hostile uring-waits-many "${all[@]}" "$VICTIMS/uring_waits" "${WAITS:-2000000}"
finish
