//! Sealing aside: what was written becomes runs while others go on to write.
//!
//! ```text
//!   writers ──► memtable ──(and)──► next one          from the moment of sealing on, what comes goes into both
//!                  │
//!                  └─► frozen piece by piece ─► runs, the newest layers of the root;  the next one takes the memtable's place
//! ```
//! Invariants: the runs hold the batches up to one number, the next memtable those after it; root and memtable are replaced as one, under the writer's
//! lock, and only if the memtable still stands, since a clone may have sealed it meanwhile. Readers of older views find all in the old memtable.

use crate::commit::bounds;
use crate::error::Result;
use crate::store::Inner;
use crate::view::View;
use cawdb_disk::sync;
use std::sync::Arc;

/// So many changes are worth being sealed before somebody has to wait for it: a third of a µs each, if they are at hand, and up to one.
pub(crate) const MUCH: usize = 1 << 10;
/// Keys that are made parts of runs before others may insert again.
pub(crate) const PIECE: usize = 256;

impl Inner {
    /// Seals what is in the memtable now, if these are at least so many changes, some keys at a time, while others go on to write: so that whoever has to
    /// seal it under the writer's lock finds little. Whether it did. O(1) if they are fewer.
    pub(crate) fn seal_aside(&self, much: usize, piece: usize) -> Result<bool> {
        self.poison.check()?;
        let is_much = |view: &View| view.mem.versions() >= much;
        if self.options.read_only || !self.published.with(is_much) {
            return Ok(false);
        }
        let _guard = self.poison.guard();
        let writer = sync::lock(&self.writer);
        let (seq, View { root, mem }) = (writer.seq, self.published.pin().view);
        let next = (mem.versions() >= much).then(|| mem.begin_next()).flatten();
        let Some(next) = next else { return Ok(false) };
        drop(writer);
        let stands = || self.published.with(|now| Arc::ptr_eq(&now.mem, &mem));
        let bounds = bounds(&root);
        let runs = mem.freeze_up_to(seq, self.cuts(&bounds), piece, &stands);
        let writer = sync::lock(&self.writer);
        mem.end_next();
        let Some(runs) = runs.filter(|_| stands()) else {
            return Ok(false);
        };
        let now = self.published.pin().view;
        let root = self.laid(&now.root, &mem, runs)?;
        self.shelf.exchange_root(&now.root.slots, &root.slots);
        let view = View {
            root: Arc::new(root),
            mem: next,
        };
        self.published.replace(view, writer.seq);
        drop(writer);
        Ok(true)
    }
}

#[cfg(all(test, not(feature = "interleave")))]
mod tests {
    use super::*;
    use crate::{Batch, CreateOptions, Options, Snapshot, Store};
    use cawdb_node::KeyRange;
    use fastrand::Rng;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;

    /// Sealed by somebody else while others write and clone: every view shows whole batches, and every clone its instant.
    #[test]
    fn what_is_sealed_aside_is_neither_lost_nor_torn() {
        const KEYS: u32 = 40;
        const LAST: u32 = 3000;
        let store = Store::in_memory();
        let number = |value: Option<bytes::Bytes>| {
            let text = value.map(|v| String::from_utf8_lossy(&v).into_owned());
            text.map_or(0, |text| text.parse::<u32>().unwrap_or_default())
        };
        let same = |prefix: &str, view: &Snapshot| {
            let of = |k: u32| number(view.get(format!("{prefix}{k:02}").as_bytes()).unwrap());
            let first = of(0);
            assert!((1..KEYS).all(|k| of(k) == first), "{prefix} is torn");
            first
        };
        let writer = std::thread::spawn({
            let store = store.clone();
            move || {
                for n in 1..=LAST {
                    let mut batch = Batch::new();
                    for k in 0..KEYS {
                        batch.put(format!("g/{k:02}"), n.to_string());
                    }
                    batch.delete_range(KeyRange::prefix(format!("h/{}", n % 7)));
                    store.commit(batch).unwrap();
                    if n % 100 == 0 {
                        let mut batch = Batch::new();
                        batch.clone_prefix("g/", format!("c{n}/"));
                        store.commit(batch).unwrap();
                    }
                }
            }
        });
        let mut sealed = 0;
        while !writer.is_finished() {
            sealed += u32::from(store.0.seal_aside(MUCH, 256).unwrap());
            same("g/", &store.snapshot());
        }
        writer.join().unwrap();
        assert!(sealed > 0);
        while store.0.published.with(|view| view.mem.versions()) >= MUCH {
            assert!(store.0.seal_aside(MUCH, 256).unwrap());
        }
        let view = store.snapshot();
        assert_eq!(same("g/", &view), LAST);
        for n in (100..=LAST).step_by(100) {
            assert_eq!(same(&format!("c{n}/"), &view), n);
        }
        assert!(store.check(false).unwrap().findings.is_empty());
    }

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;
    /// What is written lies in all but the last.
    const FOLDERS: [&str; 5] = ["a/", "b/", "c/", "d/", "e/"];

