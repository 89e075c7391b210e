#!/usr/bin/env bash
# git inside the mount: clone, status, commit, gc, fsck; in a clone of the working tree as well.
. "$(dirname "$0")/lib.sh"
need git rustc
setup
source_tree "$(slice 800 6000)"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

# A real history on another file system: the tree in some commits.
ORIGIN=$SCRATCH/origin
git init -q -b main "$ORIGIN"
commit() { git -C "$1" add -A && git -C "$1" commit -q -m "$2"; }
cp -r --no-dereference "$TREE/." "$ORIGIN" && commit "$ORIGIN" start
for i in $(seq "$(slice 5 30)"); do edit "$ORIGIN" "$i" && commit "$ORIGIN" "edit $i"; done
HEAD=$(git -C "$ORIGIN" rev-parse HEAD)

quiet_status() { [ -z "$(git -C "$1" status --porcelain)" ] || fail "git status in $1 is not clean"; }

# --no-local: through the pack protocol; links.sh has the other way.
point "git clone" "$(took git clone -q --no-local "$ORIGIN" "$M/repo")"
[ "$(git -C "$M/repo" rev-parse HEAD)" = "$HEAD" ] || fail "wrong head"
point "git status" "$(took quiet_status "$M/repo")"
edit "$M/repo" 99
commit "$M/repo" "edit in the mount"
point "git gc" "$(took git -C "$M/repo" gc -q --prune=now)"
point "git fsck" "$(took git -C "$M/repo" fsck --full --strict --no-progress)"

"$CAWFS" clone "$M/repo" "$M/other"
quiet_status "$M/other"
edit "$M/other" 7
commit "$M/other" "edit in the clone"
git -C "$M/other" checkout -q "$HEAD"
git -C "$M/other" gc -q --prune=now
git -C "$M/other" fsck --full --no-progress
quiet_status "$M/repo"
point "in a clone of it: commit, checkout, gc, fsck" "ok"
git -C "$M/repo" worktree add -q "$M/worktree" "$HEAD"
quiet_status "$M/worktree"
git -C "$M/other" push -q "$M/repo" HEAD:refs/heads/pushed
point "worktree, push between the two" "ok"

check_store
quiet_status "$M/repo"
git -C "$M/repo" fsck --full --no-progress
git -C "$M/other" fsck --full --no-progress
point "after a remount: status, fsck, check" "ok"
