//! Where readers go on: after each other, behind what waits for somebody else, and from run to run.

use super::*;
use crate::run::lead::HELD;
use std::ops::Range;

const VALUE: usize = 64 << 10;
/// A page of a large file.
const PAGE: usize = 4 << 10;
const PAGES: u32 = 2048;
/// Pages that a run has of a piece of a large file.
const OF_A_PIECE: u32 = 80;
const POINTS: u32 = 64;

/// A run of large points, each a segment of its own.
fn of_large_points(id: u64, cache: &Arc<Cache>) -> (Arc<Run>, Arc<Image>) {
    let mut builder = MemRunBuilder::new();
    for i in 0..POINTS {
        let value = vec![i as u8; VALUE].into();
        builder.push(i.to_be_bytes().to_vec().into(), Message::Put(value));
    }
    let content = Run::in_memory(RunId(id), builder.finish());
    let encoded = content.encode(Compression::None);
    let source = Image::new(encoded.bytes);
    let run = Run::on_disk(RunId(id), source.clone(), encoded.meta, cache.clone());
    run.get(&u32::MAX.to_be_bytes()).unwrap();
    (run, source)
}

/// The same, in one cache.
fn runs(count: u64) -> Vec<(Arc<Run>, Arc<Image>)> {
    let cache = Arc::new(Cache::new(1 << 20));
    (0..count).map(|id| of_large_points(id, &cache)).collect()
}

/// Reads a file of so many blocks: one by its key, several with a cursor.
fn read(run: &Arc<Run>, points: Range<u32>) {
    if points.len() == 1 {
        return assert!(run.get(&points.start.to_be_bytes()).unwrap().is_some());
    }
    let range = KeyRange::new(
        points.start.to_be_bytes().to_vec(),
        points.end.to_be_bytes().to_vec(),
    );
    let mut cursor = run
        .cursor(
            &range,
            Direction::Forward,
            ReadAhead::Piece((points.len() * VALUE) as u64),
        )
        .unwrap();
    assert_eq!(
        std::iter::from_fn(|| cursor.next().unwrap()).count(),
        points.len()
    );
}

/// Requests and whole points that some reading took.
fn cost(source: &Image, reading: impl FnOnce()) -> (usize, usize) {
    let before = (source.reads(), source.read_bytes());
    reading();
    (
        source.reads() - before.0,
        (source.read_bytes() - before.1) / VALUE,
    )
}

#[test]
fn files_of_all_sizes_are_read_on_from_each_other() {
    let (run, source) = runs(1).remove(0);
    let (requests, points) = cost(&source, || {
        let mut at = 0;
        for blocks in [
            1, 2, 1, 1, 5, 1, 3, 1, 1, 2, 4, 6, 1, 1, 7, 1, 1, 2, 3, 1, 7, 1, 2, 6, 3,
        ] {
            read(&run, at..at + blocks);
            at += blocks;
        }
        assert_eq!(at, POINTS);
    });
    assert_eq!(points, 64, "each once");
    assert!(requests <= 8, "{requests} requests");
}

/// What lies in a directory comes before what lies in its subdirectories, and is read with those in between.
#[test]
fn what_waits_is_not_lost_to_who_goes_down_first() {
    let (run, source) = runs(1).remove(0);
    let (requests, points) = cost(&source, || {
        let files = |points: Range<u32>| points.for_each(|i| read(&run, i..i + 1));
        for part in [
            0..4,
            20..26,
            34..36,
            26..28,
            36..44,
            28..34,
            4..9,
            44..50,
            9..20,
            50..64,
        ] {
            files(part);
        }
    });
    assert_eq!(points, 64, "each once");
    assert!(requests <= 14, "{requests} requests");
}

#[test]
fn who_comes_to_the_end_of_a_run_goes_on_in_the_next() {
    let runs = runs(4);
    let requests = runs.iter().map(|(run, source)| {
        let reading = || (0..POINTS).for_each(|i| read(run, i..i + 1));
        cost(source, reading).0
    });
    let requests: Vec<_> = requests.collect();
    assert!(requests[0] <= 9 && requests[1..] == [4; 3], "{requests:?}");
}

