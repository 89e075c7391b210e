#!/usr/bin/env bash
# The daemon's memory under load stays within its budget, and nobody waits long for a lock or the throttle of ours.
# WRITE_MIB, FILES, CLONES, WALKED choose other numbers; KEEP_STATS names a file for the daemon's statistics at the end.
. "$(dirname "$0")/lib.sh"
need python3
setup 40G
stop
BUDGET=cache=256M,memtable=64M
LIMIT=600

# Foreground, so that the daemon's process is known.
"$CAWFS" mount --foreground -o "$BUDGET" "$SCRATCH/store" "$M" >"$SCRATCH/daemon.out" 2>&1 &
daemon=$!
for _ in $(seq 200); do is_mounted && break || sleep 0.05; done
is_mounted || { cat "$SCRATCH/daemon.out" >&2; fail "no mount after ten seconds"; }

export CAWFS STATS=$SCRATCH/stats
python3 "$(dirname "$0")/memory.py" "$M" "$daemon" "$LIMIT" \
    "${WRITE_MIB:-$(slice 512 20480)}" "${FILES:-$(slice 5000 1000000)}" "${CLONES:-$(slice 200 10000)}" \
    "${WALKED:-$(slice 25000 10000000)}" >"$SCRATCH/phases" || { cat "$SCRATCH/phases"; fail "memory ($BUDGET)"; }
while IFS=$'\t' read -r name measured; do point "$name" "$measured"; done <"$SCRATCH/phases"
[ -z "${KEEP_STATS:-}" ] || cp "$STATS" "$KEEP_STATS"
"$CAWFS" umount "$M" >/dev/null
wait "$daemon" || fail "the daemon ended with an error"
