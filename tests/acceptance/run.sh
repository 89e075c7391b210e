#!/usr/bin/env bash
# All acceptance scripts, one after the other; options go to each.
set -euo pipefail
here=$(dirname "$0")
failed=
for script in tree links identity git cargo sqlite rsync two kill full space latency memory suites bench; do
    "$here/$script.sh" "$@" || failed="$failed $script"
done
[ -z "$failed" ] || { echo "acceptance failed:$failed" >&2; exit 1; }
echo "acceptance: all passed"
