#!/usr/bin/env bash
# Two programs at once in different clones of one tree, and clones taken of both meanwhile.
. "$(dirname "$0")/lib.sh"
need git rustc cmp
setup
source_tree "$(slice 600 4000)"
ROUNDS=$(slice 3 20)
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
cp -a "$TREE" "$M/base"
"$CAWFS" clone "$M/base" "$M/one" "$M/two"

git_work() {
    git init -q -b main "$M/one"
    for i in $(seq "$ROUNDS"); do
        git -C "$M/one" add -A
        git -C "$M/one" commit -q --allow-empty -m "round $i"
        date >"$M/one/stamp-$i"
    done
    git -C "$M/one" gc -q --prune=now
    git -C "$M/one" fsck --full --no-progress
}
file_work() {
    for i in $(seq "$ROUNDS"); do
        tar -cf "$M/two/archive-$i.tar" -C "$TREE" .
        mkdir "$M/two/out-$i"
        tar -xf "$M/two/archive-$i.tar" -C "$M/two/out-$i"
        diff -r --no-dereference "$TREE" "$M/two/out-$i" >/dev/null
        rm -rf "$M/two/out-$i"
    done
}
both() {
    git_work & local git=$!
    file_work & local files=$!
    for i in $(seq "$ROUNDS"); do
        "$CAWFS" clone "$M/one" "$M/one-$i"
        "$CAWFS" clone "$M/two" "$M/two-$i"
    done
    wait "$git" || fail "git in one clone failed"
    wait "$files" || fail "tar in the other clone failed"
}
point "git in one clone, tar in another" "$(took both)"
same "$TREE" "$M/base" times
for i in $(seq "$ROUNDS"); do
    cmp "$M/two/archive-$i.tar" <(tar -cf - -C "$TREE" .) || fail "archive $i differs"
done
check_store
same "$TREE" "$M/base" times
git -C "$M/one" fsck --full --no-progress
point "original untouched, after a remount too; check" "ok"
