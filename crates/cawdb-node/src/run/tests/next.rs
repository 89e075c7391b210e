//! What is on its way: what whoever reads on reads next, and nothing else.

use super::*;
use cawdb_disk::sync::{Mutex, lock};
use cawdb_disk::{Class, Disk, Extent, IoStats, Place, RamDisk, SpaceMap};
use std::ops::Range;

const VALUE: usize = 64 << 10;
const POINTS: u32 = 61;
/// Points of a piece that a kernel asks for.
const PIECE: u32 = 16;

/// Memory that is told what comes, and writes down what is asked of it.
#[derive(Debug, Default)]
struct Told {
    memory: RamDisk,
    refuses: bool,
    log: Mutex<Vec<Asked>>,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Begin(Extent),
    Read(Extent),
}

impl Disk for Told {
    fn len(&self) -> u64 {
        self.memory.len()
    }
    fn limit(&self) -> Option<u64> {
        self.memory.limit()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> cawdb_disk::Result<()> {
        self.memory.read_at(buf, offset)
    }
    fn read_bulk(&self, offset: u64, len: usize) -> cawdb_disk::Result<Bytes> {
        let extent = Extent::new(offset, len as u64);
        lock(&self.log).push(Asked::Read(extent));
        self.memory.read_bulk(offset, len)
    }
    fn begin_read(&self, extent: Extent) -> bool {
        if self.refuses {
            return false;
        }
        lock(&self.log).push(Asked::Begin(extent));
        true
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> cawdb_disk::Result<()> {
        self.memory.write_at(bytes, offset)
    }
    fn sync(&self) -> cawdb_disk::Result<()> {
        self.memory.sync()
    }
    fn reserve(&self, extent: Extent) -> cawdb_disk::Result<()> {
        self.memory.reserve(extent)
    }
    fn discard(&self, extent: Extent) -> cawdb_disk::Result<()> {
        self.memory.discard(extent)
    }
    fn occupied(&self) -> Option<u64> {
        self.memory.occupied()
    }
    fn stats(&self) -> IoStats {
        self.memory.stats()
    }
    fn name(&self) -> String {
        self.memory.name()
    }
}

/// Runs of large points, and what their disk was told.
struct Runs {
    disk: Arc<Told>,
    runs: Vec<Arc<Run>>,
    _space: Arc<SpaceMap>,
}

impl Runs {
    /// So many, one behind the other, or with something in between; of values of so many bytes.
    fn new(count: u64, (in_a_row, value): (bool, usize), refuses: bool) -> Self {
        let disk = Arc::new(Told {
            refuses,
            ..Told::default()
        });
        let space = Arc::new(SpaceMap::new(4096, None).unwrap());
        let cache = Arc::new(Cache::new(4 << 20));
        let run = |id: u64| {
            let mut builder = MemRunBuilder::new();
            for i in 0..POINTS {
                let value = Message::Put(vec![i as u8; value].into());
                builder.push(i.to_be_bytes().to_vec().into(), value);
            }
            let run = Run::in_memory(RunId(id), builder.finish());
            let encoded = run.encode(Compression::None);
            let mut padded = encoded.bytes.clone();
            padded.resize(padded.len().next_multiple_of(512), 0);
            let extent = space.allocate(padded.len() as u64, Class::User).unwrap();
            if !in_a_row {
                space.allocate(1 << 20, Class::User).unwrap();
            }
            disk.write_at(&padded, extent.offset).unwrap();
            let place = Arc::new(Place::new(extent, 0, space.clone()));
            let source = PlacedImage::new(disk.clone(), place);
            Run::on_disk(RunId(id), Arc::new(source), encoded.meta, cache.clone())
        };
        let runs = (0..count).map(run).collect();
        let _space = space;
        Self { disk, runs, _space }
    }

    /// Reads what of a run lies in some points, as a piece of a large file.
    fn piece(&self, run: usize, points: Range<u32>, direction: Direction) {
        let [lo, hi] = [points.start, points.end].map(|i| i.to_be_bytes().to_vec());
        let range = KeyRange::new(lo, hi);
        let ahead = ReadAhead::Piece(1 << 20);
        let mut cursor = self.runs[run].cursor(&range, direction, ahead).unwrap();
        let found = std::iter::from_fn(|| cursor.next().unwrap()).count();
        assert_eq!(found, points.len());
    }

    /// Reads all runs as one file after the other, by the pieces of a kernel, which go over the borders of runs.
    fn in_order(&self) {
        let all = POINTS * self.runs.len() as u32;
        for piece in (0..all).step_by(PIECE as usize) {
            let mut at = piece;
            let end = all.min(piece + PIECE);
            while at < end {
                let (run, from) = (at / POINTS, at % POINTS);
                let to = POINTS.min(from + end - at);
                self.piece(run as usize, from..to, Direction::Forward);
                at += to - from;
            }
        }
    }

    fn log(&self) -> Vec<Asked> {
        lock(&self.disk.log).clone()
    }

    fn begun(&self) -> Vec<Extent> {
        let begun = |asked| match asked {
            Asked::Begin(extent) => Some(extent),
            Asked::Read(_) => None,
        };
        self.log().into_iter().filter_map(begun).collect()
    }

    fn read(&self) -> Vec<Extent> {
        let read = |asked| match asked {
            Asked::Read(extent) => Some(extent),
            Asked::Begin(_) => None,
        };
        self.log().into_iter().filter_map(read).collect()
    }

    /// Bytes of what was read that were on their way as a whole.
    fn came(&self) -> u64 {
        let begun = self.begun();
        let comes = |e: &&Extent| begun.iter().any(|b| b.contains(e));
        self.read().iter().filter(comes).map(|e| e.len).sum()
    }
}

fn sum(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| extent.len).sum()
}

#[test]
fn who_reads_on_finds_it_on_its_way() {
    let runs = Runs::new(8, (true, VALUE), false);
    runs.in_order();
    let (read, came) = (sum(&runs.read()), runs.came());
    // The first two, and one more at the first border: whether runs lie in a row is seen there.
    assert!(read - came <= 3 << 20, "{came} of {read}");
    let begun = sum(&runs.begun());
    assert!(
        begun - came <= (1 << 20) + (128 << 10),
        "{begun} for {came}"
    );
    assert!(
        read <= 8 * u64::from(POINTS) * (VALUE as u64 + 100),
        "{read}: some twice"
    );
}

/// Where what is on its way is known as a whole, the next is, too, before anybody waits; and after a guess nothing is asked for that may be part of it.
#[test]
fn two_are_on_their_way_while_somebody_waits() {
    let runs = Runs::new(8, (true, VALUE), false);
    runs.in_order();
    let (mut ahead, mut guessed) = (0, 0);
    let mut begun: Vec<Extent> = Vec::new();
    for asked in runs.log() {
        match asked {
            Asked::Begin(extent) => begun.push(extent),
            Asked::Read(read) => {
                let own = begun.iter().position(|b| b.contains(&read));
                let next = begun.last().is_some_and(|b| b.offset >= read.end());
                let exact = own.is_some_and(|i| begun[i].end() == read.end());
                ahead += usize::from(exact && next);
                guessed += usize::from(own.is_some() && !exact);
                assert!(exact || own.is_none() || !next, "{read} is part of a guess");
            }
        }
    }
    assert!(ahead >= 20 && guessed >= 5, "{ahead} {guessed}");
}

#[test]
fn what_lies_between_runs_is_not_begun() {
    let runs = Runs::new(8, (false, VALUE), false);
    runs.in_order();
    let places: Vec<_> = (runs.runs.iter())
        .map(|run| run.place().unwrap().extent())
        .collect();
    for extent in runs.begun() {
        let within = places.iter().any(|place| place.contains(&extent));
        assert!(within, "{extent} lies in no run");
    }
    assert!(runs.came() > 20 << 20, "{}", runs.came());
}

#[test]
fn files_of_a_block_come_in_windows() {
    let runs = Runs::new(4, (true, VALUE), false);
    for run in &runs.runs {
        for i in 0..POINTS {
            assert!(run.get(&i.to_be_bytes()).unwrap().is_some());
        }
    }
    let (read, came) = (sum(&runs.read()), runs.came());
    assert!(read - came <= 3 << 20, "{came} of {read}");
    // Behind each run less than a block too much, and behind the last one nobody comes.
    let in_vain = sum(&runs.begun()) - came;
    assert!(in_vain <= (1 << 20) + (6 * VALUE) as u64, "{in_vain}");
}

#[test]
fn nothing_is_begun_for_who_does_not_read_on() {
    let runs = Runs::new(2, (true, VALUE), false);
    for at in [40, 8, 25, 3, 50, 17, 33] {
        runs.piece(0, at..at + 4, Direction::Forward);
    }
    runs.piece(1, 0..POINTS, Direction::Backward);
    let whole = KeyRange::all();
    let mut merged = (runs.runs[1])
        .cursor(&whole, Direction::Forward, ReadAhead::Full)
        .unwrap();
    while merged.next().unwrap().is_some() {}
    assert_eq!(runs.begun(), []);
    // As much as a kernel asks for at once, here and there, also over a border.
    let runs = Runs::new(2, (true, VALUE), false);
    for at in [37, 0, 19] {
        runs.piece(0, at..at + PIECE, Direction::Forward);
    }
    runs.piece(0, 56..POINTS, Direction::Forward);
    runs.piece(1, 0..11, Direction::Forward);
    assert_eq!(runs.begun(), []);
    let small = Runs::new(1, (true, 200), false);
    small.in_order();
    assert_eq!(small.begun(), [], "all of it is one request");
}

#[test]
fn a_disk_that_refuses_is_asked_for_the_same() {
    let (with, without) = (
        Runs::new(8, (true, VALUE), false),
        Runs::new(8, (true, VALUE), true),
    );
    with.in_order();
    without.in_order();
    assert_eq!(without.begun(), []);
    let (with, without) = (with.read(), without.read());
    assert_eq!(sum(&with), sum(&without));
    let (with, without) = (with.len(), without.len());
    assert!(with <= without + without / 10, "{with} and {without}");
}

/// Who goes over what is on its way reads on behind it, and what was begun in vain is one request.
#[test]
fn what_is_passed_over_is_begun_in_vain_once() {
    let runs = Runs::new(1, (true, VALUE), false);
    runs.piece(0, 0..8, Direction::Forward);
    runs.piece(0, 8..16, Direction::Forward);
    runs.piece(0, 40..48, Direction::Forward);
    let in_vain = sum(&runs.begun()) - runs.came();
    assert!(in_vain <= (1 << 20) + (128 << 10), "{in_vain}");
}
