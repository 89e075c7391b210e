//! Every block of a store is damaged in every way: what is read is right or an error, never wrong, never a panic, in
//! whatever is done with the store: reading, background work, writing on, checking, opening again.
//!
//! ```text
//!   block of 512 bytes  ×  a bit flipped │ zeroed │ noise │ the same block of another store │ another block of this one
//!   length of the file  ×  cut at the block
//! ```
//! Only the journal's last records may be lost without a word: no journal can tell that from a loss of power.
use crate::damage::sound;
use crate::support::{put, tiny};
use cawdb::disk::{Disk, RamDisk};
use cawdb::{KeyRange, Store};
use cawfs_sim::{KvModel, Pair, Plan, Span, Versions, catch, for_each_seed};
use std::collections::BTreeMap;
use std::sync::Arc;

const COMMAND: &str = "cargo test -p cawdb --test hostile blocks";
const BLOCK: usize = 512;
/// Blocks that are damaged for each seed in a short run; all in a long one.
const BLOCKS: usize = 60;
/// End of the superblocks, and of the journal.
const JOURNAL: usize = 128 << 10;
const DATA: usize = (128 + 64) << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Flip,
    Zero,
    Noise,
    Foreign,
    Misplaced,
    Cut,
}

const KINDS: [Kind; 6] = [
    Kind::Flip,
    Kind::Zero,
    Kind::Noise,
    Kind::Foreign,
    Kind::Misplaced,
    Kind::Cut,
];

/// A sound store as bytes, what it holds, and another one.
struct Subject {
    image: Vec<u8>,
    foreign: Vec<u8>,
    all: Vec<Pair>,
    model: KvModel,
    versions: Versions,
}

fn bytes_of(disk: &RamDisk) -> Vec<u8> {
    let mut bytes = vec![0; disk.len() as usize];
    disk.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn disk_of(bytes: &[u8]) -> Arc<RamDisk> {
    let disk = RamDisk::new();
    disk.write_at(bytes, 0).unwrap();
    Arc::new(disk)
}

impl Subject {
    fn new(seed: u64) -> Self {
        let (disk, model, versions) = sound(seed);
        let (foreign, ..) = sound(seed ^ 0x5555);
        Self {
            image: bytes_of(&disk),
            foreign: bytes_of(&foreign),
            all: model.scan(&Span::all()),
            model,
            versions,
        }
    }

    /// Blocks that hold anything.
    fn blocks(&self) -> Vec<usize> {
        let used = |i: &usize| {
            let block = self.image.chunks(BLOCK).nth(*i).unwrap_or_default();
            block.iter().any(|b| *b != 0)
        };
        (0..self.image.len() / BLOCK).filter(used).collect()
    }

    fn damaged(&self, block: usize, kind: Kind, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = self.image.clone();
        let at = block * BLOCK;
        let other = |from: &[u8], at: usize| {
            let mut copy = vec![0; BLOCK];
            let part = from
                .get(at..(at + BLOCK).min(from.len()))
                .unwrap_or_default();
            copy[..part.len()].copy_from_slice(part);
            copy
        };
        let new = match kind {
            Kind::Cut => {
                bytes.truncate(at);
                return bytes;
            }
            Kind::Flip => {
                bytes[at + rng.usize(..BLOCK)] ^= 1 << rng.u8(..8);
                return bytes;
            }
            Kind::Zero => vec![0; BLOCK],
            Kind::Noise => (0..BLOCK).map(|_| rng.u8(..)).collect(),
            Kind::Foreign => other(&self.foreign, at),
            Kind::Misplaced => other(&self.image, rng.usize(..self.image.len() / BLOCK) * BLOCK),
        };
        bytes[at..at + BLOCK].copy_from_slice(&new);
        bytes
    }

    /// Everything that is done with a store, with all that is read compared.
    fn judge(&self, bytes: &[u8]) -> &'static str {
        let Ok(store) = Store::open(disk_of(bytes), tiny()) else {
            return "refused";
        };
        let mut clean = self.read(&store);
        for _ in 0..30 {
            clean &= store.tick().is_ok();
        }
        clean &= self.read(&store);
        let checked = store.check(true);
        clean &= checked.is_ok_and(|report| report.findings.is_empty());
        // Writing on, through checkpoints and background work, makes nothing worse.
        for n in 0..12 {
            let _ = put(&store, format!("~{n:03}"), vec![n; 700]);
            let _ = store.sync();
            let _ = store.tick();
        }
        clean &= store.checkpoint().is_ok();
        clean &= self.read(&store);
        drop(store);
        if clean { "unharmed" } else { "told" }
    }

    /// Reads everything forwards, backwards, and key by key. Whether no error came.
    fn read(&self, store: &Store) -> bool {
        let mut clean = true;
        let ours = |pair: &Pair| !pair.0.starts_with(b"~");
        let mut read = |reverse: bool, expected: &mut dyn Iterator<Item = &Pair>| {
            let snapshot = store.snapshot();
            let scan = match reverse {
                true => snapshot.scan_reverse(KeyRange::all()),
                false => snapshot.scan(KeyRange::all()),
            };
            for pair in scan {
                let Ok((key, value)) = pair else {
                    clean = false;
                    return;
                };
                let pair = (key.to_vec(), value.to_vec());
                if ours(&pair) {
                    assert_eq!(Some(&pair), expected.next(), "wrong data");
                }
            }
            assert!(expected.next().is_none(), "data lost without a word");
        };
        read(false, &mut self.all.iter());
        read(true, &mut self.all.iter().rev());
        for (key, value) in &self.all {
            match store.get(key) {
                Ok(found) => assert_eq!(found.as_deref(), Some(&value[..]), "wrong data"),
                Err(_) => clean = false,
            }
        }
        clean
    }

    /// Some version as a whole, or an error.
    fn judge_version(&self, bytes: &[u8]) -> &'static str {
        let store = Store::open(disk_of(bytes), tiny());
        match store.and_then(|store| crate::support::content(&store)) {
            Ok(found) if found == self.all => "unharmed",
            Ok(found) => {
                self.versions.clone().recovered(&found).unwrap();
                "a version"
            }
            Err(_) => "refused",
        }
    }
}

