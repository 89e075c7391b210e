#!/usr/bin/env bash
# All acceptance scripts; options go to each. A slice of what measures nothing runs two at a time, as much of it is waiting.
set -euo pipefail
here=$(dirname "$0")
together="suites links maps twin linear identity limits tree git full kill cargo sqlite rsync two"
alone="space latency memory bench"
lanes=2
for argument in "$@"; do
    [ "$argument" != --full ] || lanes=1
done
export here
failed=0
run() { "$here/$0.sh" "$@" || { echo "acceptance failed: $0" >&2; exit 1; }; }
export -f run
for script in $together; do echo "$script"; done | xargs -P $lanes -I{} bash -c 'run "$@"' {} "$@" || failed=1
for script in $alone; do
    "$here/$script.sh" "$@" || { echo "acceptance failed: $script" >&2; failed=1; }
done
[ $failed = 0 ] || exit 1
echo "acceptance: all passed"
