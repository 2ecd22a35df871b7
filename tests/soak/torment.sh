#!/bin/bash
# SPDX-License-Identifier: MIT
# The collector killed and stopped, at moments that differ each time.
set -euo pipefail
ROUNDS=${ROUNDS:-60} exec bash "$(dirname "$0")/../integration/test_hostile_collector.sh"
