//! What is read and kept: requests, the cache's budget, settling.

use super::*;

fn small_run(points: u32, len: usize) -> MemRun {
    let mut builder = MemRunBuilder::new();
    for i in 0..points {
        let value = (0..len).map(|_| fastrand::u8(..)).collect::<Vec<_>>();
        builder.push(i.to_be_bytes().to_vec().into(), Message::Put(value.into()));
    }
    builder.finish()
}

#[test]
fn a_small_image_is_opened_by_one_request_and_a_large_one_by_two() {
    let (_, run, source) = both_bodies(small_run(100, 10), Compression::Lz4, 1 << 20);
    for i in 0..100_u32 {
        assert!(run.get(&i.to_be_bytes()).unwrap().is_some());
    }
    run.cursor(&KeyRange::all(), Direction::Forward, ReadAhead::ADAPTIVE)
        .unwrap()
        .next()
        .unwrap();
    assert_eq!(source.reads(), 1);
    let (_, run, source) = both_bodies(small_run(100, 60_000), Compression::Lz4, 1 << 30);
    assert!(run.get(&50_u32.to_be_bytes()).unwrap().is_some());
    assert_eq!(source.reads(), 2);
    assert!(run.get(&50_u32.to_be_bytes()).unwrap().is_some());
    assert!(
        run.get(b"\0\0\0\x10\0").unwrap().is_none(),
        "the filter says no, or one more is read"
    );
    assert!(source.reads() <= 3);
}

#[test]
fn the_budget_holds_and_removed_runs_leave_nothing() {
    let cache = Arc::new(Cache::new(300_000));
    let runs: Vec<_> = (0..40)
        .map(|id| {
            let content = Run::in_memory(RunId(id), small_run(20, 3000));
            let encoded = content.encode(Compression::None);
            content.settle(Image::new(encoded.bytes.clone()), &encoded, cache.clone());
            assert!(!content.is_dirty());
            assert_eq!(content.meta(), Some(encoded.meta));
            assert!(cache.stats().bytes <= cache.budget());
            content
        })
        .collect();
    let mut rng = Rng::with_seed(1);
    for _ in 0..2000 {
        let run = &runs[rng.usize(..40)];
        assert!(run.get(&rng.u32(..20).to_be_bytes()).unwrap().is_some());
        assert!(cache.stats().bytes <= cache.budget());
    }
    let stats = cache.stats();
    assert!(
        stats.hits > 0 && stats.misses > 0 && stats.evictions > 0,
        "{stats:?}"
    );
    cache.set_budget(100_000);
    assert!(cache.stats().bytes <= 100_000);
    let bytes = cache.stats().bytes;
    drop(runs);
    assert_eq!(cache.stats().bytes, 0, "of {bytes} before");
}

#[test]
fn cursors_of_the_old_body_outlive_settling() {
    let run = Run::in_memory(RunId(3), small_run(200, 100));
    let mut cursor = run
        .cursor(&KeyRange::all(), Direction::Forward, ReadAhead::ADAPTIVE)
        .unwrap();
    let first = cursor.next().unwrap().unwrap();
    let encoded = run.encode(Compression::Zstd);
    let source = Image::new(encoded.bytes.clone());
    run.settle(source.clone(), &encoded, Arc::new(Cache::new(1 << 20)));
    assert_eq!(std::iter::from_fn(|| cursor.next().unwrap()).count(), 199);
    assert_eq!(run.get(&first.0).unwrap(), Some(first.1));
    assert_eq!(source.reads(), 0, "what was just written is still cached");
}

#[test]
#[should_panic(expected = "on disk already")]
fn a_run_on_disk_is_not_encoded_again() {
    both_bodies(small_run(1, 1), Compression::None, 0)
        .1
        .encode(Compression::None);
}

#[test]
fn values_of_a_built_run_keep_nothing_else_alive() {
    let segment = Bytes::from(vec![1_u8; 1 << 20]);
    let mut builder = MemRunBuilder::new();
    builder.push(Key::from_static(b"a"), Message::Put(segment.slice(5..1000)));
    builder.push(
        Key::from_static(b"b"),
        Message::patch(3, segment.slice(5..10)),
    );
    let run = builder.finish();
    assert!(segment.is_unique(), "small values were copied out");
    assert_eq!(run.get(b"a"), Some(Message::Put(vec![1; 995].into())));
}

#[test]
fn the_image_on_a_disk_is_read_within_its_place() {
    use cawdb_disk::{Class, Disk, Place, RamDisk, SpaceMap};
    let run = Run::in_memory(RunId(3), small_run(200, 100));
    let encoded = run.encode(Compression::Lz4);
    let disk: Arc<dyn Disk> = Arc::new(RamDisk::new());
    let space = Arc::new(SpaceMap::new(4096, None).unwrap());
    let len = encoded.bytes.len().next_multiple_of(512);
    let extent = space.allocate(len as u64, Class::User).unwrap();
    let mut padded = encoded.bytes.clone();
    padded.resize(len, 0);
    disk.write_at(&padded, extent.offset).unwrap();
    let place = Arc::new(Place::new(extent, 0, space.clone()));
    run.settle(
        Arc::new(PlacedImage::new(disk.clone(), place)),
        &encoded,
        Arc::new(Cache::new(0)),
    );
    assert!(run.get(&7_u32.to_be_bytes()).unwrap().is_some());
    assert_eq!(run.place().unwrap().extent(), extent);
    let beyond = PlacedImage::new(disk, run.place().unwrap());
    assert!(beyond.read_at(len as u64 - 1, 2).is_err());
    assert!(beyond.read_at(u64::MAX, 2).is_err());
    drop((beyond, run));
    assert_eq!(
        space.allocated_bytes(),
        0,
        "the last owner frees the extent"
    );
}

