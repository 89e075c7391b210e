# Shared by the acceptance scripts: a store and its mount in a temporary folder, and one line for each point.
#
#   $SCRATCH/store   the store            $SCRATCH/shadow   an ordinary folder to compare with
#   $SCRATCH/mnt     where it is mounted  $M                the same, short
#
# Whatever happens, nothing is left behind: no mount, no daemon, no file.
set -euo pipefail

CAWFS=$(realpath "${CAWFS:?set CAWFS to the path of the cawfs program}")
SCRIPT=$(basename "$0" .sh)
SLICE=1
for argument in "$@"; do
    case $argument in
        --full) SLICE= ;;
        *) echo "usage: CAWFS=path $0 [--full]" >&2; exit 2 ;;
    esac
done

# point NAME RESULT...: one thing that was shown, with what was measured.
point() {
    local name=$1
    shift
    printf '%-10s %-46s %s\n' "$SCRIPT" "$name" "$*"
}

fail() {
    printf '%-10s FAILED: %s\n' "$SCRIPT" "$*" >&2
    exit 1
}

# need PROGRAM...: refuses early, in one line, what the machine lacks.
need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "the program $program is missing on this machine"
    done
    [ -r /dev/fuse ] && [ -w /dev/fuse ] || fail "/dev/fuse is missing or not accessible"
}

# slice SMALL FULL: the number for this run.
slice() {
    if [ -n "$SLICE" ]; then echo "$1"; else echo "$2"; fi
}

# took COMMAND...: runs it and prints the seconds it took; its own output goes to stderr.
took() {
    local start=$EPOCHREALTIME
    "$@" >&2
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f s", b - a }'
}

is_mounted() {
    grep -qF " $M " /proc/self/mounts
}

# setup [SIZE]: a fresh store, mounted.
setup() {
    SCRATCH=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/cawfs-$SCRIPT.XXXXXX")")
    trap cleanup EXIT
    trap 'exit 130' INT TERM HUP
    M=$SCRATCH/mnt
    mkdir "$M" "$SCRATCH/shadow"
    "$CAWFS" mkfs "$SCRATCH/store" --size "${1:-8G}" >/dev/null
    start
}

start() {
    "$CAWFS" mount "$SCRATCH/store" "$M" >/dev/null
}

stop() {
    "$CAWFS" umount "$M" >/dev/null
}

remount() {
    stop
    start
}

# check_store: unmounts, checks, mounts again.
check_store() {
    stop
    "$CAWFS" check "$SCRATCH/store" >"$SCRATCH/check.out" 2>&1 || {
        cat "$SCRATCH/check.out" >&2
        fail "cawfs check found errors"
    }
    start
}

# cleanup [CODE]: ends the script with this code, or that of the last command.
cleanup() {
    local code=${1:-$?}
    set +e
    cd /
    jobs -p | xargs -r kill -9 2>/dev/null
    if is_mounted; then
        "$CAWFS" umount "$M" >/dev/null 2>&1
        is_mounted && { umount -l "$M" 2>/dev/null || fusermount3 -uz "$M"; }
    fi
    wait 2>/dev/null
    rm -rf --one-file-system "$SCRATCH"
    exit $code
}

# listing DIR: every object with all that must be equal in a copy, times too if a second argument is given.
listing() {
    local times=${2:+%T@}
    (cd "$1" && find . -type d -printf "%p %y %m %U:%G $times\n" -o -printf "%p %y %m %U:%G %s %l $times\n" | LC_ALL=C sort)
}

# same A B [times]: content and metadata of two trees are equal.
same() {
    diff -r --no-dereference "$1" "$2" >"$SCRATCH/diff.out" 2>&1 || {
        head -20 "$SCRATCH/diff.out" >&2
        fail "$1 and $2 differ"
    }
    diff <(listing "$1" "${3:-}") <(listing "$2" "${3:-}") >"$SCRATCH/diff.out" || {
        head -20 "$SCRATCH/diff.out" >&2
        fail "metadata of $1 and $2 differ"
    }
}

# source_tree FILES: a folder $TREE of about so many real files ($TREE itself if the environment names one).
source_tree() {
    if [ -n "${TREE:-}" ]; then
        return
    fi
    TREE=$SCRATCH/tree
    mkdir "$TREE"
    local roots=() candidate
    for candidate in "$(rustc --print sysroot 2>/dev/null)/share/doc" /usr/share /usr/include /usr/lib/python3*; do
        [ -d "$candidate" ] && roots+=("$candidate")
    done
    # "find" may not see all of a system folder, and "head" ends it early: neither is a failure.
    { find "${roots[@]}" -xdev \( -type f -size -2048k -o -type l \) -readable 2>/dev/null || true; } |
        { head -n "$1" || true; } | tar --format=posix -cf - --files-from=- --absolute-names --transform 's,^/,,' 2>/dev/null |
        tar -xf - -C "$TREE"
    [ "$(find "$TREE" | wc -l)" -gt "$(($1 / 2))" ] || fail "no tree of $1 files was found here: set TREE"
}

# edit DIR SALT: the same changes for the same tree and salt: appends, patches, additions, removals, renames, modes.
edit() {
    local dir=$1 salt=$2 file number=0
    (cd "$dir" && find . -name .git -prune -o -type f -print | LC_ALL=C sort | awk -v s="$salt" '(NR + s) % 37 == 0') >"$SCRATCH/edits"
    while IFS= read -r file; do
        number=$((number + 1))
        file=$dir/$file
        case $((number % 7)) in
            0) echo "appended $salt" >>"$file" ;;
            1) printf 'patch-%s' "$salt" | dd of="$file" bs=1 seek=100 conv=notrunc status=none ;;
            2) rm -f "$file" ;;
            3) mv "$file" "$file.renamed-$salt" ;;
            4) mkdir -p "$file.d/deep" && echo "$salt" >"$file.d/deep/new" && ln -sfn ../new "$file.d/deep/link" ;;
            5) chmod 600 "$file" ;;
            6) truncate -s 5000 "$file" ;;
        esac
    done <"$SCRATCH/edits"
    mkdir -p "$dir/of-$salt" && seq "$salt" "$((salt + 3000))" >"$dir/of-$salt/numbers"
}
