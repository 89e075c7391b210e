//! Many threads at once: writers, cloners, range deletes, readers, background work, syncs, checkpoints and scrubs.
//!
//! ```text
//!   g/<writer>/<key>            = n     every key of a group holds the same number, which only rises
//!   c/<writer>/<i>/<key>        = n     a clone of a group, whole or not there
//!   m/<writer>/<i>              = n     what the group's owner knew when it cloned it, in the same batch
//! ```
//! So every snapshot can be judged by itself: a batch seen by half, or a clone that is not its source at one instant,
//! shows as two numbers where there should be one.
use crate::support::{assert_whole, faulty, settle, tiny};
use bytes::Bytes;
use cawdb::{Batch, KeyRange, Options, Result, Snapshot, Store};
use cawfs_sim::{Plan, for_each_seed};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u64 = 3;
const KEYS: u64 = 12;
const CLONES: u64 = 8;
const COMMAND: &str = "cargo test -p cawdb --test hostile threads";

/// What all threads share.
struct Arena {
    store: Store,
    stop: AtomicBool,
    /// Number that each writer knows to be durable.
    durable: Vec<AtomicU64>,
    /// Newest number of each writer whose commit has returned.
    seen: Vec<AtomicU64>,
    batches: AtomicU64,
    snapshots: AtomicU64,
    scrubs: AtomicU64,
}

fn group(writer: u64) -> String {
    format!("g/{writer}/")
}

fn value(n: u64, rng: &mut Rng) -> Bytes {
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(8 + rng.usize(..200), n as u8);
    bytes.into()
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value[..8].try_into().unwrap())
}

