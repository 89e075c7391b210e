//! Damaged stores at the command: what is wrong is named, what can be mended is mended, what can be read is saved.

use crate::site::{cawfs, done, refused};
use cawdb::disk::layout::SLOTS;
use cawdb::{CreateOptions, Options, Store};
use cawfs_fs::{Caller, FormatOptions, Fs, MountOptions, NodeId, WriteFlags, XattrMode};
use serde_json::Value;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ME: Caller = Caller::ROOT;
const FILE_BYTES: usize = 300_000;

struct Sample {
    folder: tempfile::TempDir,
    content: Vec<u8>,
}

/// `/d/f` of random bytes with an attribute, `/d/e`, `/l` a link, a pipe, and a clone of it all in `/c`.
fn sample() -> Sample {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let create = CreateOptions {
        size: 64 << 20,
        ..CreateOptions::default()
    };
    Store::create_path(&path, &create, Duration::ZERO).unwrap();
    let store = Store::open_path(&path, Options::default(), Duration::ZERO).unwrap();
    Fs::format(&store, &FormatOptions::default()).unwrap();
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let content: Vec<u8> = (0..FILE_BYTES).map(|_| rng.u8(..)).collect();
    let dir = fs.mkdir(&ME, NodeId::ROOT, b"d", 0o750).unwrap().node;
    let file = fs.mknod(&ME, dir, b"f", 0o640, 0).unwrap().node;
    fs.write(file, 0, &content, WriteFlags::default()).unwrap();
    fs.setxattr(&ME, file, b"user.a", b"v", XattrMode::Any)
        .unwrap();
    let small = fs.mknod(&ME, dir, b"e", 0o644, 0).unwrap().node;
    fs.write(small, 0, b"small", WriteFlags::default()).unwrap();
    fs.symlink(&ME, NodeId::ROOT, b"l", b"d/f").unwrap();
    fs.mknod(&ME, NodeId::ROOT, b"p", libc::S_IFIFO | 0o600, 0)
        .unwrap();
    fs.clone_tree(&ME, dir, NodeId::ROOT, b"c", false).unwrap();
    fs.sync_all().unwrap();
    drop(fs);
    store.checkpoint().unwrap();
    Sample { folder, content }
}

impl Sample {
    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn write(&self, bytes: &[u8], offset: u64) {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(self.store())
            .unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    /// Damages the run that holds the file's content from this byte on.
    fn hurt_content(&self, at: usize) {
        let image = std::fs::read(self.store()).unwrap();
        // The last: the journal has it too.
        let mut found = image.windows(48).enumerate().rev();
        let (offset, _) = found
            .find(|(_, w)| *w == &self.content[at..at + 48])
            .unwrap();
        self.write(&[!self.content[at]], offset as u64);
    }

    fn check(&self, options: &[&str]) -> (i32, Value) {
        let store = self.store();
        let mut args = vec!["check", "--json", store.to_str().unwrap()];
        args.extend(options);
        let output = cawfs(args);
        let text = String::from_utf8(output.stdout).unwrap();
        let code = output.status.code().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        let json = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(error.into()));
        (code, json)
    }
}

fn codes(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap();
    list.iter().map(|f| f["code"].as_str().unwrap()).collect()
}

fn same(path: &Path, bytes: &[u8]) {
    assert_eq!(std::fs::read(path).unwrap(), bytes, "{}", path.display());
}

#[test]
fn a_lost_copy_is_found_and_mended() {
    let sample = sample();
    assert_eq!(sample.check(&[]).0, 0);
    assert_eq!(sample.check(&["--deep"]).0, 0);
    let newest = {
        let disk =
            cawdb::disk::FileDisk::open(sample.store(), cawdb::disk::Access::Read, Duration::ZERO);
        let found = cawdb::disk::superblock::read(&disk.unwrap()).unwrap();
        (found.superblock.generation % 2) as usize
    };
    sample.write(&[0; 4096], SLOTS[newest][0].offset);
    let (code, report) = sample.check(&[]);
    assert_eq!((code, codes(&report["findings"])), (4, vec!["C101"]));
    assert_eq!(report["findings"][0]["repairable"], true);
    let (code, report) = sample.check(&["--repair"]);
    assert_eq!(code, 1, "{report}");
    assert!(codes(&report["mended"]).contains(&"C101"));
    assert_eq!(sample.check(&[]).0, 0);
    assert_eq!(sample.check(&["--repair"]).0, 0);
    // Without any good copy of the newest the store does not open, but is saved from the older one.
    for copy in 0..2 {
        let slot = SLOTS[newest_slot(&sample)];
        sample.write(&[7; 4096], slot[copy].offset);
        if copy == 0 {
            continue;
        }
        let (code, error) = sample.check(&[]);
        assert_eq!(code, 4);
        assert!(error.as_str().unwrap().contains("--salvage"), "{error}");
    }
    let saved = sample.folder.path().join("saved");
    let (code, report) = sample.check(&["--salvage", saved.to_str().unwrap()]);
    assert_eq!(code, 4, "{report}");
    same(&saved.join("d/f"), &sample.content);
}

