#!/usr/bin/env bash
# Processes race for the same names of the same directories, with clones and removals of them, and what each saw must have an
# order: see linear.py. Nobody may hang. CAWFS_SEED chooses the seed.
. "$(dirname "$0")/lib.sh"
need python3
here=$(realpath "$(dirname "$0")")
setup
for workers in 3 6; do
    result=$(python3 "$here/linear.py" "$M" --seed "${CAWFS_SEED:-$(slice 1 "$RANDOM")}" --workers $workers --seconds "$(slice 3 30)" --rounds "$(slice 2 10)") \
        || fail "$workers processes: no order"
    point "linearizable, $workers processes" "$result"
done
check_store
point "cawfs check" "no errors"
