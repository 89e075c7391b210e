#!/usr/bin/env bash
# The same random operations on cawfs and on ext4 and tmpfs: results, errors, trees and links are compared (twin/twin.py).
# CAWFS_SEED and CAWFS_OPERATIONS choose the seed and how many operations; CAWFS_PEER=ext4 or tmpfs only that one.
. "$(dirname "$0")/lib.sh"
need python3 cp losetup mkfs.ext4
here=$(realpath "$(dirname "$0")")
setup
peer=$SCRATCH/shadow
peers=${CAWFS_PEER:-ext4 tmpfs}
image=
# The image of ext4 is in memory: what is compared is what programs see.
memory=$SCRATCH/memory
mkdir "$memory"
mount -t tmpfs -o size=3G none "$memory"
unpeer() {
    mountpoint -q "$peer" && umount "$peer"
    mountpoint -q "$memory" && umount "$memory"
    return 0
}
trap 'code=$?; set +e; unpeer; cleanup $code' EXIT

for kind in $peers; do
    if [ "$kind" = ext4 ]; then
        image=$memory/ext4
        truncate -s 2G "$image"
        mkfs.ext4 -q -m 0 -I 1024 -O ^has_journal "$image"
        mount -o loop,user_xattr,acl "$image" "$peer"
    else
        mount -t tmpfs -o size=2G none "$peer"
    fi
    operations=${CAWFS_OPERATIONS:-$(slice 8000 500000)}
    result=$(python3 "$here/twin/twin.py" --cawfs "$CAWFS" --store "$SCRATCH/store" --mount "$M" --peer "$peer" --kind "$kind" \
        --seed "${CAWFS_SEED:-$(slice 1 1000)}" --operations "$operations" ${TWIN_OPTIONS:-} | tee >(cat >&2)) || fail "cawfs and $kind differ"
    point "operations against $kind" "$result"
    umount "$peer"
done
check_store
point "cawfs check" "no errors"
