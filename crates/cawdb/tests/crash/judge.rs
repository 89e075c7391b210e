//! The verdict on one image: it opens as an allowed version, whole, and goes on as a store.
use crate::history::Content;
use crate::session::{Session, Trial, batch, content};
use cawdb::disk::layout::SLOTS;
use cawdb::disk::{Disk, Outage, Outages, RamDisk, RamImage, Sampling, superblock};
use cawdb::{Error, Options, Store};
use cawfs_sim::{KvOp, Pair, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was met on the way, by name, so that a test can show that it was.
pub type Met = BTreeMap<&'static str, u64>;

fn text(error: Error) -> String {
    error.to_string()
}

/// Judges what an outage left.
///
/// # Errors
/// What is wrong with it.
pub fn judge(trial: &Trial, outage: &Outage, image: RamImage, met: &mut Met) -> Result<(), String> {
    let mut meet = |what, happened| *met.entry(what).or_default() += u64::from(happened);
    let disk = Arc::new(RamDisk::from_image(image));
    meet("superblock torn", torn_superblock(&disk));
    let (store, found, version) = opens(trial, outage, disk.clone())?;
    let allowed = trial.history.allowed(outage.position);
    let opening = store.recovery();
    meet("images", true);
    meet("slot A", opening.generation.is_multiple_of(2));
    meet("slot B", !opening.generation.is_multiple_of(2));
    meet("replayed", opening.batches > 0);
    meet("ring wrapped", opening.wrapped);
    meet("journal torn", opening.torn);
    meet("unsynced lost", version < *allowed.end());
    meet("unsynced kept", version > *allowed.start());
    if opening.journal_bytes > opening.ring_bytes {
        return Err(format!("recovery read more than the journal: {opening:?}"));
    }
    whole(&store)?;
    goes_on(store, &disk, &trial.options, found)
}

/// Opens what an outage left; what it shows, and which version that is.
///
/// # Errors
/// It does not open, cannot be read, or shows no version that was allowed then.
pub fn opens(
    trial: &Trial,
    outage: &Outage,
    disk: Arc<dyn Disk>,
) -> Result<(Store, Content, usize), String> {
    let store = Store::open(disk, trial.options.clone()).map_err(text)?;
    let found = content(&store).map_err(text)?;
    let version = trial.history.find(outage.position, &found)?;
    Ok((store, found, version))
}

/// The structure is in order, and nothing is leaked. That all can be read was seen when it was compared.
fn whole(store: &Store) -> Result<(), String> {
    let report = store.check(false).map_err(text)?;
    match (&report.findings[..], report.leaked_bytes) {
        ([], 0) => Ok(()),
        (findings, leaked) => Err(format!("{leaked} bytes leaked; {findings:?}")),
    }
}

/// Whether a copy of a superblock holds something that is none.
fn torn_superblock(disk: &RamDisk) -> bool {
    let torn = |slot: usize, copy: usize| {
        let mut first = [0; 8];
        let read = disk.read_at(&mut first, SLOTS[slot][copy].offset).is_ok();
        read && first != [0; 8] && superblock::read_copy(disk, slot, copy).is_err()
    };
    (0..4).any(|n| torn(n / 2, n % 2))
}

/// What every store must still be able to do: change, clone, remove.
fn more(found: &Content) -> [Vec<KvOp>; 2] {
    let first = found
        .last()
        .map_or(&b"a"[..], |(key, _)| &key[..key.len().min(1)]);
    let first = first.to_vec();
    let clone = KvOp::CloneRange {
        source: Span::prefix(&first),
        from: first.clone(),
        to: b"~".to_vec(),
    };
    let key = [&first[..], b"~more"].concat();
    [
        vec![clone, KvOp::Put(key.clone(), vec![7; 90])],
        vec![
            KvOp::DeleteRange(Span::prefix(b"~")),
            KvOp::Patch(key, 80, vec![8; 20]),
        ],
    ]
}

/// Writes on, syncs, closes, opens again, compares. A full store may refuse to grow, but not to shrink.
fn goes_on(
    store: Store,
    disk: &Arc<RamDisk>,
    options: &Options,
    found: Content,
) -> Result<(), String> {
    let mut model = cawfs_sim::KvModel::default();
    let owned = |(k, v): &(bytes::Bytes, bytes::Bytes)| KvOp::Put(k.to_vec(), v.to_vec());
    model.apply(&found.iter().map(owned).collect::<Vec<_>>());
    for ops in more(&found) {
        match store.commit(batch(&store, &ops)) {
            Ok(()) => model.apply(&ops),
            Err(Error::Full(_)) => {
                let removal = [KvOp::DeleteRange(Span::prefix(b"~"))];
                store.commit(batch(&store, &removal)).map_err(text)?;
                model.apply(&removal);
            }
            Err(error) => return Err(text(error)),
        }
        store.sync().map_err(text)?;
        for _ in 0..3 {
            store.tick().map_err(text)?;
        }
    }
    drop(store);
    let store = Store::open(disk.clone(), options.clone()).map_err(text)?;
    let now = content(&store).map_err(text)?;
    let now: Vec<Pair> = now.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
    if now != model.scan(&Span::all()) {
        return Err("after writing on, closing and opening it shows something else".into());
    }
    whole(&store)
}

/// Power is lost again while the image is being opened, and shortly after: every image of that, too, is the version
/// that the first opening found, until more is written.
///
/// # Errors
/// What is wrong, and with which second outage.
pub fn judge_recovery(
    trial: &Trial,
    outage: &Outage,
    image: RamImage,
    met: &mut Met,
) -> Result<(), String> {
    let first = Store::open(
        Arc::new(RamDisk::from_image(image.clone())),
        Options {
            read_only: true,
            ..trial.options.clone()
        },
    );
    let found = content(&first.map_err(text)?).map_err(text)?;
    trial.history.find(outage.position, &found)?;
    let seed = outage.position as u64;
    let mut session = Session::open(image, found, trial.options.clone(), seed).map_err(text)?;
    session.ticks(2);
    session.put("a/again", 200);
    session.sync();
    session.put("a/again", 300);
    let second = session.finish();
    let sampling = Sampling {
        one_in: 30,
        ..Sampling::sparse(seed, 24)
    };
    for (again, image) in Outages::new(&second.recording, sampling) {
        *met.entry("crashes of recovery").or_default() += 1;
        judge(&second, &again, image, met).map_err(|e| format!("then {again}: {e}"))?;
    }
    Ok(())
}