fn newest_slot(sample: &Sample) -> usize {
    let disk =
        cawdb::disk::FileDisk::open(sample.store(), cawdb::disk::Access::Read, Duration::ZERO);
    let all = cawdb::disk::superblock::candidates(&disk.unwrap()).unwrap();
    (all[0].generation % 2) as usize
}

/// What was saved of a tree is as it was, but for a page of `f`, which is a hole.
fn all_but_a_page(tree: &Path, content: &[u8]) {
    same(&tree.join("e"), b"small");
    let file = std::fs::read(tree.join("f")).unwrap();
    assert_eq!(file.len(), FILE_BYTES);
    let wrong = file.iter().zip(content).filter(|(a, b)| a != b && **a != 0);
    assert_eq!(
        wrong.count(),
        0,
        "what is not lost is as it was, what is lost is a hole"
    );
    let right = file.iter().zip(content).filter(|(a, b)| a == b).count();
    // One page of it is lost, in which some bytes are zeros.
    assert!(
        (FILE_BYTES - 4096..FILE_BYTES - 4000).contains(&right),
        "{right}"
    );
    let meta = std::fs::metadata(tree.join("f")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
    assert_eq!(std::fs::metadata(tree).unwrap().mode() & 0o7777, 0o750);
}

#[test]
fn a_damaged_block_is_named_and_all_else_is_saved() {
    let sample = sample();
    sample.hurt_content(140_000);
    let (code, report) = sample.check(&[]);
    assert_eq!(
        (code, codes(&report["findings"])),
        (4, vec!["C212"]),
        "{report}"
    );
    let finding = &report["findings"][0];
    assert!(
        finding["what"]
            .as_str()
            .unwrap()
            .contains("expected checksum"),
        "{finding}"
    );
    let hurt = finding["hurt"].as_array().unwrap();
    let names = |path: &str| hurt.iter().any(|h| h.as_str().unwrap().contains(path));
    assert!(
        names("/d/f, from byte ") && names("/c/f, from byte "),
        "{hurt:?}"
    );
    // A repair does not guess, and makes nothing worse.
    let (code, report) = sample.check(&["--repair"]);
    assert_eq!(
        (code, codes(&report["findings"])),
        (4, vec!["C212"]),
        "{report}"
    );

    let saved = sample.folder.path().join("saved");
    let (code, report) = sample.check(&["--salvage", saved.to_str().unwrap()]);
    assert_eq!(code, 4);
    assert_eq!(report["damaged_files"], 2, "{report}");
    for tree in ["d", "c"] {
        all_but_a_page(&saved.join(tree), &sample.content);
    }
    assert_eq!(
        std::fs::read_link(saved.join("l")).unwrap(),
        Path::new("d/f")
    );
    assert!(saved.join("p").exists());
    let lost = std::fs::read_to_string(saved.join("cawfs-lost.txt")).unwrap();
    assert_eq!(lost.lines().count(), 2, "{lost}");
    let (code, _) = sample.check(&["--salvage", saved.to_str().unwrap()]);
    assert_eq!(code, 8, "the folder is not empty");
}

/// A link in the store has the name of the list: what it leads to stays as it is, what was lost is still told, and the exit code does not say `mended`.
#[test]
fn a_list_of_what_was_lost_that_cannot_be_written_is_a_failure() {
    let sample = sample();
    let elsewhere = sample.folder.path().join("elsewhere");
    std::fs::write(&elsewhere, "precious").unwrap();
    {
        let wait = Duration::from_secs(5);
        let store = Store::open_path(&sample.store(), Options::default(), wait).unwrap();
        let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
        let target = elsewhere.as_os_str().as_bytes();
        fs.symlink(&ME, NodeId::ROOT, b"cawfs-lost.txt", target)
            .unwrap();
        fs.sync_all().unwrap();
        drop(fs);
        store.checkpoint().unwrap();
    }
    sample.hurt_content(140_000);
    let saved = sample.folder.path().join("saved");
    let output = cawfs([
        "check".as_ref(),
        "--json".as_ref(),
        "--salvage".as_ref(),
        saved.as_os_str(),
        sample.store().as_os_str(),
    ]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["damaged_files"], 2, "{report}");
    assert_ne!(report["lost"], serde_json::json!([]));
    refused(output, 8, "cawfs-lost.txt: cannot write it");
    same(&saved.join("d/e"), b"small");
    assert_eq!(
        std::fs::read_link(saved.join("cawfs-lost.txt")).unwrap(),
        elsewhere
    );
    same(&elsewhere, b"precious");
}

#[test]
fn a_sound_store_is_saved_as_it_is() {
    let sample = sample();
    let saved = sample.folder.path().join("saved");
    let (code, report) = sample.check(&["--salvage", saved.to_str().unwrap()]);
    assert_eq!((code, &report["lost"]), (0, &serde_json::json!([])));
    same(&saved.join("d/f"), &sample.content);
    same(&saved.join("c/f"), &sample.content);
    assert!(!saved.join("cawfs-lost.txt").exists());
    let (directories, files) = (&report["directories"], &report["files"]);
    assert_eq!((directories, files), (&3.into(), &4.into()));
}

/// On a mount: the hurt file answers EIO where it is hurt, all else works, and the log says which file, and why.
#[test]
fn a_mount_reads_around_damage_and_logs_it() {
    crate::site::need_fuse();
    let sample = sample();
    sample.hurt_content(140_000);
    let root = sample.folder.path().join("mnt");
    std::fs::create_dir(&root).unwrap();
    let log = sample.folder.path().join("log");
    let (store, dir) = (sample.store(), root.to_str().unwrap().to_owned());
    let options = format!("log={}", log.display());
    done(cawfs([
        "mount",
        store.to_str().unwrap(),
        &dir,
        "-o",
        &options,
    ]));
    let file = std::fs::File::open(root.join("d/f")).unwrap();
    let mut bytes = vec![0; 4096];
    let error = file.read_exact_at(&mut bytes, 140_000).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    same(&root.join("d/e"), b"small");
    std::fs::write(root.join("d/new"), b"new").unwrap();
    same(&root.join("d/new"), b"new");
    drop(file);
    done(cawfs(["umount", &dir]));
    let log = std::fs::read_to_string(log).unwrap();
    let line = log.lines().find(|l| l.contains("input/output error"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    for part in [
        "/d/f",
        "run ",
        "segment ",
        " at ",
        "keys ",
        "expected checksum",
        "found",
    ] {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
}

/// Any block of the store destroyed: check answers, and what salvage writes is right.
#[test]
fn whatever_is_hurt_what_is_saved_is_right() {
    let sample = sample();
    let image = std::fs::read(sample.store()).unwrap();
    let used: Vec<_> = (0..image.len() / 512)
        .filter(|i| image[i * 512..(i + 1) * 512].iter().any(|b| *b != 0))
        .collect();
    let mut rng = fastrand::Rng::with_seed(3);
    for round in 0..12 {
        std::fs::write(sample.store(), &image).unwrap();
        let hurt = used[rng.usize(..used.len())];
        sample.write(&[0x5a; 512], hurt as u64 * 512);
        let (code, report) = sample.check(&[]);
        assert!(code == 0 || code == 4, "block {hurt}: {code}: {report}");
        let saved = sample.folder.path().join(format!("saved{round}"));
        let (code, report) = sample.check(&["--salvage", saved.to_str().unwrap()]);
        assert!(code == 0 || code == 4, "block {hurt}: {code}: {report}");
        for path in ["d/f", "c/f"] {
            let Ok(file) = std::fs::read(saved.join(path)) else {
                assert_eq!(code, 4, "block {hurt}");
                continue;
            };
            let wrong = file
                .iter()
                .zip(&sample.content)
                .filter(|(a, b)| a != b && **a != 0);
            assert_eq!(wrong.count(), 0, "block {hurt}");
            assert!(code == 4 || file == sample.content, "block {hurt}");
        }
    }
}