impl Arena {
    fn running(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Writes its group, clones its own and others' groups, deletes clones.
    fn write(&self, writer: u64, mut rng: Rng) -> Result<()> {
        let mut n = 0_u64;
        while self.running() {
            let mut batch = Batch::new();
            let clone = rng.u64(..CLONES);
            let (to, mark) = (
                format!("c/{writer}/{clone}/"),
                format!("m/{writer}/{clone}"),
            );
            match rng.u8(..8) {
                0 => {
                    batch
                        .clone_prefix(group(writer), to)
                        .put(mark, n.to_le_bytes().to_vec());
                }
                1 => {
                    batch
                        .clone_prefix(group(rng.u64(..WRITERS)), to)
                        .delete(mark);
                }
                2 => {
                    batch.delete_range(KeyRange::prefix(to)).delete(mark);
                }
                3 => {
                    let from = format!("c/{}/{}/", rng.u64(..WRITERS), rng.u64(..CLONES));
                    batch.clone_prefix(from, to).delete(mark);
                }
                _ => {
                    n += 1;
                    for key in 0..KEYS {
                        batch.put(format!("{}{key}", group(writer)), value(n, &mut rng));
                    }
                }
            }
            self.store.commit(batch)?;
            self.seen[writer as usize].store(n, Ordering::Release);
            self.batches.fetch_add(1, Ordering::Relaxed);
            if rng.u8(..64) == 0 {
                self.store.sync()?;
                self.durable[writer as usize].fetch_max(n, Ordering::AcqRel);
            }
        }
        Ok(())
    }

    /// Takes snapshots and judges them; numbers never go back.
    fn read(&self, mut rng: Rng) -> Result<()> {
        let mut last = vec![0; WRITERS as usize];
        while self.running() {
            let least: Vec<u64> = self
                .seen
                .iter()
                .map(|n| n.load(Ordering::Acquire))
                .collect();
            let snapshot = self.store.snapshot();
            let groups = judge(&snapshot, rng.bool())?;
            for (writer, n) in groups {
                assert!(
                    n >= last[writer] && n >= least[writer],
                    "group {writer} went back to {n}"
                );
                last[writer] = n;
            }
            if rng.bool() {
                std::thread::sleep(Duration::from_millis(rng.u64(..30)));
                judge(&snapshot, rng.bool())?;
            }
            self.snapshots.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn work(&self) -> Result<()> {
        while self.running() {
            if !self.store.tick()? {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    /// Verifies everything on the disk, again and again: nothing is ever wrong, whatever goes or comes meanwhile.
    fn scrub(&self) -> Result<()> {
        while self.running() {
            let mut scrub = self.store.scrub(0);
            while let Some(step) = scrub.step().filter(|_| self.running()) {
                assert!(step.findings.is_empty(), "{:?}", step.findings);
            }
            self.scrubs.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn save(&self, mut rng: Rng) -> Result<()> {
        while self.running() {
            let known: Vec<u64> = self
                .seen
                .iter()
                .map(|n| n.load(Ordering::Acquire))
                .collect();
            match rng.u8(..4) {
                0 => self.store.checkpoint()?,
                1 => assert!(self.store.check(false)?.findings.is_empty()),
                _ => self.store.sync()?,
            }
            if rng.u8(..2) == 0 {
                continue;
            }
            self.store.sync()?;
            for (durable, n) in self.durable.iter().zip(known) {
                durable.fetch_max(n, Ordering::AcqRel);
            }
            std::thread::sleep(Duration::from_millis(rng.u64(..5)));
        }
        Ok(())
    }
}

/// Reads all of a snapshot; says the number of each group that is there.
fn judge(snapshot: &Snapshot, down: bool) -> Result<BTreeMap<usize, u64>> {
    let scan = match down {
        true => snapshot.scan_reverse(KeyRange::all()),
        false => snapshot.scan(KeyRange::all()),
    };
    let mut places: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (at, pair) in scan.enumerate() {
        let (key, value) = pair?;
        if at % 17 == 0 {
            assert_eq!(snapshot.get(&key)?.as_ref(), Some(&value), "{key:?}");
        }
        let key = String::from_utf8(key.to_vec()).unwrap();
        let place = match key.starts_with('m') {
            true => key.as_str(),
            false => key.rsplit_once('/').unwrap().0,
        };
        places
            .entry(place.to_string())
            .or_default()
            .push(number(&value));
    }
    let mut groups = BTreeMap::new();
    for (place, numbers) in &places {
        if let Some(clone) = place.strip_prefix('m') {
            let cloned = places
                .get(&format!("c{clone}"))
                .map_or(0, |numbers| numbers[0]);
            assert_eq!(
                cloned, numbers[0],
                "clone {place} is not its source of that instant"
            );
            continue;
        }
        assert_eq!(numbers.len(), KEYS as usize, "{place} is there by half");
        assert!(
            numbers.iter().all(|n| *n == numbers[0]),
            "{place} of two batches: {numbers:?}"
        );
        if let Some(writer) = place.strip_prefix("g/") {
            groups.insert(writer.parse().unwrap(), numbers[0]);
        }
    }
    Ok(groups)
}

fn fight(seed: u64, time: Duration, options: &Options) {
    let disk = faulty();
    let numbers = || (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let arena = Arena {
        store: Store::open(disk.clone(), options.clone()).unwrap(),
        stop: AtomicBool::new(false),
        durable: numbers(),
        seen: numbers(),
        batches: AtomicU64::new(0),
        snapshots: AtomicU64::new(0),
        scrubs: AtomicU64::new(0),
    };
    let (arena, rng) = (&arena, |n: u64| {
        Rng::with_seed(seed.wrapping_mul(100).wrapping_add(n))
    });
    let image = std::thread::scope(|scope| {
        let mut threads: Vec<_> = (0..WRITERS)
            .map(|w| scope.spawn(move || arena.write(w, rng(w))))
            .collect();
        threads.extend((10..12).map(|n| scope.spawn(move || arena.read(rng(n)))));
        threads.push(scope.spawn(move || arena.work()));
        threads.push(scope.spawn(move || arena.save(rng(20))));
        threads.push(scope.spawn(move || arena.scrub()));
        let start = Instant::now();
        while start.elapsed() < time && threads.iter().all(|t| !t.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let known: Vec<u64> = arena
            .durable
            .iter()
            .map(|n| n.load(Ordering::Acquire))
            .collect();
        let image = disk.crash(seed);
        arena.stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .for_each(|t| t.join().expect("a thread").unwrap());
        (image, known)
    });
    println!(
        "seed {seed}: {:?} batches, {:?} snapshots, {:?} scrubs",
        arena.batches, arena.snapshots, arena.scrubs
    );
    settle(&arena.store);
    arena.store.checkpoint().unwrap();
    judge(&arena.store.snapshot(), false).unwrap();
    assert_whole(&arena.store);
    let (image, known) = image;
    let store = Store::open(Arc::new(image), options.clone()).unwrap();
    let groups = judge(&store.snapshot(), true).unwrap();
    for (writer, n) in known.iter().enumerate().filter(|(_, n)| **n > 0) {
        assert!(
            groups.get(&writer).is_some_and(|found| found >= n),
            "group {writer} lost durable {n}"
        );
    }
    assert_whole(&store);
}

/// Each fight lasts a second; `CAWFS_SECONDS` says for how long to fight.
#[test]
fn threads_tiny() {
    for_each_seed(&Plan::from_env(4, 1), COMMAND, |seed, _| {
        fight(seed, Duration::from_secs(1), &tiny())
    });
}

#[test]
fn threads_of_usual_size() {
    let options = Options {
        memtable_bytes: 1 << 20,
        ..Options::default()
    };
    for_each_seed(&Plan::from_env(3, 1), COMMAND, |seed, _| {
        fight(seed, Duration::from_secs(1), &options)
    });
}
