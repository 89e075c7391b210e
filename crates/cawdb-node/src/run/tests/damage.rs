//! Damaged images: an error or the right answer, never a panic and never wrong data.

use super::*;

/// All that a run can be asked about some keys and ranges.
type Answers = (
    Vec<Option<Message>>,
    Vec<(bool, u64, Option<KeyRange>, Vec<KeyRange>)>,
    Vec<Key>,
);

fn ask(run: &Arc<Run>, keys: &[Key], ranges: &[KeyRange]) -> Result<Answers> {
    let points = keys.iter().map(|k| run.get(k)).collect::<Result<_>>()?;
    let mut about = Vec::new();
    for r in ranges {
        about.push((
            run.holds(r)?,
            run.estimate(r)?,
            run.span(r)?,
            run.delete_ranges(r)?,
        ));
    }
    let mut passed = run.split_keys(&KeyRange::all(), 50)?;
    for direction in [Direction::Forward, Direction::Backward] {
        let mut cursor = run.cursor(&KeyRange::all(), direction, ReadAhead::ADAPTIVE)?;
        while let Some((key, _)) = cursor.next()? {
            passed.push(key);
        }
    }
    Ok((points, about, passed))
}

struct Case {
    encoded: EncodedRun,
    keys: Vec<Key>,
    ranges: Vec<KeyRange>,
    right: Answers,
}

fn case(seed: u64, size: Size, compression: Compression) -> Case {
    let mut rng = Rng::with_seed(seed);
    let (model, mem) = random_run(&mut rng, size);
    let mut keys: Vec<_> = (0..10).map(|_| random_key(&mut rng, size.key)).collect();
    keys.extend(model.points.keys().step_by(7).cloned());
    let ranges: Vec<_> = (0..10).map(|_| random_range(&mut rng, size.key)).collect();
    let run = Run::in_memory(RunId(7), mem);
    let encoded = run.encode(compression);
    let intact = open(encoded.bytes.clone(), encoded.meta);
    let right = ask(&intact, &keys, &ranges).unwrap();
    Case {
        encoded,
        keys,
        ranges,
        right,
    }
}

fn open(image: Vec<u8>, meta: RunMeta) -> Arc<Run> {
    Run::on_disk(
        RunId(7),
        Image::new(image),
        meta,
        Arc::new(Cache::new(1 << 20)),
    )
}

impl Case {
    fn check(&self, image: Vec<u8>, what: &str) {
        let run = open(image, self.encoded.meta);
        match ask(&run, &self.keys, &self.ranges) {
            Ok(found) => assert!(found == self.right, "{what}: wrong data"),
            Err(Error::Corrupt(_)) => {}
            Err(other) => panic!("{what}: {other}"),
        }
        // Whoever asks one thing of a damaged run gets that right, or an error, too.
        for (key, right) in self.keys.iter().zip(&self.right.0) {
            assert!(
                run.get(key).is_ok_and(|f| f == *right) || run.get(key).is_err(),
                "{what}: {key:?}"
            );
        }
    }
}

#[test]
fn every_byte_of_a_small_image() {
    for (seed, compression) in [
        (1, Compression::None),
        (2, Compression::Lz4),
        (3, Compression::Zstd),
    ] {
        let case = case(
            seed,
            Size {
                points: 40,
                key: 4,
                value: 20,
            },
            compression,
        );
        for at in 0..case.encoded.bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut image = case.encoded.bytes.clone();
                image[at] ^= flip;
                let run = open(image.clone(), case.encoded.meta);
                assert!(
                    ask(&run, &case.keys, &case.ranges).is_err(),
                    "byte {at} of seed {seed}"
                );
                case.check(image, &format!("byte {at} of seed {seed}"));
            }
        }
    }
}

#[test]
fn random_bytes_of_large_images() {
    for seed in 0..4 {
        let case = case(seed, SIZES[2 + seed as usize % 2], Compression::None);
        let mut rng = Rng::with_seed(seed);
        for _ in 0..10 {
            let mut image = case.encoded.bytes.clone();
            let at = rng.usize(..image.len());
            image[at] ^= 1 << rng.u8(..8);
            case.check(image, &format!("seed {seed}, byte {at}"));
        }
        case.check(
            case.encoded.bytes[..case.encoded.bytes.len() / 2].to_vec(),
            "cut off",
        );
    }
}

#[test]
fn the_image_of_another_run_is_refused() {
    let case = case(5, SIZES[1], Compression::Lz4);
    let source = Image::new(case.encoded.bytes.clone());
    let run = Run::on_disk(
        RunId(8),
        source,
        case.encoded.meta,
        Arc::new(Cache::new(1 << 20)),
    );
    let error = run.get(b"a").unwrap_err().to_string();
    assert!(
        error.contains("run 8") && error.contains("found 7"),
        "{error}"
    );
}

/// Without checksums to hold them back: forged index blocks.
#[test]
fn forged_index_blocks_are_errors_or_sane() {
    let case = case(
        9,
        Size {
            points: 60,
            key: 5,
            value: 20_000,
        },
        Compression::Lz4,
    );
    let meta = case.encoded.meta;
    let good = &case.encoded.bytes[meta.index_offset() as usize..];
    let mut rng = Rng::with_seed(11);
    let mut accepted = 0;
    for round in 0..20_000 {
        let mut bad = good.to_vec();
        for _ in 0..rng.usize(1..4) {
            // The filter, the larger half of the block, takes any bits.
            let at = rng.usize(
                ..if round % 4 == 0 {
                    bad.len()
                } else {
                    bad.len() / 2
                },
            );
            bad[at] = rng.u8(..);
        }
        if let Ok(index) = RunIndex::decode(RunId(7), &meta, &bad) {
            accepted += 1;
            let stored: u64 = index.segments.iter().map(|s| u64::from(s.stored)).sum();
            assert_eq!(stored, meta.index_offset());
        }
    }
    assert!(accepted < 10_000, "{accepted}");
}