    /// One random change, in a batch and in the model.
    fn change(rng: &mut Rng, batch: &mut Batch, model: &mut Model, n: u32) {
        let key = |rng: &mut Rng| {
            format!("{}{:02}", FOLDERS[rng.usize(0..4)], rng.u8(0..20)).into_bytes()
        };
        let k = key(rng);
        let value = n.to_string().into_bytes();
        match rng.u8(0..10) {
            0..=3 => {
                if model.contains_key(&k) {
                    batch.put(k.clone(), value.clone());
                } else {
                    batch.insert(k.clone(), value.clone());
                }
                model.insert(k, value);
            }
            4 | 5 => {
                batch.delete(k.clone());
                model.remove(&k);
            }
            6..=8 => {
                let at = rng.usize(0..6);
                batch.patch(k.clone(), at as u32, value.clone());
                let old = model.entry(k).or_default();
                old.resize(old.len().max(at + value.len()), 0);
                old[at..at + value.len()].copy_from_slice(&value);
            }
            _ => {
                let hi = key(rng);
                model.retain(|key, _| *key < k || *key >= hi);
                batch.delete_range(KeyRange::new(k, hi));
            }
        }
    }

    /// A clone of a folder, likewise; of what earlier batches made.
    fn clone(rng: &mut Rng, batch: &mut Batch, model: &mut Model) {
        let from = FOLDERS[rng.usize(0..4)];
        let to = FOLDERS[rng.usize(0..5)];
        if from == to {
            return;
        }
        batch.clone_prefix(from, to);
        let of = |prefix: &str, key: &[u8]| key.starts_with(prefix.as_bytes());
        let source = model.iter().filter(|(key, _)| of(from, key));
        let new: Vec<_> = source
            .map(|(key, value)| ([to.as_bytes(), &key[2..]].concat(), value.clone()))
            .collect();
        model.retain(|key, _| !of(to, key));
        model.extend(new);
    }

    fn compare(view: &Snapshot, model: &Model, what: &str) {
        let pairs = view.scan(KeyRange::all());
        let pairs = pairs.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())));
        assert_eq!(
            pairs.collect::<Result<Model>>().ok().as_ref(),
            Some(model),
            "{what}"
        );
    }

    /// Writes at random, and looks now and then.
    fn write(store: &Store, model: &mut Model, seed: u64) -> Result<()> {
        let what = |part: &str| format!("seed {seed}, {part}");
        let mut rng = Rng::with_seed(seed);
        let mut old: Vec<(Snapshot, Model)> = Vec::new();
        for n in 0..1500 {
            let mut batch = Batch::new();
            if rng.u8(0..30) == 0 {
                clone(&mut rng, &mut batch, model);
            }
            (0..rng.u8(1..6)).for_each(|_| change(&mut rng, &mut batch, model, n));
            store.commit(batch)?;
            if n % 4 == 0 {
                compare(&store.snapshot(), model, &what("now"));
            }
            if rng.u8(0..40) == 0 {
                old.push((store.snapshot(), model.clone()));
            }
            if old.len() > 5 {
                let (view, then) = old.swap_remove(rng.usize(0..5));
                compare(&view, &then, &what("an old instant"));
            }
        }
        Ok(())
    }

    /// With tiny sizes, and two threads that seal aside beside background work, checkpoints and syncs: what is read is what the model says, now, of
    /// old instants, and after the store is opened again.
    #[test]
    fn sealed_aside_at_any_time_it_reads_as_the_model() {
        let sealed = AtomicU64::new(0);
        // How often it comes to that is the scheduler's choice: on a busy machine it takes more rounds.
        let enough = |seed| seed >= 6 && sealed.load(Ordering::Relaxed) > 100;
        for seed in (0..60_u64).take_while(|seed| !enough(*seed)) {
            let what = |part: &str| format!("seed {seed}, {part}");
            let disk = Arc::new(cawdb_disk::RamDisk::new());
            let create = CreateOptions {
                journal_bytes: Some(4 << 20),
                ..CreateOptions::default()
            };
            Store::create(disk.clone(), &create).unwrap();
            let open = || {
                let mut options = Options::tiny(6);
                options.memtable_bytes <<= 3 * (seed % 2);
                Store::open(disk.clone(), options).unwrap()
            };
            let store = open();
            store.0.throttle.set_threads(seed % 3 == 0);
            let stop = AtomicBool::new(false);
            let mut model = Model::new();
            std::thread::scope(|scope| {
                let until_stopped = |work: fn(&Store) -> Result<bool>| {
                    let (store, stop, sealed) = (store.clone(), &stop, &sealed);
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            sealed.fetch_add(work(&store).unwrap().into(), Ordering::Relaxed);
                        }
                    });
                };
                until_stopped(|store| store.0.seal_aside(1, 2));
                until_stopped(|store| {
                    store.tick()?;
                    store.0.seal_aside(1, 2)
                });
                until_stopped(|store| {
                    std::thread::sleep(Duration::from_millis(2));
                    store.checkpoint().and(Ok(false))
                });
                until_stopped(|store| store.sync().and(Ok(false)));
                write(&store, &mut model, seed).unwrap();
                stop.store(true, Ordering::Relaxed);
            });
            compare(&store.snapshot(), &model, &what("the end"));
            assert!(
                store.check(true).unwrap().findings.is_empty(),
                "{}",
                what("check")
            );
            store.0.throttle.set_threads(false);
            store.sync().unwrap();
            drop(store);
            compare(&open().snapshot(), &model, &what("opened again"));
        }
        let sealed = sealed.load(Ordering::Relaxed);
        assert!(sealed > 100, "{sealed} times only");
    }
}