#[test]
fn every_block_in_every_way() {
    let plan = Plan::from_env(2, BLOCKS);
    let long = plan.time.is_some();
    for_each_seed(&plan, COMMAND, |seed, blocks| {
        let subject = Subject::new(seed);
        assert_eq!(subject.judge(&subject.image), "unharmed");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut which = subject.blocks();
        rng.shuffle(&mut which);
        if !long {
            which.truncate(blocks);
            // The superblocks always.
            which.extend([0, 32, 64, 96].map(|kib| (kib << 10) / BLOCK));
        }
        let mut verdicts = BTreeMap::<_, u32>::new();
        for block in which {
            let region = match block * BLOCK {
                at if at < JOURNAL => "superblock",
                at if at < DATA => "journal",
                _ => "data",
            };
            for kind in KINDS {
                let bytes = subject.damaged(block, kind, &mut rng);
                let verdict = catch(|| match region {
                    "journal" if kind != Kind::Cut => subject.judge_version(&bytes),
                    _ => subject.judge(&bytes),
                });
                let verdict = verdict.unwrap_or_else(|panic| {
                    panic!("{kind:?} of block {block} ({region}): {panic}")
                });
                if region == "superblock" && kind != Kind::Cut {
                    assert_eq!(verdict, "unharmed", "{kind:?} of block {block}");
                }
                *verdicts.entry((region, kind, verdict)).or_default() += 1;
            }
        }
        let tried: u32 = verdicts.values().sum();
        println!(
            "seed {seed}: {tried} damaged images, {} keys: {verdicts:?}",
            subject.model.scan(&Span::all()).len()
        );
        assert!(verdicts.len() > 8, "{verdicts:?}");
    });
}

/// A run that the root names cannot be read: flushes, merges and checkpoints go on elsewhere, and it is told once.
#[test]
fn background_work_goes_on_around_what_cannot_be_read() {
    let mut met = 0;
    for seed in 0..12 {
        let subject = Subject::new(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let data: Vec<_> = subject
            .blocks()
            .into_iter()
            .filter(|b| b * BLOCK >= DATA)
            .collect();
        let mut bytes = subject.image.clone();
        for _ in 0..6 {
            let at = data[rng.usize(..data.len())] * BLOCK;
            bytes[at..at + BLOCK].fill(0x77);
        }
        let Ok(store) = Store::open(disk_of(&bytes), tiny()) else {
            continue;
        };
        let mut errors = std::collections::HashSet::new();
        for n in 0..200u32 {
            put(&store, format!("~{n:04}"), vec![n as u8; 300]).unwrap();
            if let Err(error) = store.tick() {
                assert!(errors.insert(error.to_string()), "told twice: {error}");
            }
        }
        store.checkpoint().unwrap();
        let mut ticks = 0;
        while store.tick().unwrap_or(true) {
            ticks += 1;
            assert!(ticks < 100_000, "background work never ends");
        }
        let left_out = store
            .stats()
            .counters
            .iter()
            .find(|c| c.0 == "unreadable")
            .map_or(0, |c| c.1);
        met += u32::from(left_out > 0);
        let work = |name| {
            store
                .stats()
                .counters
                .iter()
                .find(|c| c.0 == name)
                .map_or(0, |c| c.1)
        };
        assert!(
            work("flushes") + work("merges") + work("rebases") > 0,
            "seed {seed}"
        );
        for n in 0..200u32 {
            let found = store.get(format!("~{n:04}").as_bytes()).unwrap();
            assert_eq!(found.as_deref(), Some(&vec![n as u8; 300][..]));
        }
        subject.read(&store);
    }
    assert!(
        met >= 3,
        "{met} stores had anything unreadable in the way of background work"
    );
}
