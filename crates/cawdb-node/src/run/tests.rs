//! Runs in memory and reopened from their images, against a naive model: an ordered map and a list of ranges.

mod cached;
mod cursors;
mod damage;
mod leads;
mod next;
mod parts;
mod queries;

use super::*;
use crate::{Error, RangeSet};
use bytes::Bytes;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An image in memory that counts requests, and their bytes.
struct Image {
    bytes: Bytes,
    reads: AtomicUsize,
    read_bytes: AtomicUsize,
}

impl Image {
    fn new(bytes: impl Into<Bytes>) -> Arc<Self> {
        Arc::new(Self {
            bytes: bytes.into(),
            reads: AtomicUsize::new(0),
            read_bytes: AtomicUsize::new(0),
        })
    }
    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
    fn read_bytes(&self) -> usize {
        self.read_bytes.load(Ordering::Relaxed)
    }
}

impl RunSource for Image {
    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(len, Ordering::Relaxed);
        let start = offset as usize;
        if start
            .checked_add(len)
            .is_none_or(|end| end > self.bytes.len())
        {
            return Err(Error::Corrupt(format!(
                "{start} + {len} lies beyond the image"
            )));
        }
        Ok(self.bytes.slice(start..start + len))
    }
}

/// What a run should say.
#[derive(Default)]
struct Model {
    points: BTreeMap<Key, Message>,
    ranges: RangeSet,
}

/// How big runs get: their points, and their longest keys and values.
#[derive(Clone, Copy, Debug)]
struct Size {
    points: usize,
    key: usize,
    value: usize,
}

const SIZES: [Size; 4] = [
    Size {
        points: 12,
        key: 3,
        value: 10,
    },
    Size {
        points: 300,
        key: 6,
        value: 60,
    },
    Size {
        points: 40,
        key: 8,
        value: 70_000,
    },
    Size {
        points: 6000,
        key: 40,
        value: 90,
    },
];

fn random_key(rng: &mut Rng, longest: usize) -> Key {
    let letters = [0, b'a', b'b', 0xff];
    (0..rng.usize(..=longest))
        .map(|_| letters[rng.usize(..4)])
        .collect()
}

fn random_range(rng: &mut Rng, longest: usize) -> KeyRange {
    let (a, b) = (random_key(rng, longest), random_key(rng, longest));
    match rng.u8(..6) {
        0 => KeyRange { lo: a, hi: None },
        1 => KeyRange::prefix(a),
        2 => KeyRange {
            lo: a.clone(),
            hi: Some(mem::just_above(&a)),
        },
        _ => KeyRange {
            lo: a.clone().min(b.clone()),
            hi: Some(a.max(b)),
        },
    }
}

fn random_message(rng: &mut Rng, longest: usize) -> Message {
    let len = rng.usize(..=longest);
    // Half the values compress, the others do not.
    let value = if rng.bool() {
        vec![rng.u8(..); len]
    } else {
        (0..len).map(|_| rng.u8(..)).collect()
    };
    match rng.u8(..4) {
        0 => Message::Delete,
        1 => Message::patch(rng.u32(..2000), value.into()).over(Message::patch(0, vec![1].into())),
        _ => Message::Put(value.into()),
    }
}

/// A model and a run in memory that should be its equal.
fn random_run(rng: &mut Rng, size: Size) -> (Model, MemRun) {
    let (mut model, mut builder) = (Model::default(), MemRunBuilder::new());
    for _ in 0..rng.usize(..=size.points) {
        model
            .points
            .insert(random_key(rng, size.key), random_message(rng, size.value));
    }
    for _ in 0..[0, 0, 1, 4][rng.usize(..4)] {
        let range = random_range(rng, size.key + 2);
        model.ranges.insert(range.clone());
        builder.delete_range(range);
    }
    for (key, message) in &model.points {
        builder.push(key.clone(), message.clone());
    }
    // What the builder must have made of it: see the invariants of `mem.rs`.
    let ranges = &model.ranges;
    model.points.retain(|key, message| {
        if ranges.covers_key(key) {
            *message = message.clone().over(Message::Delete);
            return *message != Message::Delete;
        }
        true
    });
    (model, builder.finish())
}

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

/// The same content, in memory and on disk, the latter with the cache of a given budget.
fn both_bodies(
    mem: MemRun,
    compression: Compression,
    budget: u64,
) -> (Arc<Run>, Arc<Run>, Arc<Image>) {
    let run = Run::in_memory(RunId(7), mem);
    let encoded = run.encode(compression);
    let source = Image::new(encoded.bytes);
    let mut w = cawdb_disk::codec::Writer::new();
    encoded.meta.encode(&mut w);
    assert_eq!(w.len(), RunMeta::ENCODED_LEN);
    let meta = RunMeta::decode(&mut cawdb_disk::codec::Reader::new(
        "run meta",
        w.as_slice(),
    ))
    .unwrap();
    assert_eq!(meta, encoded.meta);
    let reopened = Run::on_disk(RunId(7), source.clone(), meta, Arc::new(Cache::new(budget)));
    (run, reopened, source)
}

fn segments(run: &Run) -> usize {
    match run.body() {
        Body::Memory(_) => 1,
        Body::Disk(disk) => disk.index().unwrap().segments.len(),
    }
}

/// Runs `test` on many random runs; the seed is named by every failure.
fn for_random_runs(test: impl Fn(&mut Rng, &str, Size, &Model, &Arc<Run>, &Arc<Run>)) {
    let mut of_many_segments = 0;
    for seed in 0..240 {
        let mut rng = Rng::with_seed(seed);
        let size = SIZES[if seed % 20 == 0 { 3 } else { seed as usize % 3 }];
        let (model, mem) = random_run(&mut rng, size);
        let budget = [0, 100_000, 1 << 30][rng.usize(..3)];
        let compression = COMPRESSIONS[rng.usize(..3)];
        let (memory, disk, _) = both_bodies(mem, compression, budget);
        let name = format!(
            "seed {seed}, {size:?}, {compression:?}, {} segments",
            segments(&disk)
        );
        of_many_segments += usize::from(segments(&disk) > 1);
        test(&mut rng, &name, size, &model, &memory, &disk);
    }
    assert!(
        (40..200).contains(&of_many_segments),
        "{of_many_segments}: the sizes test too little"
    );
}
