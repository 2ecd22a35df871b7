#!/bin/bash
# SPDX-License-Identifier: MIT
# Traces of servers, half a minute of load each.
# timeout: 900
SPAN=30 exec "$(dirname "$0")/../integration/test_trace_real.sh"
