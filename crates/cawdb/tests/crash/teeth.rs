//! The oracle has teeth: stores that are wrong on purpose are caught.
//!
//! Most wrongs are done to the recording, as if the engine had asked the disk for something else: a sync that is left
//! out, a record that is never written. One is done while reading (a checksum that nobody compares), one in the engine
//! (space that is used again too soon).
use crate::enumerate::{record, record_with};
use crate::judge::{Met, judge, opens};
use crate::session::{Trial, tiny};
use crate::workloads;
use cawdb::Options;
use cawdb::disk::layout::{JOURNAL_OFFSET, SLOTS};
use cawdb::disk::{
    Checksum, Disk, Extent, IoStats, Outage, Outages, RamDisk, RamImage, Request, Result, Sampling,
};
use cawfs_sim::catch;
use std::sync::Arc;

/// The ring of all these stores.
const RING: Extent = Extent::new(JOURNAL_OFFSET, 16 << 10);
/// A request that does nothing, in place of one that was left out, so that positions stay.
const NOTHING: Request = Request::Reserve(Extent::new(0, 0));

fn trial(name: &str) -> Trial {
    record(&workloads::all().find(|w| w.name == name).unwrap(), 0)
}

/// How many of the images are refused by a verdict, of how many; prints what is said of the first.
fn refused(
    name: &str,
    trial: &Trial,
    verdict: impl Fn(&Outage, RamImage) -> std::result::Result<(), String>,
) -> (usize, usize) {
    let sampling = Sampling {
        one_in: 4,
        ..Sampling::sparse(1, 8)
    };
    let (mut tried, mut refused) = (0, 0);
    for (outage, image) in Outages::new(&trial.recording, sampling) {
        tried += 1;
        if let Err(why) = catch(|| verdict(&outage, image)).and_then(|verdict| verdict) {
            if refused == 0 {
                println!("{name}: {outage}: {why}");
            }
            refused += 1;
        }
        if refused >= 5 {
            break;
        }
    }
    println!("{name}: {refused} of {tried} images refused");
    (refused, tried)
}

/// Does a wrong to a recording and asserts that it is caught, and that without it nothing is.
fn caught(name: &str, workload: &str, wrong: impl Fn(&mut Vec<Request>)) {
    let mut trial = trial(workload);
    let judged =
        |trial: &Trial, outage: &Outage, image| judge(trial, outage, image, &mut Met::new());
    let sound = refused("sound", &trial, |o, i| judged(&trial, o, i));
    assert_eq!(sound.0, 0, "{name}: refused without a wrong");
    wrong(&mut trial.recording.requests);
    let wronged = refused(name, &trial, |o, i| judged(&trial, o, i));
    assert!(
        wronged.0 > 0,
        "{name} was not noticed in {} images",
        wronged.1
    );
}

fn in_extent(request: &Request, extent: Extent) -> bool {
    matches!(request, Request::Write { .. }) && extent.contains(&request.extent())
}

fn is_superblock(request: &Request) -> bool {
    SLOTS.iter().flatten().any(|slot| in_extent(request, *slot))
}

/// Replaces the requests of these numbers by nothing.
fn leave_out(requests: &mut [Request], numbers: Vec<usize>) {
    assert!(!numbers.is_empty());
    numbers.into_iter().for_each(|n| requests[n] = NOTHING);
}

fn numbers(requests: &[Request], which: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..requests.len()).filter(|n| which(*n)).collect()
}

#[test]
fn teeth_syncs_that_do_nothing() {
    caught("no sync", "reopening", |requests| {
        let syncs = numbers(requests, |n| requests[n] == Request::Sync);
        leave_out(requests, syncs);
    });
}

#[test]
fn teeth_a_journal_that_is_not_synced() {
    caught("no sync of the journal", "puts", |requests| {
        let after_record = |n: usize| n > 0 && in_extent(&requests[n - 1], RING);
        let syncs = numbers(requests, |n| {
            requests[n] == Request::Sync && after_record(n)
        });
        leave_out(requests, syncs);
    });
}

