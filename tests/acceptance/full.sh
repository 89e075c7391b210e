#!/usr/bin/env bash
# Full disks: a store at its limit of size, one on a file system that is full, and with --full one on a block device. Again
# and again it is filled to the last byte, cloned, its clones edited, and all of it removed at 100 %.
. "$(dirname "$0")/lib.sh"
need python3
CYCLES=$(slice 3 20)
setup 192M

cat >"$SCRATCH/fill.py" <<'PYTHON'
"""fill.py DIR SEED: writes files of random bytes until there is no room; what was synced before must stay. Says how many."""
import errno, os, random, sys
folder, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)
synced, number = [], 0
os.makedirs(folder)
try:
    while True:
        data = chance.randbytes(chance.choice([700, 5_000, 90_000, 1 << 20]))
        name = f"{folder}/{number:06}"
        with open(name, "wb") as file:
            file.write(data)
            file.flush()
            if number % 8 == 0:
                os.fsync(file.fileno())
                synced.append((name, hash(data)))
        number += 1
except OSError as e:
    if e.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise
for name, known in synced:
    with open(name, "rb") as file:
        assert hash(file.read()) == known, name
print(number)
PYTHON
cat >"$SCRATCH/edit.py" <<'PYTHON'
"""edit.py DIR: overwrites bytes of files until there is no room, or all are changed. Says how many."""
import errno, os, sys
done = 0
try:
    for name in sorted(os.listdir(sys.argv[1])):
        with open(f"{sys.argv[1]}/{name}", "r+b", buffering=0) as file:
            file.write(b"edited")
        done += 1
except OSError as e:
    if e.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise
print(done)
PYTHON

avail() { df --output=avail -B1 "$M" | tail -1; }
used() { df --output=used -B1 "$M" | tail -1; }
# settled BYTES: waits until at least so much is free, for what was removed is given back in the background.
settled() {
    for _ in $(seq 120); do
        "$CAWFS" sync "$M" >/dev/null
        [ "$(avail)" -lt "$1" ] || return 0
        sleep 0.5
    done
    fail "$WHERE: $(avail) bytes are free where $1 should be"
}

# honest: what df says is in use is what the store occupies, within 1 % of all there is, once what was freed is given back.
honest() {
    local said occupied all
    [ -f "$SCRATCH/store" ] || return 0
    all=$(df --output=size -B1 "$M" | tail -1)
    for _ in $(seq 60); do
        "$CAWFS" sync "$M" >/dev/null || fail "$WHERE: sync"
        said=$(used) occupied=$(($(stat -Lc '%b' "$SCRATCH/store") * 512))
        [ $((said > occupied ? said - occupied : occupied - said)) -gt $((all / 100)) ] || return 0
        sleep 0.5
    done
    fail "$WHERE: df says $said bytes are used, the store occupies $occupied"
}

# cycle NUMBER
cycle() {
    local files edited
    files=$(python3 "$SCRATCH/fill.py" "$M/data" "$1") || fail "$WHERE: filling"
    "$CAWFS" clone "$M/data" "$M/clone" 2>"$SCRATCH/said" || grep -qi "space" "$SCRATCH/said" || fail "$WHERE: $(cat "$SCRATCH/said")"
    edited=0
    "$CAWFS" sync "$M" >/dev/null || fail "$WHERE: sync at 100 %"
    honest
    [ ! -d "$M/clone" ] || edited=$(python3 "$SCRATCH/edit.py" "$M/clone") || fail "$WHERE: editing a clone"
    "$CAWFS" stats "$M" >/dev/null || fail "$WHERE: the mount is not alive"
    # At 100 %: a file goes, one shrinks, a tree goes, and then there is room again.
    rm "$M/data/000000" || fail "$WHERE: rm at 100 %"
    truncate -s 10 "$M/data/000001" || fail "$WHERE: truncate at 100 %"
    "$CAWFS" sync "$M" >/dev/null || fail "$WHERE: sync of what was removed at 100 %"
    [ ! -d "$M/clone" ] || "$CAWFS" rm "$M/clone" || fail "$WHERE: cawfs rm of a clone at 100 %"
    "$CAWFS" rm "$M/data" || fail "$WHERE: cawfs rm at 100 %"
    FILES=$files EDITED=$edited
}

# cycles WHERE: on the store that is mounted.
cycles() {
    WHERE=$1
    local before first after
    settled 1
    before=$(avail)
    for i in $(seq "$CYCLES"); do
        cycle "$i"
        settled $((before - before / 100))
        honest
        [ "$i" != 1 ] || first=$FILES
    done
    after=$(avail)
    [ "$FILES" -ge $((first * 8 / 10)) ] || fail "$WHERE: $first files in the first cycle, $FILES in the last"
    point "$CYCLES cycles, $WHERE" "$first files first, $FILES last, $EDITED edited in its clone; free $((before >> 10)), then $((after >> 10)) KiB"
    check_store
}

python3 - "$M" <<'PYTHON' || fail "fallocate"
import errno, os, sys
file = os.open(sys.argv[1] + "/file", os.O_CREAT | os.O_RDWR)
os.posix_fallocate(file, 0, 8 << 20)
try:
    os.posix_fallocate(file, 0, 1 << 40)
    raise SystemExit("more was allocated than there is")
except OSError as e:
    assert e.errno == errno.ENOSPC, e
os.unlink(sys.argv[1] + "/file")
PYTHON
cycles "limit of size"
stop

# What lies below is taken down with the rest, also after a failure.
below=$SCRATCH/below device=
cleanup_below() {
    local code=$?
    set +e
    ! is_mounted || "$CAWFS" umount "$M" >/dev/null 2>&1 || true
    [ -z "$device" ] || losetup -d "$device" || true
    ! grep -qF " $below " /proc/self/mounts || umount -l "$below" || true
    cleanup $code
}
trap cleanup_below EXIT
mkdir "$below"
rm "$SCRATCH/store"

mount -t tmpfs -o size=192M cawfs-full "$below"
"$CAWFS" mkfs "$below/store" --size 4G >/dev/null
ln -s "$below/store" "$SCRATCH/store"
start
cycles "file system below"
stop
rm "$SCRATCH/store"
umount "$below"
[ -z "$SLICE" ] || exit 0

need losetup mkfs.ext4
truncate -s 208M "$SCRATCH/image"
device=$(losetup --show -f "$SCRATCH/image")
mkfs.ext4 -q "$device"
mount "$device" "$below"
"$CAWFS" mkfs "$below/store" --size 4G >/dev/null
ln -s "$below/store" "$SCRATCH/store"
start
cycles "ext4 below"
stop
rm "$SCRATCH/store"
umount "$below"

# refuses WHAT: this lies on the device, and is not overwritten unasked.
refuses() {
    local code=0 said
    said=$("$CAWFS" mkfs "$device" 2>&1) || code=$?
    [[ $code == 1 && $said == *"$1 on it"* ]] || fail "mkfs on a device with $1: exit code $code, $said"
}
refuses "an ext2, ext3 or ext4 file system"
mount "$device" "$below"
umount "$below"

"$CAWFS" mkfs "$device" --force >/dev/null
refuses "a cawfs store"
ln -s "$device" "$SCRATCH/store"
start
cycles "block device"
stop
