#!/usr/bin/env bash
# The benchmarks at their smallest: they run, their counts make sense, and they leave nothing behind.
. "$(dirname "$0")/lib.sh"
BENCH=$(dirname "$CAWFS")/cawfs-bench
[ -x "$BENCH" ] || fail "there is no cawfs-bench beside $CAWFS: build the whole workspace"
[ -x "$(dirname "$CAWFS")/bench-engine" ] ||
    fail "there is no bench-engine beside $CAWFS: cargo build --manifest-path bench-engine/Cargo.toml --target-dir target"
SCRATCH=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/cawfs-$SCRIPT.XXXXXX")")
M=$SCRATCH/mnt
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
export TMPDIR=$SCRATCH CAWFS
# Those that this machine cannot make are left out, and said to be.
start=$SECONDS
"$BENCH" all --quick --out "$SCRATCH/results" >"$SCRATCH/tables" 2>"$SCRATCH/said" || {
    cat "$SCRATCH/said" >&2
    fail "cawfs-bench failed"
}
point "quick sizes of all workloads" "$((SECONDS - start)) s"
{ grep 'is left out' "$SCRATCH/said" || true; } | while IFS= read -r line; do point "a peer less" "${line#cawfs-bench: }"; done
point "samples" "$(grep -c '"step"' "$SCRATCH/results/results.json")"
containers=
command -v lxc-execute >/dev/null && containers=containers
for plot in dooku-fan dooku-chain dooku-long-fan dooku-long-chain tree vm clones agents baseline engine growth $containers; do
    [ -s "$SCRATCH/results/$plot.svg" ] || fail "there is no plot of $plot"
done
# What is interrupted leaves nothing behind.
"$BENCH" dooku-fan --quick --rounds 1000 --systems cawfs --out "$SCRATCH/results" >/dev/null 2>&1 &
sleep 6
kill -INT $!
wait $! && fail "an interrupted run said that all was well"
grep -q "$SCRATCH" /proc/self/mounts && fail "a mount was left behind"
losetup -a 2>/dev/null | grep -q "$SCRATCH" && fail "a loop device was left behind"
[ -z "$(find "$SCRATCH" -mindepth 1 -maxdepth 1 -name 'cawfs-bench*')" ] || fail "files were left behind"
point "an interrupted run" "leaves nothing behind"