#[test]
fn teeth_a_superblock_before_its_table() {
    caught("superblock too early", "checkpoints", |requests| {
        let next = |n: usize| requests.get(n + 1).is_some_and(is_superblock);
        let syncs = numbers(requests, |n| requests[n] == Request::Sync && next(n));
        leave_out(requests, syncs);
    });
}

/// What a checkpoint made free is written over before its superblock is durable.
#[test]
fn teeth_a_superblock_that_is_not_synced() {
    caught(
        "superblock not synced",
        "background_in_flight",
        |requests| {
            let after = |n: usize| n > 0 && is_superblock(&requests[n - 1]);
            let syncs = numbers(requests, |n| requests[n] == Request::Sync && after(n));
            leave_out(requests, syncs);
        },
    );
}

#[test]
fn teeth_a_record_that_is_never_written() {
    caught("a record left out", "recovery_itself", |requests| {
        let records = numbers(requests, |n| in_extent(&requests[n], RING));
        leave_out(requests, vec![records[records.len() / 2]]);
    });
}

#[test]
fn teeth_a_run_that_is_never_written() {
    caught(
        "a write of a checkpoint left out",
        "checkpoints",
        |requests| {
            let data = |n: usize| matches!(&requests[n], Request::Write { offset, .. } if *offset >= RING.end());
            let data = numbers(requests, data);
            leave_out(requests, vec![data[data.len() / 2]]);
        },
    );
}

#[test]
fn teeth_space_that_is_used_again_too_soon() {
    let workload = workloads::all()
        .find(|w| w.name == "background_in_flight")
        .unwrap();
    let options = Options {
        premature_reuse: true,
        ..tiny(0)
    };
    let mut trial = record_with(&workload, 0, options);
    trial.options.premature_reuse = false;
    let verdict = |o: &Outage, i| judge(&trial, o, i, &mut Met::new());
    assert!(refused("premature reuse", &trial, verdict).0 > 0);
}

#[test]
fn teeth_a_checksum_that_nobody_compares() {
    let trial = trial("hot_keys");
    let open = |outage: &Outage, disk: Arc<dyn Disk>| opens(&trial, outage, disk).map(|_| ());
    let careful = |o: &Outage, i| open(o, Arc::new(RamDisk::from_image(i)));
    assert_eq!(refused("sound", &trial, careful).0, 0);
    let careless = |o: &Outage, i| open(o, Arc::new(Unchecked(RamDisk::from_image(i))));
    assert!(refused("no checksum", &trial, careless).0 > 0);
}

/// Whatever the checksum of a journal record should be is what is read: as if nobody compared it.
#[derive(Debug)]
struct Unchecked(RamDisk);

impl Unchecked {
    /// Bytes of the ring from an offset on, around its end.
    fn around(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let at = (offset - RING.offset) % RING.len;
        let first = len.min((RING.len - at) as usize);
        self.0.read_at(&mut bytes[..first], RING.offset + at)?;
        self.0.read_at(&mut bytes[first..], RING.offset)?;
        Ok(bytes)
    }
}

impl Disk for Unchecked {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn limit(&self) -> Option<u64> {
        self.0.limit()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.0.read_at(buf, offset)?;
        let header = cawdb::disk::journal::HEADER_BYTES;
        if buf.len() == header && buf.starts_with(b"cawj") && offset < RING.end() {
            let length = u32::from_le_bytes(buf[4..8].try_into().unwrap()) as usize;
            let payload = self.around(offset + header as u64, length.min(RING.len as usize))?;
            let checksum = Checksum::of_parts(&[&buf[..40], &payload]);
            buf[40..].copy_from_slice(&checksum.0.to_le_bytes());
        }
        Ok(())
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> Result<()> {
        self.0.sync()
    }
    fn reserve(&self, extent: Extent) -> Result<()> {
        self.0.reserve(extent)
    }
    fn discard(&self, extent: Extent) -> Result<()> {
        self.0.discard(extent)
    }
    fn occupied(&self) -> Option<u64> {
        self.0.occupied()
    }
    fn stats(&self) -> IoStats {
        self.0.stats()
    }
    fn name(&self) -> String {
        self.0.name()
    }
}
