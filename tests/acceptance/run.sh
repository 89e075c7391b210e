#!/usr/bin/env bash
# All acceptance scripts; options go to each. A slice of what measures no times runs three at a time: `space` mostly waits for background work to come to rest,
# and of the others, two at a time, much is waiting too.
set -euo pipefail
here=$(dirname "$0")
together="space suites links maps twin linear identity limits tree git full kill cargo sqlite rsync two"
alone="latency memory bench"
lanes=3
for argument in "$@"; do
    [ "$argument" != --full ] || lanes=1
done
export here
failed=0
# run SCRIPT OPTION...: one of them, and how long it took.
run() {
    local script=$1 start=$SECONDS
    shift
    "$here/$script.sh" "$@" || { echo "acceptance failed: $script" >&2; return 1; }
    printf '%-10s took %d s\n' "$script" $((SECONDS - start))
}
export -f run
for script in $together; do echo "$script"; done | xargs -P $lanes -I{} bash -c 'run "$@"' run {} "$@" || failed=1
for script in $alone; do
    run "$script" "$@" || failed=1
done
[ $failed = 0 ] || exit 1
echo "acceptance: all passed"
