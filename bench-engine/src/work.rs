//! The lines of input, and what each makes an engine do. All that is random follows from a seed in the line.
//!
//! ```text
//! load P FROM COUNT        puts, in the order of the keys P/0…, a hundred in a batch
//! puts P COUNT KEYS SEED   puts at random among P/0…KEYS, a hundred in a batch       durable …: each alone, and durable
//! patches P COUNT KEYS S   four bytes of a value each, likewise
//! reads P COUNT KEYS SEED  point reads                                               ranges P COUNT LENGTH KEYS SEED: short scans
//! scan P                   everything
//! delete P COUNT LENGTH KEYS SEED   ranges, each a batch
//! mixed P COUNT KEYS SEED  of a hundred: 40 puts, 10 patches, 45 reads, 5 scans of 20 pairs
//! clone P Q   copy P Q     all of P also as Q                                        sync
//! ```
//!
//! A value is 400 bytes that cannot be compressed, and begins with the number of its key, by which every read is checked.

use crate::engine::{Change, Engine};
use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use std::time::Instant;

const VALUE_BYTES: usize = 400;
const BATCH: u64 = 100;

/// What was done.
pub struct Done {
    /// How long it took.
    pub seconds: f64,
    /// Pairs written or read, ranges deleted.
    pub items: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Does what a line says.
pub fn run(engine: &dyn Engine, line: &str) -> Result<Done> {
    let mut words = line.split(' ');
    let verb = words.next().unwrap_or_default();
    let begun = Instant::now();
    let mut work = Work {
        engine,
        prefix: words.next().unwrap_or_default(),
        items: 0,
        bytes: 0,
    };
    if matches!(verb, "clone" | "copy") {
        work.twin(verb, words.next().context("no second prefix")?)?;
    } else {
        let numbers = words.map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        work.numbered(verb, &numbers)?;
    }
    Ok(Done {
        seconds: begun.elapsed().as_secs_f64(),
        items: work.items,
        bytes: work.bytes,
    })
}

struct Work<'a> {
    engine: &'a dyn Engine,
    prefix: &'a str,
    items: u64,
    bytes: u64,
}

/// All keys of a prefix lie from the first of these to before the second.
fn bounds(prefix: &str) -> (Vec<u8>, Vec<u8>) {
    (format!("{prefix}/").into(), format!("{prefix}0").into())
}

fn value(number: u64, random: &mut Rng) -> Vec<u8> {
    let mut value = vec![0; VALUE_BYTES];
    random.fill(&mut value);
    value[..8].copy_from_slice(&number.to_le_bytes());
    value
}

