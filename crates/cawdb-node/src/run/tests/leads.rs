//! Where readers go on: after each other, behind what waits for somebody else, and from run to run.

use super::*;
use std::ops::Range;

const VALUE: usize = 64 << 10;
const POINTS: u32 = 64;

/// Runs of large points, each a segment of its own, in one cache.
fn runs(count: u64) -> Vec<(Arc<Run>, Arc<Image>)> {
    let cache = Arc::new(Cache::new(1 << 20));
    let open = |id| {
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
    };
    (0..count).map(open).collect()
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
