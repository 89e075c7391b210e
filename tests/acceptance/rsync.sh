#!/usr/bin/env bash
# rsync -a into the mount, out of it, and between two clones.
. "$(dirname "$0")/lib.sh"
need rsync rustc
setup
source_tree "$(slice 1500 10000)"

nothing_to_do() {
    local changes
    changes=$(rsync -an --modify-window=-1 --checksum --delete --itemize-changes "$1/" "$2/")
    [ -z "$changes" ] || fail "rsync still sees changes from $1 to $2: $(head -3 <<<"$changes")"
}

point "rsync -a in" "$(took rsync -a --modify-window=-1 "$TREE/" "$M/copy/")"
same "$TREE" "$M/copy" times
nothing_to_do "$TREE" "$M/copy"
"$CAWFS" clone "$M/copy" "$M/clone"
nothing_to_do "$M/copy" "$M/clone"
edit "$M/clone" 3
point "rsync -a --delete from an edited clone" "$(took rsync -a --modify-window=-1 --delete "$M/clone/" "$M/copy/")"
same "$M/clone" "$M/copy" times
rsync -a --modify-window=-1 --inplace --no-whole-file "$TREE/" "$M/copy/"
rsync -a --modify-window=-1 --delete "$TREE/" "$M/copy/"
same "$TREE" "$M/copy" times
point "rsync -a --inplace back again" "ok"
point "rsync -a out" "$(took rsync -a --modify-window=-1 "$M/clone/" "$SCRATCH/shadow/clone/")"
same "$M/clone" "$SCRATCH/shadow/clone" times
check_store
nothing_to_do "$SCRATCH/shadow/clone" "$M/clone"
nothing_to_do "$TREE" "$M/copy"
point "after a remount: nothing to do, check" "ok"
