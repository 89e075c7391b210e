//! The journal against a list of records: wrapping, crashes, damage.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawdb_disk::journal::{Entry, HEADER_BYTES, Reader, Record, record_bytes};
use cawdb_disk::{Disk, Error, Extent, FaultyDisk, Journal, OpKind, RamDisk};
use fastrand::Rng;
use std::collections::VecDeque;
use std::sync::Arc;

const RING: Extent = Extent::new(4096, 16 << 10);
const UUID: [u8; 16] = [5; 16];

fn blank() -> RamDisk {
    let disk = RamDisk::new();
    disk.reserve(Extent::new(0, 32 << 10)).unwrap();
    disk
}

fn read_all(disk: Arc<dyn Disk>, from: u64, seq: u64) -> Result<(Vec<Entry>, Reader), Error> {
    let mut reader = Reader::new(disk, RING, UUID, from, seq)?;
    let entries = reader.by_ref().collect::<Result<_, _>>()?;
    Ok((entries, reader))
}

/// A store of nothing but a journal, with a model of what must be there.
struct Life {
    rng: Rng,
    /// All records that count, oldest first.
    kept: VecDeque<Entry>,
    /// How many of them are durable.
    durable: usize,
    tail: u64,
    seq: u64,
}

impl Life {
    fn payload(&mut self) -> Vec<u8> {
        let len = match self.rng.u8(0..16) {
            0 => self.rng.usize(0..3000),
            1..4 => self.rng.usize(0..200),
            // As long as a unit, so that records of different lives begin at the same places.
            _ => 512 - HEADER_BYTES,
        };
        // Repetitive, so that old and new content are easily confused.
        vec![self.rng.u8(0..3); len]
    }

    fn write(&mut self, journal: &mut Journal) {
        let count = self.rng.usize(1..5);
        let payloads: Vec<_> = (0..count).map(|_| self.payload()).collect();
        let seqs: Vec<u64> = (0..count as u64).map(|i| self.seq + 3 * i).collect();
        let records: Vec<_> = payloads
            .iter()
            .zip(&seqs)
            .map(|(payload, &seq)| Record { seq, payload })
            .collect();
        let (head, free) = (journal.head(), journal.free_bytes());
        let wanted: u64 = payloads.iter().map(|p| record_bytes(p.len())).sum();
        match journal.write_group(&records) {
            Ok(end) => {
                assert_eq!(end, head + wanted);
                let mut position = head;
                for (payload, seq) in payloads.into_iter().zip(seqs) {
                    let end = position + record_bytes(payload.len());
                    self.kept.push_back(Entry {
                        position,
                        end,
                        seq,
                        payload,
                    });
                    position = end;
                    self.seq = seq + 1;
                }
            }
            Err(Error::Full { .. }) => assert!(wanted > free),
            Err(e) => panic!("{e}"),
        }
    }

    fn sync(&mut self, disk: &dyn Disk, journal: &mut Journal) {
        disk.sync().unwrap();
        journal.mark_durable(journal.head());
        self.durable = self.kept.len();
    }

    /// What the superblock would hold after a checkpoint.
    fn checkpoint(&mut self, disk: &dyn Disk, journal: &mut Journal) {
        self.sync(disk, journal);
        for _ in 0..self.rng.usize(0..=self.kept.len()) {
            self.tail = self.kept.pop_front().unwrap().end;
            self.durable -= 1;
        }
        journal.set_tail(self.tail);
    }

    /// After a crash exactly a prefix that holds all that was durable must be there.
    fn recover(&mut self, disk: Arc<dyn Disk>, seed: u64) -> Journal {
        let first = self.kept.front().map_or(self.seq, |e| e.seq);
        let (entries, reader) = read_all(disk, self.tail, first).unwrap();
        assert!(
            entries.len() >= self.durable,
            "seed {seed}: lost a durable record"
        );
        assert!(
            entries.iter().eq(self.kept.iter().take(entries.len())),
            "seed {seed}: invented"
        );
        self.kept.truncate(entries.len());
        self.durable = entries.len();
        // Numbers of lost records are given again.
        self.seq = entries.last().map_or(first, |e| e.seq + 1);
        Journal::resume(reader).unwrap()
    }
}