/// Without checksums to hold them back: forged segments.
#[test]
fn forged_segments_never_panic() {
    let mut rng = Rng::with_seed(12);
    let (_, mem) = random_run(&mut rng, SIZES[1]);
    let mut writer = segment_writer::SegmentWriter::default();
    mem.points().iter().for_each(|(k, m)| writer.push(k, m));
    let good = writer.finish().image;
    for round in 0..20_000 {
        let mut bad = good.clone();
        for _ in 0..rng.usize(1..4) {
            let near_end = rng.usize(..bad.len().min(200));
            let at = if round % 2 == 0 {
                rng.usize(..bad.len())
            } else {
                bad.len() - 1 - near_end
            };
            bad[at] = rng.u8(..);
        }
        if round % 8 == 0 {
            bad.truncate(rng.usize(..bad.len()));
        }
        let Ok(segment) = Segment::open(bad.into()) else {
            continue;
        };
        let key = random_key(&mut rng, 6);
        // Any answer will do, so long as there is one.
        let _ = segment.get(&key);
        let _ = segment.bytes_below(&key);
        let _ = segment.cuts();
        let _ = (0..segment.blocks())
            .map(|b| segment.block(b).map(|b| b.len()))
            .collect::<Vec<_>>();
    }
}

/// With a right checksum, but written wrongly: keys that do not ascend lie outside of what was asked for.
#[test]
fn a_block_out_of_order_is_refused() {
    let put = |key: &[u8]| (Key::copy_from_slice(key), Message::Put(Key::new()));
    for (keys, whole) in [
        ([b"aa", b"ab", b"ac"], true),
        ([b"aa", b"zz", b"ac"], false),
        ([b"ab", b"aa", b"ac"], false),
        ([b"aa", b"aa", b"ac"], false),
    ] {
        let mut writer = segment_writer::SegmentWriter::default();
        for key in keys {
            let (key, message) = put(key);
            writer.push(&key, &message);
        }
        let segment = Segment::open(writer.finish().image.into()).unwrap();
        assert_eq!(segment.block(0).is_ok(), whole, "{keys:?}");
    }
}

/// An image of which some bytes cannot be read.
struct Scratched {
    image: Arc<Image>,
    unreadable: Range<u64>,
}

impl RunSource for Scratched {
    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let read = offset..offset + len as u64;
        if read.start < self.unreadable.end && self.unreadable.start < read.end {
            let io = std::io::Error::from_raw_os_error(5);
            return Err(cawdb_disk::Error::io("read", io).into());
        }
        self.image.read_at(offset, len)
    }
}

/// A run of 64 points of 64 KiB, of which point 20 cannot be read.
fn scratched() -> Arc<Run> {
    let mut points = MemRunBuilder::new();
    for i in 0..64_u32 {
        let value = vec![i as u8; 64 << 10];
        points.push(i.to_be_bytes().to_vec().into(), Message::Put(value.into()));
    }
    let encoded = Run::in_memory(RunId(7), points.finish()).encode(Compression::None);
    Run::on_disk(
        RunId(7),
        Arc::new(Scratched {
            image: Image::new(encoded.bytes),
            // In the segment of point 20, after whatever goes before.
            unreadable: 20 * 65_600..20 * 65_600 + 1,
        }),
        encoded.meta,
        Arc::new(Cache::new(1 << 20)),
    )
}

#[test]
fn a_range_is_whole_if_all_of_it_can_be_read() {
    let run = scratched();
    let range = |lo: u32, hi: u32| KeyRange {
        lo: lo.to_be_bytes().to_vec().into(),
        hi: Some(hi.to_be_bytes().to_vec().into()),
    };
    for whole in [range(0, 20), range(21, 64), range(70, 90)] {
        run.check(&whole).unwrap();
    }
    for damaged in [range(20, 21), range(10, 30), KeyRange::all()] {
        run.check(&damaged).unwrap_err();
    }
}

/// Who reads ahead learns too early what cannot be read, and who wants what lies before it shall have that.
#[test]
fn what_cannot_be_read_fails_who_wants_it_and_no_neighbour() {
    let run = scratched();
    for _ in 0..2 {
        let failed = (0..64_u32).filter(|i| run.get(&i.to_be_bytes()).is_err());
        assert_eq!(failed.collect::<Vec<_>>(), [20]);
    }
    for ahead in [
        ReadAhead::ADAPTIVE,
        ReadAhead::Piece(0),
        ReadAhead::Piece(1 << 20),
        ReadAhead::Full,
    ] {
        for (direction, readable) in [(Direction::Forward, 20), (Direction::Backward, 43)] {
            let mut cursor = run.cursor(&KeyRange::all(), direction, ahead).unwrap();
            let read = std::iter::from_fn(|| cursor.next().ok().flatten());
            assert_eq!(read.count(), readable, "{direction:?}");
        }
    }
}
