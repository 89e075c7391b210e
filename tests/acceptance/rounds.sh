# Rounds of workers (tests/acceptance/workers) in a mount whose daemon dies: sourced after lib.sh.
#
#   mount ─► verify what was acknowledged ─► work for a while ─► kill -9, or a signal, or umount ─► check ─► mount ...
#
# CAWFS_SEED chooses moments and contents; CAWFS_DUTY the part of the time in which each worker works.
SEED=${CAWFS_SEED:-$RANDOM}
RANDOM=$SEED
WORKERS=$(dirname "$(realpath "$0")")/workers
WORKING=()
export PYTHONDONTWRITEBYTECODE=1
kills=0 ends=0

# verify_all KIND...: each must find what was acknowledged; says how far each came.
verify_all() {
    local kind
    for kind in "$@"; do
        python3 "$WORKERS" "$kind" verify "$M" "$SCRATCH/outside" "$CAWFS" "$SEED" >"$SCRATCH/found-$kind" 2>"$SCRATCH/wrong-$kind" || {
            tail -5 "$SCRATCH/wrong-$kind" >&2
            preserve
            fail "$kind: what was acknowledged is not there (seed $SEED, after $kills kills and $ends ends)"
        }
    done
}

# preserve: before a failure is told, everything stops; what it should be looked at with is kept in the folder CAWFS_KEEP, if that
# is set.
preserve() {
    dismiss
    [ -n "${CAWFS_KEEP:-}" ] || return 0
    ! is_mounted || "$CAWFS" umount "$M" || true
    mkdir -p "$CAWFS_KEEP"
    cp -r --sparse=always "$SCRATCH/store" "$SCRATCH/outside" "$SCRATCH/daemon.log" "$CAWFS_KEEP" || true
}

# work SECONDS KIND...: lets them work at once. Whoever stops earlier, while the mount is alive, has met an error.
work() {
    local seconds=$1 kind pid
    shift
    WORKING=()
    for kind in "$@"; do
        # A shell between, which keeps it to itself how the worker dies: who has mapped a file of a dead mount gets SIGBUS.
        setsid bash -c 'python3 "$@"; exit $?' worker "$WORKERS" "$kind" work "$M" "$SCRATCH/outside" "$CAWFS" "$SEED" \
            >"$SCRATCH/out-$kind" 2>&1 &
        WORKING+=("$!:$kind")
    done
    sleep "$seconds"
    for pid in "${WORKING[@]}"; do
        kill -0 "${pid%%:*}" 2>/dev/null || {
            tail -5 "$SCRATCH/out-${pid#*:}" >&2
            preserve
            fail "${pid#*:} stopped while the mount was alive (seed $SEED, after $kills kills and $ends ends)"
        }
    done
}

# dismiss: the workers end, with all that they started.
dismiss() {
    local pid
    for pid in "${WORKING[@]}"; do
        pid=${pid%%:*}
        kill -9 -- "-$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    WORKING=()
}

begin_daemon() {
    CAWFS_LOG=info "$CAWFS" mount "$SCRATCH/store" "$M" -o "log=$SCRATCH/daemon.log" >/dev/null
    DAEMON=$("$CAWFS" stats --json "$M" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')
}

# gone PID: waits until a process that is not our child has ended.
gone() {
    for _ in $(seq 1200); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.05
    done
    fail "the daemon does not end (seed $SEED)"
}

# end_daemon HOW: kill, term or umount.
end_daemon() {
    case $1 in
        kill)
            kill -9 "$DAEMON"
            # Killed while the kernel writes pages for it, it cannot end, and who touches the mount waits: the command ends that.
            "$CAWFS" umount "$M" 2>/dev/null
            gone "$DAEMON"
            dismiss
            kills=$((kills + 1))
            ;;
        term)
            kill -TERM "$DAEMON"
            sleep 0.2
            dismiss
            gone "$DAEMON"
            ends=$((ends + 1))
            ;;
        umount)
            dismiss
            until "$CAWFS" umount "$M" 2>"$SCRATCH/umount.out"; do
                grep -q "in use" "$SCRATCH/umount.out" || { cat "$SCRATCH/umount.out" >&2; fail "umount"; }
                sleep 0.1
            done
            ends=$((ends + 1))
            ;;
    esac
    is_mounted && fail "still mounted after $1"
    ! grep -i "panic" "$SCRATCH/daemon.log" >&2 || fail "the daemon panicked (seed $SEED)"
}

# checked: the store as the daemon left it is in order.
checked() {
    "$CAWFS" check "$SCRATCH/store" >"$SCRATCH/check.out" 2>&1 || {
        cat "$SCRATCH/check.out" >&2
        preserve
        fail "check (seed $SEED, after $kills kills and $ends ends)"
    }
}

# rounds SECONDS LEAST MOST KIND...: rounds of LEAST to MOST seconds until the time is over; three of four end by kill -9.
rounds() {
    local until=$((SECONDS + $1)) least=$2 most=$3 how
    shift 3
    mkdir -p "$SCRATCH/outside"
    : >"$SCRATCH/daemon.log"
    while [ "$SECONDS" -lt "$until" ] || [ $((kills + ends)) -lt 2 ]; do
        begin_daemon
        verify_all "$@"
        work "$((least + RANDOM % (most - least + 1))).$((RANDOM % 10))" "$@"
        how=kill
        [ $((RANDOM % 4)) != 0 ] || how=$([ $((RANDOM % 2)) = 0 ] && echo term || echo umount)
        end_daemon "$how"
        [ $((RANDOM % 2)) = 0 ] || checked
        [ $((kills + ends)) != 1 ] || cp --sparse=always "$SCRATCH/store" "$SCRATCH/early"
    done
    checked
    begin_daemon
    verify_all "$@"
    end_daemon umount
    checked
    teeth "$@"
}

# teeth: with the store as it was after the first round, every worker must miss what was acknowledged later.
teeth() {
    local kind
    mv "$SCRATCH/early" "$SCRATCH/store"
    begin_daemon
    for kind in "$@"; do
        # Clones are told by their names alone, which an old store shows too.
        [ "$kind" = clones ] || ! python3 "$WORKERS" "$kind" verify "$M" "$SCRATCH/outside" "$CAWFS" "$SEED" >"$SCRATCH/teeth" 2>&1 ||
            fail "$kind does not miss what an old store lacks: $(cat "$SCRATCH/teeth") (seed $SEED)"
    done
    end_daemon umount
}

# findings KIND...: one line for each worker.
findings() {
    local kind
    for kind in "$@"; do
        point "$kind" "$(cut -d' ' -f2- "$SCRATCH/found-$kind")"
    done
}
