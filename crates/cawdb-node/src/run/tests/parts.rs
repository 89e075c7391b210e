//! Parts of large values: read alone, verified alone, and the same as all of them would say.

use super::*;
use crate::Part;
use crate::run::index::NO_PAGES;
use crate::run::index_wire::PAGED;
use crate::run::pages::{LEAST, PAGE};
use std::ops::Range;

/// Bytes that do not compress.
fn noise(rng: &mut Rng, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes.into()
}

/// A run of `count` values of sixteen pages, on disk, as a file is.
fn file(count: u32) -> (Vec<Bytes>, Arc<Run>, Arc<Image>) {
    let mut rng = Rng::with_seed(11);
    values((0..count).map(|_| noise(&mut rng, 16 * PAGE)).collect())
}

fn mem_run(values: &[Bytes]) -> MemRun {
    let mut builder = MemRunBuilder::new();
    for (n, value) in values.iter().enumerate() {
        builder.push(key(n), Message::Put(value.clone()));
    }
    builder.finish()
}

/// A run of these values.
fn values(values: Vec<Bytes>) -> (Vec<Bytes>, Arc<Run>, Arc<Image>) {
    let (_, run, image) = both_bodies(mem_run(&values), Compression::Lz4, 64 << 20);
    run.load_index().unwrap();
    (values, run, image)
}

fn key(n: usize) -> Key {
    Key::from(format!("file/{n:06}"))
}

/// The same run by an image that nobody read from, as far as its cache knows.
fn reopened(run: &Run, image: &Arc<Image>) -> Arc<Run> {
    let cache = Arc::new(Cache::new(1 << 20));
    let meta = run.meta().expect("it lies on a disk");
    let run = Run::on_disk(RunId(7), image.clone(), meta, cache);
    run.load_index().unwrap();
    run
}

/// What a run says of part of a value; how much it read for that.
fn ask(run: &Arc<Run>, image: &Image, n: usize, want: Range<usize>) -> (Result<Bytes>, usize) {
    let before = image.read_bytes();
    let found = run.get_part(&key(n), &want, &mut || ());
    let bytes = found.map(|found| match found.expect("a value") {
        Found::Part(part) => part.within(&want),
        Found::Message(message) => Part::whole(message.resolve().unwrap()).within(&want),
    });
    (bytes, image.read_bytes() - before)
}

#[test]
fn parts_are_those_of_all_of_a_value() {
    let mut rng = Rng::with_seed(5);
    let lengths: Vec<_> = (0..60).map(|_| rng.usize(66_000..200_000)).collect();
    let (all, run, image) = values(lengths.iter().map(|len| noise(&mut rng, *len)).collect());
    let mut alone = 0;
    for _ in 0..1000 {
        // Each by a reader who was not there before.
        let run = reopened(&run, &image);
        let n = rng.usize(..all.len());
        let len = all[n].len();
        let start = match rng.u8(..3) {
            0 => rng.usize(..len) / PAGE * PAGE,
            1 => rng.usize(..len),
            _ => len - rng.usize(..20_000),
        };
        let want = start..start + [1, 100, PAGE, 3 * PAGE, 20_000][rng.usize(..5)];
        let (bytes, read) = ask(&run, &image, n, want.clone());
        assert_eq!(bytes.unwrap(), clipped(&all[n], &want), "{n} {want:?}");
        alone += usize::from((1..16 * PAGE).contains(&read));
    }
    assert!(alone > 500, "{alone} parts were read alone");
}

fn clipped(value: &Bytes, want: &Range<usize>) -> Bytes {
    value.slice(want.start.min(value.len())..want.end.min(value.len()))
}

#[test]
fn who_reads_here_and_there_reads_pages() {
    let mut rng = Rng::with_seed(2);
    let (values, run, image) = file(800);
    let mut all = 0;
    for _ in 0..500 {
        let (n, page) = (rng.usize(..800), rng.usize(..16));
        let want = page * PAGE..(page + 1) * PAGE;
        let (bytes, read) = ask(&run, &image, n, want.clone());
        assert_eq!(bytes.unwrap(), values[n].slice(want));
        all += read;
    }
    // One of six comes near where somebody was a moment ago.
    assert!(all < 500 * 5 * PAGE, "{all}");
    let (none, read) = ask(&run, &image, 3, 16 * PAGE..17 * PAGE);
    assert_eq!((none.unwrap().len(), read), (0, 0));
}

