#!/bin/bash
# SPDX-License-Identifier: MIT
# Many more stacks, walked from inside and from outside.
set -euo pipefail
SAMPLES=${SAMPLES:-10000} LIMIT=600 exec bash "$(dirname "$0")/../integration/test_unwind_oracle.sh"
