#!/bin/bash
# SPDX-License-Identifier: MIT
# More kills while a whole run is traced, and a program that is without a collector for longer than there is room for.
# timeout: 900
KILLS=40 PAUSE=50 exec "$(dirname "$0")/../integration/test_trace_kill.sh"
