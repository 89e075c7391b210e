#!/usr/bin/env bash
# Many programs at once in one mount, for a long time: SQLite, git, rsync, tar, cp, builds, random operations on files, clones
# of all of it. The daemon is killed, told to end, or unmounted every few minutes; then the store is checked, mounted
# again, and every worker verifies what was acknowledged. CAWFS_SECONDS is the time for it, CAWFS_DUTY the load.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/rounds.sh"
need python3 git rsync tar cc fallocate
setup
stop
KINDS="sqlite-delete sqlite-truncate sqlite-persist sqlite-wal git trees-rsync trees-tar trees-cp builds files clones"
rounds "${CAWFS_SECONDS:-$(slice 40 3600)}" "$(slice 6 90)" "$(slice 12 210)" $KINDS
findings $KINDS
point "$kills times kill -9, $ends other ends, checks" "the expected trees (seed $SEED)"