#[test]
fn a_cursor_reads_ahead_but_not_beyond_its_range() {
    for budget in [0, 1 << 30] {
        for direction in [Direction::Forward, Direction::Backward] {
            for (ahead, requests) in [(ReadAhead::ADAPTIVE, 10), (ReadAhead::Full, 5)] {
                let (_, run, source) =
                    both_bodies(small_run(64, 64 << 10), Compression::None, budget);
                let mut cursor = run.cursor(&KeyRange::all(), direction, ahead).unwrap();
                assert_eq!(source.reads(), 1, "the index");
                assert_eq!(std::iter::from_fn(|| cursor.next().unwrap()).count(), 64);
                assert!(
                    source.reads() <= requests,
                    "{} requests for 4 MiB",
                    source.reads()
                );
            }
        }
    }
}

/// Reads three points of 60 with one cursor: how many requests it took, and then how many the same points one by one, the last
/// first, and the next one took.
fn requests_for_three(value: usize, ahead: ReadAhead) -> (usize, usize, usize) {
    let content = small_run(64, value);
    let (_, run, source) = both_bodies(content, Compression::None, 1 << 30);
    let few = KeyRange::new(10_u32.to_be_bytes().to_vec(), 13_u32.to_be_bytes().to_vec());
    let mut cursor = run.cursor(&few, Direction::Forward, ahead).unwrap();
    assert_eq!(std::iter::from_fn(|| cursor.next().unwrap()).count(), 3);
    let scan = source.reads();
    for i in (10..13_u32).rev() {
        assert!(run.get(&i.to_be_bytes()).unwrap().is_some());
    }
    let again = source.reads() - scan;
    assert!(run.get(&13_u32.to_be_bytes()).unwrap().is_some());
    (scan, again, source.reads() - scan - again)
}

#[test]
fn large_points_that_a_cursor_passed_are_not_cached() {
    let large = |ahead| requests_for_three(64 << 10, ahead);
    assert_eq!(
        large(ReadAhead::ADAPTIVE),
        (3, 1, 1),
        "index, one segment, the other two, which its lead still holds"
    );
    assert_eq!(
        large(ReadAhead::Piece(192 << 10)),
        (2, 0, 1),
        "index, all three"
    );
    assert_eq!(large(ReadAhead::Full), (2, 3, 1), "and nobody goes on");
    // Several points to a segment: the three, and the next one, are cached with what is around them.
    let (scan, again, _) = requests_for_three(30_000, ReadAhead::Full);
    assert_eq!((scan, again), (2, 0));
}

/// Requests for points of 64 large ones, read one by one.
fn requests_for(numbers: impl IntoIterator<Item = u32>, budget: u64) -> usize {
    let (_, run, source) = both_bodies(small_run(64, 64 << 10), Compression::None, budget);
    for i in numbers {
        assert!(run.get(&i.to_be_bytes()).unwrap().is_some());
    }
    source.reads() - 1
}

#[test]
fn point_reads_in_order_read_ahead_and_others_do_not() {
    for budget in [1 << 20, 1 << 30] {
        assert!(requests_for(0..64, budget) <= 10);
        assert_eq!(requests_for((0..64).rev(), budget), 64);
        assert_eq!(
            requests_for((0..64).step_by(4), budget),
            16,
            "too far apart"
        );
        let two = (0..32).flat_map(|i| [i, 32 + i]);
        assert!(requests_for(two, budget) <= 16, "two readers at once");
        // Each part of a large point is asked for by itself; it is read once.
        let parts = (0..64).flat_map(|i| [i; 4]);
        assert!(requests_for(parts, budget) <= 10);
    }
}

#[test]
fn a_run_that_is_gone_leaves_no_lead() {
    let cache = Arc::new(Cache::new(1 << 20));
    let run = Run::in_memory(RunId(3), small_run(64, 64 << 10));
    let encoded = run.encode(Compression::None);
    run.settle(Image::new(encoded.bytes.clone()), &encoded, cache.clone());
    for i in 0..5_u32 {
        assert!(run.get(&i.to_be_bytes()).unwrap().is_some());
    }
    assert_eq!(cache.leads.len(), 1);
    drop(run);
    assert_eq!(cache.leads.len(), 0);
}

/// A run whose segments hold several points each, and what reading some of them in order did to its cache.
#[test]
fn what_is_read_once_leaves_soon_and_what_is_read_again_stays() {
    let budget = 1 << 20;
    let content = small_run(600, 3000);
    let encoded = Run::in_memory(RunId(7), content).encode(Compression::None);
    let (cache, source) = (Arc::new(Cache::new(budget)), Image::new(encoded.bytes));
    let run = Run::on_disk(RunId(7), source.clone(), encoded.meta, cache.clone());
    let read = |numbers: Range<u32>| {
        let before = source.reads();
        for i in numbers {
            assert!(run.get(&i.to_be_bytes()).unwrap().is_some());
        }
        source.reads() - before
    };
    let few = 0..20;
    assert!(read(few.clone()) > 0);
    assert_eq!(read(few.clone()), 0, "they are young");
    read(100..600);
    let held = cache.stats().bytes;
    assert!(held < budget / 4, "{held} bytes of what was read once");
    assert!(read(few.clone()) > 0, "they left for others");
    read(100..350);
    assert_eq!(read(few), 0, "they were read again, and stay");
}