#[test]
fn who_goes_on_reads_as_much_at_once_as_ever() {
    let (values, run, image) = file(200);
    let before = image.reads();
    for (n, value) in values.iter().enumerate() {
        for page in 0..16 {
            let want = page * PAGE..(page + 1) * PAGE;
            let (bytes, _) = ask(&run, &image, n, want.clone());
            assert_eq!(bytes.unwrap(), value.slice(want), "{n}, page {page}");
        }
    }
    let requests = image.reads() - before;
    let bytes = image.read_bytes();
    assert!(requests < 30, "{requests} requests for 200 values in order");
    assert!(bytes < 201 * 17 * PAGE, "{bytes} bytes");
}

/// Requests that readers of one page after the other take, each of his own values, in turn.
fn requests_in_turn(readers: &[Range<usize>], backwards: bool) -> usize {
    let (all, run, image) = file(200);
    let before = image.reads();
    for step in 0..readers[0].len() * 16 {
        for reader in readers {
            let at = match backwards {
                true => reader.end * 16 - 1 - step,
                false => reader.start * 16 + step,
            };
            let (n, page) = (at / 16, at % 16);
            let want = page * PAGE..(page + 1) * PAGE;
            let (bytes, _) = ask(&run, &image, n, want.clone());
            assert_eq!(bytes.unwrap(), all[n].slice(want), "{n}, page {page}");
        }
    }
    image.reads() - before
}

#[test]
fn who_goes_backwards_or_beside_others_reads_no_segment_twice() {
    let backwards = requests_in_turn(&[0..100, 100..200], true);
    assert!(backwards <= 204, "{backwards} requests for 200 values");
    let apart: Vec<_> = (0..8).map(|n| n * 25..n * 25 + 20).collect();
    let beside = requests_in_turn(&apart, false);
    assert!(beside < 8 * 20, "{beside} requests of eight readers");
}

#[test]
fn who_comes_back_reads_all_and_finds_it() {
    let (_, run, image) = file(50);
    assert_eq!(ask(&run, &image, 20, 0..10).1, PAGE);
    let all = image_segment(&run, 20);
    assert_eq!(ask(&run, &image, 20, PAGE..PAGE + 10).1, all);
    assert_eq!(ask(&run, &image, 20, 9 * PAGE..10 * PAGE).1, 0);
}

#[test]
fn who_begins_among_many_who_stopped_is_not_forgotten() {
    let (_, run, image) = file(800);
    for n in (0..40).map(|reader| reader * 12) {
        for (n, page) in [(n, 0), (n, 1), (n + 1, 0)] {
            let want = page * PAGE..(page + 1) * PAGE;
            ask(&run, &image, n, want).0.unwrap();
        }
    }
    let before = image.reads();
    for page in 0..16 {
        let want = page * PAGE..(page + 1) * PAGE;
        ask(&run, &image, 700, want).0.unwrap();
    }
    assert_eq!(image.reads() - before, 2, "a page, then all");
}

#[test]
fn who_reads_here_and_there_does_not_cut_short_what_others_read_ahead() {
    let (all, run, image) = file(400);
    // Somebody read a little of each tenth.
    for n in (20..340).step_by(10) {
        assert_eq!(ask(&run, &image, n, 0..10).1, PAGE);
    }
    let before = image.reads();
    for (n, value) in all.iter().enumerate() {
        assert_eq!(run.get(&key(n)).unwrap(), Some(Message::Put(value.clone())));
    }
    let requests = image.reads() - before;
    assert!(requests < 35, "{requests} requests");
}

fn image_segment(run: &Run, n: usize) -> usize {
    let Body::Disk(disk) = run.body() else {
        panic!("it lies on a disk");
    };
    disk.index().unwrap().segments[n].stored_len()
}

#[test]
fn a_page_that_is_damaged_is_an_error_for_who_wants_it_and_for_nobody_else() {
    let (values, run, image) = file(3);
    let Body::Disk(disk) = run.body() else {
        panic!("it lies on a disk");
    };
    let index = disk.index().unwrap();
    let (value, sums) = index.paged(1).expect("pages");
    assert_eq!(sums.len(), 16);
    let mut bad = image.bytes.to_vec();
    let start = index.segments[1].offset as usize + value.start;
    bad[start + 5 * PAGE + 7] ^= 1;
    let damaged = Image::new(bad);
    let run = reopened(&run, &damaged);
    // Whoever was there before.
    for page in (0..16).chain(0..16) {
        let want = page * PAGE..(page + 1) * PAGE;
        match ask(&run, &damaged, 1, want.clone()).0 {
            Ok(bytes) => assert_eq!((bytes, page != 5), (values[1].slice(want), true)),
            Err(e) => {
                assert_eq!(page, 5, "{e}");
                let text = e.to_string();
                assert!(
                    text.contains("run 7, segment 1") && text.contains("page 5"),
                    "{text}"
                );
            }
        }
    }
    assert!(run.get(&key(1)).is_err());
    let damages = run.verify(&mut |_| ());
    assert_eq!((damages.len(), damages[0].is_unreadable()), (1, true));
}