#[test]
fn who_is_known_to_want_much_gets_just_that() {
    let (run, source) = runs(1).remove(0);
    for start in (0..POINTS).step_by(16) {
        let end = start + 16;
        assert_eq!(cost(&source, || read(&run, start..end)), (1, 16));
    }
}

#[test]
fn who_reads_here_and_there_reads_no_more_than_he_asks_for() {
    let mut rng = Rng::with_seed(4);
    for _ in 0..50 {
        let (run, source) = runs(1).remove(0);
        let mut places: Vec<u32> = (0..POINTS).step_by(8).collect();
        rng.shuffle(&mut places);
        for at in places {
            let blocks = rng.u32(1..5);
            let (requests, points) = cost(&source, || read(&run, at..at + blocks));
            assert_eq!((requests, points), (1, blocks as usize), "at {at}");
        }
    }
}

/// A run of pages, as a layer of a large file.
fn layer(cache_bytes: u64) -> (Arc<Run>, Arc<Image>) {
    let mut builder = MemRunBuilder::new();
    for i in 0..PAGES {
        let value = vec![i as u8; PAGE].into();
        builder.push(i.to_be_bytes().to_vec().into(), Message::patch(0, value));
    }
    let encoded = Run::in_memory(RunId(1), builder.finish()).encode(Compression::None);
    let source = Image::new(encoded.bytes);
    let cache = Arc::new(Cache::new(cache_bytes));
    let run = Run::on_disk(RunId(1), source.clone(), encoded.meta, cache);
    run.get(&u32::MAX.to_be_bytes()).unwrap();
    (run, source)
}

/// What the run has of one of the pieces in which a kernel reads a large file.
fn read_piece(run: &Arc<Run>, piece: u32) {
    let pages = piece * OF_A_PIECE..PAGES.min((piece + 1) * OF_A_PIECE);
    let bounds = [pages.start, pages.end].map(|page| page.to_be_bytes().to_vec());
    let [lo, hi] = bounds;
    let ahead = ReadAhead::Piece(1 << 20);
    let range = KeyRange::new(lo, hi);
    let mut cursor = run.cursor(&range, Direction::Forward, ahead).unwrap();
    let found = std::iter::from_fn(|| cursor.next().unwrap()).count();
    assert_eq!(found, pages.len());
}

#[test]
fn a_layer_of_a_large_file_is_read_in_windows() {
    for cache in [1 << 20, 1 << 30] {
        let (run, source) = layer(cache);
        let before = (source.reads(), source.read_bytes());
        (0..PAGES.div_ceil(OF_A_PIECE)).for_each(|piece| read_piece(&run, piece));
        let requests = source.reads() - before.0;
        assert!(requests <= 12, "{requests} requests for 8 MiB");
        let bytes = source.read_bytes() - before.1;
        assert!(bytes <= source.bytes.len(), "{bytes}: some twice");
    }
}

#[test]
fn who_reads_pieces_side_by_side_reads_nothing_twice() {
    for _ in 0..20 {
        let (run, source) = layer(1 << 30);
        let before = (source.reads(), source.read_bytes());
        let both = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for one in 0..2 {
                let (run, both) = (&run, &both);
                scope.spawn(move || {
                    for pair in 0..PAGES.div_ceil(2 * OF_A_PIECE) {
                        both.wait();
                        read_piece(run, 2 * pair + one);
                    }
                });
            }
        });
        let bytes = source.read_bytes() - before.1;
        assert!(bytes <= source.bytes.len(), "{bytes}: some twice");
        let requests = source.reads() - before.0;
        assert!(requests <= 24, "{requests} requests for 8 MiB");
    }
}

#[test]
fn what_waits_is_bounded() {
    let cache = Arc::new(Cache::new(1 << 20));
    let runs: Vec<_> = (0..40).map(|id| of_large_points(id, &cache)).collect();
    let mut most = 0;
    for (run, _) in &runs {
        (0..17).for_each(|i| read(run, i..i + 1));
        most = cache.leads.bytes().max(most);
    }
    assert!((HELD * 3 / 4..=HELD).contains(&most), "{most} bytes");
    assert_eq!(cache.leads.len(), 32);
}
