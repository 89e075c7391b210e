#!/usr/bin/env bash
# Public suites of tests for file systems, on a mount: pjdfstest, fsx, fio's verification, dbench, fs_mark, postmark, bonnie++ and
# stress-ng's file-system class. The two crates among them are installed below SUITES if they are not in the PATH.
. "$(dirname "$0")/lib.sh"
SUITES=${SUITES:-${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}/suites}
PATH=$SUITES/bin:$PATH:/usr/sbin
for crate in pjdfstest@0.2.2 fsx@0.3.2; do
    command -v "${crate%@*}" >/dev/null || cargo install -q --debug --locked --root "$SUITES" "$crate" || fail "cannot install the crate $crate"
done
need pjdfstest fsx fio dbench fs_mark postmark bonnie++ stress-ng
[ "$(id -u)" = 0 ] || fail "pjdfstest and stress-ng need root"
setup 16G
stop
# pjdfstest acts as other users, too.
chmod 755 "$SCRATCH"

# mount(8) finds the program by this name when pjdfstest mounts anew.
helper=/sbin/mount.fuse.cawfs
[ -e $helper ] || { ln -s "$CAWFS" $helper && made=$helper; }
cleanup_suites() {
    local code=$?
    [ -z "${made:-}" ] || rm -f "$made"
    cleanup $code
}
trap cleanup_suites EXIT
start() { "$CAWFS" mount "$SCRATCH/store" "$M" -o "allow_other,suid,dev,subtype=cawfs" >/dev/null; }
start

# run NAME COMMAND...: what it says is shown only if it fails.
run() {
    local name=$1
    shift
    "$@" >"$SCRATCH/said" 2>&1 || {
        grep -A1 'FAILED$' "$SCRATCH/said" >&2 || tail -40 "$SCRATCH/said" >&2
        fail "$name: $*"
    }
}

# pjdfstest: what changes the mount itself runs alone, as other cases leave files open.
cat >"$SCRATCH/pjdfstest.toml" <<'TOML'
[features]
posix_fallocate = {}
rename_ctime = {}
stat_st_birthtime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.001
allow_remount = false

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
TOML
sed 's/allow_remount = false/allow_remount = true/' "$SCRATCH/pjdfstest.toml" >"$SCRATCH/remount.toml"
mkdir "$SCRATCH/other" "$M/pjdfstest"
run pjdfstest pjdfstest -c "$SCRATCH/pjdfstest.toml" -s "$SCRATCH/other" -p "$M/pjdfstest"
passed=$(grep '^Summary' "$SCRATCH/said")
grep -qE '^Summary: 0 failed, 1[0-9] skipped, 38[0-9] passed' "$SCRATCH/said" || fail "pjdfstest: $passed"
grep -E 'skipped$' "$SCRATCH/said" | grep -vE '(erofs_(named|new_file)|link_count_max) +skipped$' && fail "pjdfstest skipped these"
run pjdfstest pjdfstest -c "$SCRATCH/remount.toml" -s "$SCRATCH/other" -p "$M" erofs
point pjdfstest "${passed#Summary: }; $(grep '^Summary' "$SCRATCH/said" | sed 's/Summary: //') of a mount without changes"

# fsx: all it can do; in whole blocks; without mappings; small files; large ones. Where it aligns, it asks for fallocate of nothing.
weights='close_open=1 invalidate=1 mapread=10 mapwrite=10 read=10 write=10 truncate=5 fsync=1 fdatasync=1 posix_fallocate=1 punch_hole=5 sendfile=2 posix_fadvise=1 copy_file_range=5'
fsx_config() { # LENGTH MAX ALIGN WITHOUT
    printf 'flen = %s\n[opsize]\nmin = 0\nmax = %s\nalign = %s\n[weights]\n' "$1" "$2" "$3"
    tr ' ' '\n' <<<"$weights" | grep -vE "$4" | sed 's/=/ = /'
}
operations=0
while read -r length max align without; do
    for seed in $(seq "$(slice 1 8)"); do
        fsx_config "$length" "$max" "$align" "$without" >"$SCRATCH/fsx.toml"
        run "fsx, seed $seed" fsx -q -f "$SCRATCH/fsx.toml" -N "$(slice 1000 10000)" -S "$((seed + length))" -P "$SCRATCH" "$M/fsx"
        operations=$((operations + $(slice 1000 10000)))
    done
done <<'MODES'
262144 65536 1 none
1048576 131072 4096 posix_fallocate
262144 65536 512 map|invalidate|posix_fallocate
10000 3000 1 none
67108864 1048576 1 none
MODES
point fsx "$operations operations in 5 modes"

jobs=0
for job in psync:0:randrw psync:1:randrw libaio:1:randwrite mmap:0:randrw sync:0:write pvsync2:0:randwrite; do
    IFS=: read -r engine direct pattern <<<"$job"
    for size in 4k-4k 1k-256k; do
        run fio fio --name=job --directory="$M" --ioengine="$engine" --direct="$direct" --rw="$pattern" --bsrange="$size" \
            --size="$(slice 4m 64m)" --verify=crc32c --verify_fatal=1 --verify_state_save=0 --do_verify=1 --iodepth=8 --randseed="$jobs"
        jobs=$((jobs + 1))
    done
done
point fio "$jobs jobs, every block verified"

run dbench dbench -D "$M" -t "$(slice 4 30)" -c /usr/share/dbench/client.txt 2
point dbench "$(grep Throughput "$SCRATCH/said")"
run fs_mark fs_mark -d "$M/fs_mark" -n "$(slice 200 2000)" -s 10240 -t 2 -S 1 -l "$SCRATCH/fs_log"
point fs_mark "$(tail -1 "$SCRATCH/said" | awk '{ print $4 }') files/s, each synced"
printf 'set location %s\nset number %s\nset transactions %s\nrun\nquit\n' "$M" "$(slice 300 3000)" "$(slice 1000 20000)" >"$SCRATCH/postmark"
run postmark postmark "$SCRATCH/postmark"
! grep -qi error "$SCRATCH/said" || fail "postmark: $(grep -i error "$SCRATCH/said")"
point postmark "$(grep 'transactions' "$SCRATCH/said" | tail -1 | xargs)"
run bonnie++ bonnie++ -d "$M" -s "$(slice 16 512)" -r "$(slice 8 256)" -n 1 -u root -f -q
point bonnie++ "ok"

# stress-ng ends with 3 if something could not be had; what may be missing is named here.
missing='bind-mount|binderfs|fiemap|verity'
stressors=$(slice "access chattr chdir chmod copy-file dentry fallocate fcntl fpunch getdent link lockofd mknod open rename symlink utime xattr" "")
if [ -n "$stressors" ]; then
    selected=$(for s in $stressors; do echo "--$s 1"; done)
    # shellcheck disable=SC2086
    stress_ng() { for s in $stressors; do stress-ng "--$s" 1 -t 1 --verify --temp-path "$M" || return; done; }
else
    stress_ng() { stress-ng --class filesystem --seq 1 -t 1 --verify --temp-path "$M" || [ $? = 3 ]; }
fi
run stress-ng stress_ng
! grep -E 'skipping|fail:' "$SCRATCH/said" | grep -vE "$missing" || fail "stress-ng"
point stress-ng "${stressors:+$(wc -w <<<"$stressors") of }the class filesystem, each for a second"

check_store
point "a check of all that is left" "ok"
