#!/usr/bin/env bash
# A big real tree, copied in by cp and by tar, cloned, edited in clones and original, against a shadow copy.
. "$(dirname "$0")/lib.sh"
need tar diff find rustc
setup 16G
source_tree "$(slice 3000 32000)"
CLONES=$(slice 10 100)
files=$(find "$TREE" -type f | wc -l)

point "cp -a of $files files" "$(took cp -a "$TREE" "$M/cp")"
mkdir "$M/tar"
unpack() { tar --format=posix -cf - -C "$TREE" . | tar -xf - -C "$M/tar"; }
point "tar x" "$(took unpack)"
same "$TREE" "$M/cp" times
same "$TREE" "$M/tar" times
point "no difference" "cp and tar"
remount
same "$TREE" "$M/cp" times
same "$TREE" "$M/tar" times
point "no difference after a remount" "cp and tar"

clones() { for i in $(seq "$CLONES"); do "$CAWFS" clone "$M/cp" "$M/clone-$i"; done; }
point "$CLONES clones, a process each" "$(took clones)"
for i in 1 $((CLONES / 2)) "$CLONES"; do same "$TREE" "$M/clone-$i" times; done
point "no difference in sampled clones" "1, $((CLONES / 2)), $CLONES"

# Three versions and the original go their own ways; the shadow goes with them.
cp -a "$TREE" "$SCRATCH/shadow/cp"
edit "$M/cp" 1
edit "$SCRATCH/shadow/cp" 1
same "$SCRATCH/shadow/cp" "$M/cp"
for i in 1 2 "$CLONES"; do
    cp -a "$TREE" "$SCRATCH/shadow/clone"
    edit "$M/clone-$i" "$((i + 10))"
    edit "$SCRATCH/shadow/clone" "$((i + 10))"
    same "$SCRATCH/shadow/clone" "$M/clone-$i"
    rm -rf "$SCRATCH/shadow/clone"
done
same "$TREE" "$M/clone-3" times
point "edited versions are what they should be" "original, 3 clones; an untouched one is untouched"

"$CAWFS" clone "$M/clone-1" "$M/clone-of-clone"
same "$M/clone-1" "$M/clone-of-clone"
check_store
same "$SCRATCH/shadow/cp" "$M/cp"
same "$TREE" "$M/clone-3" times
same "$M/clone-1" "$M/clone-of-clone"
point "so after a remount; check is clean" "ok"

removed() { "$CAWFS" rm "$M"/clone-*; }
point "removal of all clones" "$(took removed)"
[ "$(ls "$M")" = "$(printf 'cp\ntar')" ] || fail "something stayed: $(ls "$M")"
check_store
point "check is clean after the removal" "ok"