#[test]
fn many_lives_with_crashes() {
    for seed in 0..100 {
        println!("seed {seed}");
        let rng = Rng::with_seed(seed);
        let mut life = Life {
            rng,
            kept: VecDeque::new(),
            durable: 0,
            tail: 0,
            seq: 1,
        };
        let mut disk = Arc::new(FaultyDisk::new(blank()).unwrap());
        let mut journal = Journal::new(disk.clone(), RING, UUID).unwrap();
        for _ in 0..12 {
            for _ in 0..life.rng.usize(0..40) {
                match life.rng.u8(0..6) {
                    0 => life.sync(&*disk, &mut journal),
                    1 => life.checkpoint(&*disk, &mut journal),
                    _ => life.write(&mut journal),
                }
            }
            let crash = life.rng.u64(..);
            disk = Arc::new(FaultyDisk::new(disk.crash(crash)).unwrap());
            journal = life.recover(disk.clone(), seed);
        }
    }
}

/// A journal with some durable records; returns the disk and the entries.
fn durable_records(count: u64) -> (Arc<RamDisk>, Journal, Vec<Entry>) {
    let disk = Arc::new(blank());
    let mut journal = Journal::new(disk.clone(), RING, UUID).unwrap();
    for seq in 1..=count {
        let payload = [seq as u8; 100];
        let end = journal
            .write_group(&[Record {
                seq,
                payload: &payload,
            }])
            .unwrap();
        journal.mark_durable(end);
    }
    let entries = read_all(disk.clone(), 0, 1).unwrap().0;
    assert_eq!(entries.len() as u64, count);
    (disk, journal, entries)
}

#[test]
fn damage_within_is_told_from_a_torn_end() {
    let (disk, _, entries) = durable_records(10);
    let image = disk.image();
    for (i, entry) in entries.iter().enumerate() {
        for at in [0, 5, 9, 20, 30, 39, 41, HEADER_BYTES as u64, 147] {
            let disk = Arc::new(RamDisk::from_image(image.clone()));
            disk.write_at(&[0xee], RING.offset + entry.position + at)
                .unwrap();
            match read_all(disk, 0, 1) {
                Err(Error::Corrupt { what, .. }) => {
                    assert!(
                        i < 9 && what.contains(&entry.position.to_string()),
                        "{i} {at}: {what}"
                    )
                }
                Ok((found, _)) => assert!(i == 9 && found.len() == 9, "{i} {at}"),
                Err(e) => panic!("{e}"),
            }
        }
    }
}

#[test]
fn a_tail_from_before_the_ring_was_reused_is_damage() {
    let (disk, mut journal, _) = durable_records(50);
    for seq in 51..200 {
        journal.set_tail(journal.head());
        journal
            .write_group(&[Record {
                seq,
                payload: &[1; 100],
            }])
            .unwrap();
    }
    assert!(matches!(read_all(disk, 0, 1), Err(Error::Corrupt { .. })));
}

#[test]
fn a_sequence_that_goes_back_is_damage() {
    let disk = Arc::new(blank());
    let mut journal = Journal::new(disk.clone(), RING, UUID).unwrap();
    for seq in [5, 6, 6] {
        journal
            .write_group(&[Record { seq, payload: &[] }])
            .unwrap();
    }
    assert!(matches!(
        read_all(disk.clone(), 0, 5),
        Err(Error::Corrupt { .. })
    ));
    assert!(matches!(read_all(disk, 0, 6), Err(Error::Corrupt { .. })));
}

/// A record that arrived though the one before it did not must not follow a later life's records.
#[test]
fn records_after_a_torn_end_never_come_back() {
    let disk = Arc::new(blank());
    let mut journal = Journal::new(disk.clone(), RING, UUID).unwrap();
    let payload = [1; 100];
    let record = |seq| Record {
        seq,
        payload: &payload,
    };
    journal
        .write_group(&[record(1), record(2), record(3)])
        .unwrap();
    disk.write_at(&[0; 8], RING.offset).unwrap();
    let (entries, reader) = read_all(disk.clone(), 0, 1).unwrap();
    assert_eq!((entries.len(), reader.rejected()), (0, 2));
    let mut journal = Journal::resume(reader).unwrap();
    journal.write_group(&[record(1)]).unwrap();
    let (entries, reader) = read_all(disk, 0, 1).unwrap();
    assert_eq!((entries.len(), reader.rejected()), (1, 0));
}

