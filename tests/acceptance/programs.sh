#!/usr/bin/env bash
# The daemon is killed with -9 while SQLite (all four journal modes), git and rsync work: after the mount every acknowledged
# commit is there, integrity_check and fsck are content, synced trees are whole. CAWFS_SECONDS is the time for it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/rounds.sh"
need python3 git rsync
setup
stop
KINDS="sqlite-delete sqlite-truncate sqlite-persist sqlite-wal git trees-rsync"
rounds "${CAWFS_SECONDS:-$(slice 20 600)}" 1 "$(slice 3 12)" $KINDS
findings $KINDS
point "$kills times kill -9, $ends other ends, checks" "all that was acknowledged is there (seed $SEED)"