#[test]
fn who_comes_to_the_end_of_a_run_goes_on_in_the_next() {
    let (all, first, image) = file(20);
    let Body::Disk(disk) = first.body() else {
        panic!("it lies on a disk");
    };
    let encoded = Run::in_memory(RunId(8), mem_run(&all)).encode(Compression::None);
    let next_image = Image::new(encoded.bytes);
    let next = Run::on_disk(
        RunId(8),
        next_image.clone(),
        encoded.meta,
        disk.cache.clone(),
    );
    next.load_index().unwrap();
    for n in 0..20 {
        assert!(first.get(&key(n)).unwrap().is_some());
    }
    assert!(image.reads() > 0);
    let (bytes, read) = ask(&next, &next_image, 0, 0..10);
    assert_eq!(bytes.unwrap(), all[0].slice(..10));
    assert!(
        read > 16 * PAGE,
        "{read} bytes: he goes on with long windows"
    );
}

#[test]
fn an_index_whose_pages_do_not_fit_its_segments_is_refused() {
    let (_, run, image) = values(vec![noise(&mut Rng::with_seed(4), LEAST + 5)]);
    let Body::Disk(disk) = run.body() else {
        panic!("it lies on a disk");
    };
    let good = &image.bytes[disk.meta.index_offset() as usize..];
    let decode = |block: &[u8]| RunIndex::decode(RunId(7), &disk.meta, block).map(drop);
    decode(good).unwrap();
    let sum = disk.index().unwrap().segments[0].checksum.0.to_le_bytes();
    let at = good.windows(8).position(|bytes| bytes == sum).unwrap() - 1;
    assert_eq!(good[at], PAGED);
    // What follows the code: a checksum, then points and logical bytes of the segment.
    let spoil = |place: usize, with: u8| {
        let mut bad = good.to_vec();
        bad[place] = with;
        decode(&bad).expect_err("a lie").to_string()
    };
    for (place, with) in [
        (at + 9, 2),
        (at + 10, good[at + 10] ^ 1),
        (at - 3, good[at - 3] ^ 1),
    ] {
        let error = spoil(place, with);
        assert!(error.contains("segment with pages"), "{place}: {error}");
    }
    // Behind the sums stand five bytes: no delete-ranges, and the filter of one key.
    let mut cut = good[..good.len() - 5 - 2].to_vec();
    let body = cut.len() as u32 - 24;
    cut[12..16].copy_from_slice(&body.to_le_bytes());
    assert!(decode(&cut).is_err());
}

/// As versions before the sixth wrote it.
#[test]
fn a_large_value_without_pages_is_read_whole() {
    let (all, run, image) = file(3);
    let Body::Disk(disk) = run.body() else {
        panic!("it lies on a disk");
    };
    let mut old = disk.index_on_disk().unwrap();
    for info in &mut old.segments {
        let start = info.offset as usize;
        let stored = &image.bytes[start..start + info.stored_len()];
        (info.checksum, info.pages) = (cawdb_disk::Checksum::of(stored), NO_PAGES);
    }
    let block = old.encode(RunId(7));
    assert_eq!(block.len() + 3 * 64, disk.meta.index_len as usize);
    let mut meta = disk.meta;
    let segments = &image.bytes[..meta.index_offset() as usize];
    (meta.index_len, meta.index_checksum) = (block.len() as u32, cawdb_disk::Checksum::of(&block));
    meta.len = (segments.len() + block.len()) as u64;
    let image = Image::new([segments, &block].concat());
    let run = Run::on_disk(RunId(7), image.clone(), meta, Arc::new(Cache::new(1 << 20)));
    run.load_index().unwrap();
    let (bytes, read) = ask(&run, &image, 1, 0..10);
    assert_eq!(bytes.unwrap(), all[1].slice(..10));
    assert_eq!(read, image_segment(&run, 1));
    assert!(run.verify(&mut |_| ()).is_empty());
}