/// Whether a value is that of the key.
fn fits(key: &[u8], value: &[u8]) -> bool {
    let hex = key.len().checked_sub(16).and_then(|at| key.get(at..));
    let number = hex.and_then(|hex| u64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
    value.len() == VALUE_BYTES && number.is_some_and(|n| value.starts_with(&n.to_le_bytes()))
}

impl Work<'_> {
    fn numbered(&mut self, verb: &str, numbers: &[u64]) -> Result<()> {
        match (verb, numbers) {
            ("load", &[from, count]) => self.load(from, count),
            ("puts", &[count, keys, seed]) => self.puts(count, BATCH, keys, seed),
            ("durable", &[count, keys, seed]) => self.puts(count, 1, keys, seed),
            ("patches", &[count, keys, seed]) => self.patches(count, keys, seed),
            ("reads", &[count, keys, seed]) => self.reads(count, keys, &mut Rng::with_seed(seed)),
            ("ranges", &[count, length, keys, seed]) => {
                self.ranges(count, length, keys, &mut Rng::with_seed(seed))
            }
            ("scan", []) => {
                let (lo, hi) = bounds(self.prefix);
                self.scan(&lo, &hi, usize::MAX)
            }
            ("delete", &[count, length, keys, seed]) => self.delete(count, length, keys, seed),
            ("mixed", &[count, keys, seed]) => self.mixed(count, keys, seed),
            ("sync", []) => self.engine.sync(),
            _ => bail!("this is no line: {verb} {numbers:?}"),
        }
    }

    fn key(&self, number: u64) -> Vec<u8> {
        format!("{}/{number:016x}", self.prefix).into_bytes()
    }

    fn commit(&mut self, changes: Vec<Change>, durable: bool) -> Result<()> {
        for change in &changes {
            self.items += 1;
            self.bytes += match change {
                Change::Put(key, value) => key.len() + value.len(),
                Change::Patch(key, _, bytes) => key.len() + bytes.len(),
                Change::DeleteRange(lo, hi) => lo.len() + hi.len(),
            } as u64;
        }
        self.engine.commit(changes, durable)
    }

    fn load(&mut self, from: u64, count: u64) -> Result<()> {
        let mut random = Rng::with_seed(from);
        for start in (from..from + count).step_by(BATCH as usize) {
            let numbers = start..(start + BATCH).min(from + count);
            let put = |number| Change::Put(self.key(number), value(number, &mut random));
            self.commit(numbers.map(put).collect(), false)?;
        }
        Ok(())
    }

    fn put(&self, keys: u64, random: &mut Rng) -> Change {
        let number = random.u64(0..keys);
        Change::Put(self.key(number), value(number, random))
    }

    fn patch(&self, keys: u64, random: &mut Rng) -> Change {
        let mut bytes = [0; 4];
        random.fill(&mut bytes);
        let offset = random.usize(8..VALUE_BYTES - bytes.len());
        Change::Patch(self.key(random.u64(0..keys)), offset, bytes)
    }

    /// Batches of one are durable.
    fn puts(&mut self, count: u64, batch: u64, keys: u64, seed: u64) -> Result<()> {
        let mut random = Rng::with_seed(seed);
        for _ in 0..count / batch {
            let changes = (0..batch).map(|_| self.put(keys, &mut random)).collect();
            self.commit(changes, batch == 1)?;
        }
        Ok(())
    }

    fn patches(&mut self, count: u64, keys: u64, seed: u64) -> Result<()> {
        let mut random = Rng::with_seed(seed);
        for _ in 0..count / BATCH {
            let changes = (0..BATCH).map(|_| self.patch(keys, &mut random)).collect();
            self.commit(changes, false)?;
        }
        Ok(())
    }

    fn reads(&mut self, count: u64, keys: u64, random: &mut Rng) -> Result<()> {
        for _ in 0..count {
            let key = self.key(random.u64(0..keys));
            let (mut good, mut bytes) = (true, 0);
            self.engine.get(&key, &mut |value| {
                good = fits(&key, value);
                bytes = value.len();
            })?;
            ensure!(good, "a wrong value was read");
            self.items += 1;
            self.bytes += bytes as u64;
        }
        Ok(())
    }

    fn scan(&mut self, lo: &[u8], hi: &[u8], limit: usize) -> Result<()> {
        let (mut good, mut last) = (true, Vec::new());
        let (mut items, mut bytes) = (0, 0);
        self.engine.scan(lo, hi, limit, &mut |key, value| {
            good &= fits(key, value) && *last < *key;
            last.clear();
            last.extend_from_slice(key);
            items += 1;
            bytes += (key.len() + value.len()) as u64;
        })?;
        ensure!(good, "a wrong value, or a wrong order");
        self.items += items;
        self.bytes += bytes;
        Ok(())
    }

    fn ranges(&mut self, count: u64, length: u64, keys: u64, random: &mut Rng) -> Result<()> {
        let end = bounds(self.prefix).1;
        for _ in 0..count {
            let from = self.key(random.u64(0..keys));
            self.scan(&from, &end, usize::try_from(length)?)?;
        }
        Ok(())
    }

    fn delete(&mut self, count: u64, length: u64, keys: u64, seed: u64) -> Result<()> {
        let mut random = Rng::with_seed(seed);
        for _ in 0..count {
            let from = random.u64(0..keys);
            let range = Change::DeleteRange(self.key(from), self.key(from + length));
            self.commit(vec![range], false)?;
        }
        Ok(())
    }

    fn mixed(&mut self, count: u64, keys: u64, seed: u64) -> Result<()> {
        let mut random = Rng::with_seed(seed);
        for _ in 0..count / 100 {
            let mut changes: Vec<_> = (0..40).map(|_| self.put(keys, &mut random)).collect();
            changes.extend((0..10).map(|_| self.patch(keys, &mut random)));
            self.commit(changes, false)?;
            self.reads(45, keys, &mut random)?;
            self.ranges(5, 20, keys, &mut random)?;
        }
        Ok(())
    }

    /// All of the prefix also under another one.
    fn twin(&mut self, verb: &str, other: &str) -> Result<()> {
        let (lo, hi) = bounds(self.prefix);
        let to = bounds(other).0;
        if verb == "clone" {
            return self.engine.clone_prefix(&lo, &to);
        }
        let (mut from, mut more) = (lo.clone(), true);
        while more {
            let mut pairs = Vec::new();
            let mut take = |key: &[u8], value: &[u8]| pairs.push((key.to_vec(), value.to_vec()));
            self.engine.scan(&from, &hi, BATCH as usize, &mut take)?;
            more = pairs.len() == BATCH as usize;
            if let Some((last, _)) = pairs.last() {
                from = [last, &b"\0"[..]].concat();
            }
            let put = |(key, value): (Vec<u8>, Vec<u8>)| {
                Change::Put([&to, &key[lo.len()..]].concat(), value)
            };
            self.commit(pairs.into_iter().map(put).collect(), false)?;
        }
        Ok(())
    }
}
