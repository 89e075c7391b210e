"""SQLite: transaction n adds the row n, forgets an old one, and moves an amount between two accounts.

Every COMMIT that returned is there afterwards, each transaction wholly or not at all. In the mode `delete` a commit is the
removal of the journal, which SQLite makes durable only with synchronous=EXTRA; the others need no more than FULL.
"""
import os, sqlite3
from common import content

KEPT, ACCOUNTS = 300, 16


def payload(site, n):
    return content(site.seed * 1_000_003 + n, 50 + n * 37 % 3000)


def opened(site, path):
    mode = site.kind.split("-")[1]
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    assert db.execute(f"pragma journal_mode={mode}").fetchone()[0] == mode
    db.execute(f"pragma synchronous={'extra' if mode == 'delete' else 'full'}")
    return db


def work(site):
    site.begin()
    db = opened(site, f"{site.folder}/a.db")
    db.execute("begin immediate")
    db.execute("create table if not exists t (n integer primary key, v blob)")
    db.execute("create table if not exists account (k integer primary key, amount integer)")
    db.executemany("insert or ignore into account values (?, 1000)", [(k,) for k in range(ACCOUNTS)])
    db.execute("commit")
    n = db.execute("select coalesce(max(n), -1) from t").fetchone()[0] + 1
    for _ in site.rounds():
        db.execute("begin immediate")
        db.execute("insert into t values (?, ?)", (n, payload(site, n)))
        db.execute("delete from t where n = ?", (n - KEPT,))
        db.execute("update account set amount = amount - 1 where k = ?", (n % ACCOUNTS,))
        db.execute("update account set amount = amount + 1 where k = ?", (n * 7 % ACCOUNTS,))
        db.execute("commit")
        site.log("committed", n)
        n += 1


def newest(site, path, least):
    """Verifies one database file, which reaches at least the transaction `least`; its newest transaction."""
    db = sqlite3.connect(path, timeout=30)
    assert db.execute("pragma integrity_check").fetchone()[0] == "ok", f"{path}: not intact"
    if not db.execute("select 1 from sqlite_master where name='t'").fetchone():
        assert least < 0, f"{path}: {least} was acknowledged, there is no table"
        return -1
    rows = dict(db.execute("select n, v from t"))
    top = max(rows, default=-1)
    assert top >= least, f"{path}: {least} was acknowledged, {top} is the last"
    assert sorted(rows) == list(range(max(0, top - KEPT + 1), top + 1)), f"{path}: a gap before {top}"
    for n, value in rows.items():
        assert value == payload(site, n), f"{path}: row {n} is wrong"
    amounts = dict(db.execute("select k, amount from account"))
    expected = dict.fromkeys(range(ACCOUNTS), 1000)
    for n in range(top + 1):
        expected[n % ACCOUNTS] -= 1
        expected[n * 7 % ACCOUNTS] += 1
    assert amounts == expected, f"{path}: half a transaction"
    db.close()
    return top


def verify(site):
    path = f"{site.folder}/a.db"
    least = site.last("committed")
    if not os.path.exists(path):
        assert least < 0, f"{path} is gone, {least} was acknowledged"
        return "nothing yet"
    top = newest(site, path, least)
    return f"{least + 1} acknowledged, {top + 1} found"
