#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that are killed, at moments that differ each time.
set -euo pipefail
KILLS=${KILLS:-400} exec bash "$(dirname "$0")/../integration/test_kill.sh"
