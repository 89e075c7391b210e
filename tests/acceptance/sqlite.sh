#!/usr/bin/env bash
# SQLite inside the mount: all journal modes, two connections, clones taken between and in the middle of transactions.
. "$(dirname "$0")/lib.sh"
need python3
setup

cat >"$SCRATCH/work.py" <<'PYTHON'
import random, sqlite3, subprocess, sys
mode, folder, cawfs, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
chance = random.Random(mode)

def opened(path):
    db = sqlite3.connect(path, timeout=20, isolation_level=None)
    assert db.execute(f"pragma journal_mode={mode}").fetchone()[0].upper() == mode, mode
    db.execute("pragma synchronous=normal")
    return db

def verify(path, expected, what):
    db = sqlite3.connect(path, timeout=20)
    assert db.execute("pragma integrity_check").fetchone()[0] == "ok", what
    assert dict(db.execute("select k, v from t")) == expected, f"{what}: rows differ"
    db.close()

db = opened(f"{folder}/a.db")
db.execute("create table t (k integer primary key, v blob)")
db.execute("create index i on t (v)")
other, rows = opened(f"{folder}/a.db"), {}
for turn in range(rounds):
    writer = chance.choice([db, other])
    keep = chance.random() < 0.8
    new = dict(rows)
    writer.execute("begin immediate")
    for _ in range(chance.randrange(1, 60)):
        key, size = chance.randrange(500), chance.randrange(2000)
        if chance.random() < 0.25:
            writer.execute("delete from t where k=?", (key,)); new.pop(key, None)
        else:
            value = chance.randbytes(size)
            writer.execute("insert or replace into t values (?,?)", (key, value)); new[key] = value
    if turn % 10 == 4:  # in the middle: the clone holds a hot journal, which must roll back
        subprocess.run([cawfs, "clone", folder, f"{folder}.{turn}"], check=True, stdout=subprocess.DEVNULL)
        verify(f"{folder}.{turn}/a.db", rows, f"clone {turn}")
        subprocess.run([cawfs, "rm", f"{folder}.{turn}"], check=True, stdout=subprocess.DEVNULL)
    writer.execute("commit" if keep else "rollback")
    rows = new if keep else rows
    if turn % 20 == 19:
        db.execute("vacuum")
db.close(); other.close()
verify(f"{folder}/a.db", rows, "the end")
print(len(rows))
PYTHON

for mode in DELETE WAL TRUNCATE PERSIST; do
    mkdir "$M/$mode"
    start=$EPOCHREALTIME
    rows=$(python3 "$SCRATCH/work.py" "$mode" "$M/$mode" "$CAWFS" "$(slice 40 400)")
    point "journal mode $mode" "$rows rows right, $(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f s", b - a }')"
done
check_store
for mode in DELETE WAL TRUNCATE PERSIST; do
    [ "$(python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("pragma integrity_check").fetchone()[0])' "$M/$mode/a.db")" = ok ] || fail "$mode after a remount"
done
point "after a remount: integrity, check" "ok"
