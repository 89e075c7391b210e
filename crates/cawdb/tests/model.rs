//! The engine against its specification: random steps on a store and on an ordered map with clone.
//!
//! Replays, longer runs: see `docs/testing.md`. Every bug found here becomes a test of its own.
use cawdb::{Batch, Error, KeyRange, Snapshot, Store};
use cawfs_sim::{Engine, KvOp, Limits, Mix, Pair, Plan, Span, run};

const COMMAND: &str = "cargo test -p cawdb --test model";

/// A store as the harness drives it.
struct Driven {
    store: Store,
}

impl Driven {
    fn open() -> Self {
        Self {
            store: Store::in_memory(),
        }
    }
}

fn range(span: &Span) -> KeyRange {
    KeyRange {
        lo: span.lo.clone().into(),
        hi: span.hi.clone().map(Into::into),
    }
}

fn text(error: Error) -> String {
    error.to_string()
}

fn batch(ops: &[KvOp]) -> Batch {
    let mut batch = Batch::new();
    for op in ops.iter().cloned() {
        match op {
            KvOp::Put(key, value) => batch.put(key, value),
            KvOp::Delete(key) => batch.delete(key),
            KvOp::Patch(key, offset, bytes) => batch.patch(key, offset, bytes),
            KvOp::DeleteRange(span) => batch.delete_range(range(&span)),
            KvOp::CloneRange { source, from, to } => batch.clone_range(range(&source), from, to),
        };
    }
    batch
}

impl Engine for Driven {
    type Snapshot = Snapshot;

    fn commit(&mut self, ops: &[KvOp]) -> Result<(), String> {
        self.store.commit(batch(ops)).map_err(text)
    }
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(self
            .store
            .get(key)
            .map_err(text)?
            .map(|value| value.to_vec()))
    }
    fn snapshot(&mut self) -> Result<Snapshot, String> {
        Ok(self.store.snapshot())
    }
    fn get_at(&mut self, at: &Snapshot, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(at.get(key).map_err(text)?.map(|value| value.to_vec()))
    }
    fn scan_at(&mut self, at: &Snapshot, span: &Span, down: bool) -> Result<Vec<Pair>, String> {
        let scan = if down {
            at.scan_reverse(range(span))
        } else {
            at.scan(range(span))
        };
        scan.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(text))
            .collect()
    }
    fn tick(&mut self) -> Result<bool, String> {
        self.store.tick().map_err(text)
    }
    fn sync(&mut self) -> Result<(), String> {
        self.store.sync().map_err(text)
    }
    fn checkpoint(&mut self) -> Result<(), String> {
        self.store.checkpoint().map_err(text)
    }
    fn reopen(&mut self) -> Result<(), String> {
        Ok(())
    }
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn small_values() {
    let mix = Mix {
        value_bytes: 64,
        ..Mix::default()
    };
    let plan = Plan::from_env(40, 600);
    let progress = run(
        &plan,
        &format!("{COMMAND} small_values"),
        (mix, Limits::default()),
        |_| Driven::open(),
    );
    assert!(
        progress.operations > 0 && progress.comparisons > 0,
        "{progress:?}"
    );
}

#[test]
fn values_of_some_kib() {
    let mix = Mix {
        value_bytes: 16 * 1024,
        ..Mix::default()
    };
    let limits = Limits {
        bytes: 2 * 1024 * 1024,
        ..Limits::default()
    };
    let plan = Plan::from_env(12, 500);
    let progress = run(
        &plan,
        &format!("{COMMAND} values_of_some_kib"),
        (mix, limits),
        |_| Driven::open(),
    );
    assert!(
        progress.operations > 0 && progress.comparisons > 0,
        "{progress:?}"
    );
}

#[test]
fn much_background_work() {
    let mix = Mix {
        value_bytes: 1024,
        tick_every: 2,
        reopen_every: 60,
    };
    let plan = Plan::from_env(20, 600);
    let command = format!("{COMMAND} much_background_work");
    let progress = run(&plan, &command, (mix, Limits::default()), |_| {
        Driven::open()
    });
    assert!(
        progress.operations > 0 && progress.comparisons > 0,
        "{progress:?}"
    );
}
