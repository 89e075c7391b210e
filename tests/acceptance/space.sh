#!/usr/bin/env bash
# What clones cost: 256 MiB in 64 files, small edits in many clones, by df; and that it all comes back.
. "$(dirname "$0")/lib.sh"
need python3
setup 16G
CLONES=$(slice 50 1000)
used() { df --output=used -B1 "$M" | tail -1; }
settled() { "$CAWFS" sync "$M" >/dev/null; used; }
# Once background work has come to rest: nothing changed for 20 s, more than it pauses between two looks; at most four minutes.
at_rest() {
    local before now same=0
    now=$(settled)
    for _ in $(seq 48); do
        before=$now
        sleep 5
        now=$(settled)
        if [ "$before" = "$now" ]; then same=$((same + 1)); else same=0; fi
        [ "$same" -lt 4 ] || break
    done
    echo "$now"
}

mkdir "$M/base"
python3 -c '
import random, sys
for i in range(64):
    open(f"{sys.argv[1]}/{i:02}", "wb").write(random.Random(i).randbytes(4 << 20))' "$M/base"
cat >"$SCRATCH/edit.py" <<'PYTHON'
import os, random, sys
folder, salt = sys.argv[1], int(sys.argv[2])
chance = random.Random(salt)
for i in range(64):
    file = os.open(f"{folder}/{i:02}", os.O_WRONLY)
    os.pwrite(file, chance.randbytes(16), chance.randrange((4 << 20) - 16))
    os.close(file)
PYTHON
base=$(at_rest)
real=$(($(stat -c %b "$SCRATCH/store") * 512))
point "256 MiB in 64 files" "df $((base >> 10)) KiB, the store file $((real >> 10)) KiB"
awk -v a="$base" -v b="$real" 'BEGIN { d = a - b; exit !(d < b * 0.02 && -d < b * 0.02) }' || fail "df and stat differ by more than 2 %"

# cost KIND LIMIT: clones of the first, or each of the one before.
cost() {
    local kind=$1 limit=$2 from=base before after each
    before=$(at_rest)
    for i in $(seq "$CLONES"); do
        "$CAWFS" clone "$M/$from" "$M/$kind-$i"
        python3 "$SCRATCH/edit.py" "$M/$kind-$i" "$i"
        if [ "$kind" = chain ]; then from=chain-$i; fi
    done
    after=$(at_rest)
    each=$(((after - before) / CLONES))
    point "$CLONES clones ($kind), 64 x 16 bytes changed" "$((each >> 10)) KiB each"
    [ "$each" -lt "$limit" ] || fail "a clone of the $kind costs $each bytes, more than $limit"
}
cost fan 32768
cost chain 49152
"$CAWFS" rm "$M"/fan-* "$M"/chain-*
back=$(at_rest)
point "all clones removed" "df $((back >> 10)) KiB, before $((base >> 10)) KiB"
awk -v a="$back" -v b="$base" 'BEGIN { d = a - b; exit !(d < b * 0.01 && -d < b * 0.01) }' || fail "not all space came back"
check_store
point "check finds no leak" "ok"