#[test]
fn another_store_is_foreign() {
    let (disk, ..) = durable_records(3);
    let mut reader = Reader::new(disk, RING, [6; 16], 0, 1).unwrap();
    assert!(reader.next().is_none());
    assert_eq!(reader.rejected(), 0);
}

#[test]
fn impossible_requests_are_refused() {
    let disk = Arc::new(blank());
    assert!(Journal::new(disk.clone(), Extent::new(0, 100), UUID).is_err());
    assert!(Reader::new(disk.clone(), RING, UUID, 3, 0).is_err());
    let beyond = Extent::new(4096, 64 << 10);
    let cut_off = Reader::new(disk.clone(), beyond, UUID, 0, 0);
    assert!(matches!(cut_off, Err(Error::Corrupt { .. })));
    let mut journal = Journal::new(disk.clone(), RING, UUID).unwrap();
    let long = vec![0; journal.max_payload() + 1];
    let record = Record {
        seq: 1,
        payload: &long,
    };
    assert!(matches!(
        journal.write_group(&[record]),
        Err(Error::Invalid(_))
    ));
    let record = Record {
        seq: 1,
        payload: &long[1..],
    };
    journal
        .write_group(&[
            record,
            Record {
                seq: 2,
                payload: &long[1..],
            },
        ])
        .unwrap();
    let record = Record {
        seq: 3,
        payload: &[],
    };
    assert!(matches!(
        journal.write_group(&[record]),
        Err(Error::Full { free: 0, .. })
    ));
    assert_eq!(read_all(disk.clone(), 0, 1).unwrap().0.len(), 2);
    let unread = Reader::new(disk, RING, UUID, 0, 1).unwrap();
    assert!(matches!(Journal::resume(unread), Err(Error::Invalid(_))));
}

#[test]
fn a_failed_write_ends_the_journal() {
    let disk = Arc::new(FaultyDisk::new(blank()).unwrap());
    let mut journal = Journal::new(disk.clone(), RING, UUID).unwrap();
    disk.fail_nth(OpKind::Write, 0);
    let record = Record {
        seq: 1,
        payload: &[1],
    };
    assert!(matches!(
        journal.write_group(&[record]),
        Err(Error::Io { .. })
    ));
    assert!(matches!(
        journal.write_group(&[record]),
        Err(Error::Poisoned(_))
    ));
}

#[test]
fn any_bytes_in_the_ring_are_survived() {
    for seed in 0..300 {
        let (disk, _, entries) = durable_records(20);
        let mut rng = Rng::with_seed(seed);
        for _ in 0..rng.usize(1..200) {
            let at = RING.offset + rng.u64(0..entries[19].end);
            disk.write_at(&[rng.u8(..)], at).unwrap();
        }
        if let Ok((found, _)) = read_all(disk, 0, 1) {
            assert!(entries.starts_with(&found), "seed {seed}");
        }
    }
}

/// A ring full of records that a checkpoint has passed is searched by its chunks, not record by record.
#[test]
fn older_records_cost_a_search_nothing() {
    let disk: Arc<dyn Disk> = Arc::new(blank());
    let mut journal = Journal::new(disk.clone(), RING, UUID).unwrap();
    let mut seq = 1;
    while journal.head() < 2 * RING.len {
        journal
            .write_group(&[Record { seq, payload: b"x" }])
            .unwrap();
        journal.set_tail(journal.head());
        seq += 1;
    }
    let before = disk.stats().reads;
    let (entries, reader) = read_all(disk.clone(), journal.head(), seq).unwrap();
    assert_eq!((entries.len(), reader.rejected()), (0, 0));
    // The record that is not there, twice, and the ring at once; what lies across its end takes two.
    let reads = disk.stats().reads - before;
    assert!(reads <= 8, "{reads} requests");
}
