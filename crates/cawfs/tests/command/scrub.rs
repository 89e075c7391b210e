//! A mounted store is verified while it is in use: what is damaged is named, the pace is kept, and it ends when told to.

use crate::site::{Site, cawfs, done, refused};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const FILE_BYTES: usize = 6 << 20;

/// A mounted store with `d/f` of random bytes, and a clone of it in `c`, all on the disk.
fn sample() -> (Site, Vec<u8>) {
    let site = Site::new();
    let mut rng = fastrand::Rng::with_seed(11);
    let content: Vec<u8> = (0..FILE_BYTES).map(|_| rng.u8(..)).collect();
    fs::create_dir(site.path("d")).unwrap();
    fs::write(site.path("d/f"), &content).unwrap();
    fs::write(site.path("d/e"), "small").unwrap();
    done(site.run(&["clone", "d", "c"]));
    site.remount();
    (site, content)
}

fn report(output: &Output) -> (i32, Value) {
    let code = output.status.code().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{code}: {text}{error}"));
    (code, value)
}

/// A scrub that takes minutes, and has begun.
fn slow(site: &Site) -> Child {
    let mut command = Command::new(site.program());
    command.args(["scrub", "--json", "--rate", "100K"]);
    command.arg(site.root());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    child
}

/// What it answers; it must not take long any more.
fn ended(child: Child) -> Output {
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "it ends after {took:?}");
    output
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_mounted_store_is_verified_and_what_is_hurt_is_named() {
    let (site, content) = sample();
    let (code, clean) = report(&site.run(&["scrub", "--json", "."]));
    assert_eq!((code, &clean["clean"]), (0, &Value::Bool(true)), "{clean}");
    assert_eq!(clean["findings"], serde_json::json!([]));
    assert_eq!(clean["complete"], true);
    let verified = clean["verified_bytes"].as_u64().unwrap();
    assert!(verified > FILE_BYTES as u64, "{verified}");
    // What clones share is read once.
    assert!(verified < 2 * FILE_BYTES as u64, "{verified}");
    let text = done(site.run(&["scrub", "d/e"]));
    assert!(text.contains("d/e: in order\n"), "{text}");

    // The last in the image: the journal has it too.
    let image = fs::read(site.store()).unwrap();
    let mut windows = image.windows(48).enumerate().rev();
    let part = &content[4_000_000..4_000_048];
    let (offset, _) = windows.find(|(_, w)| *w == part).unwrap();
    let store = fs::OpenOptions::new().write(true).open(site.store());
    store
        .unwrap()
        .write_all_at(&[!part[0]], offset as u64)
        .unwrap();

    let (code, damaged) = report(&site.run(&["scrub", "--json", "."]));
    assert_eq!((code, &damaged["clean"]), (4, &Value::Bool(false)));
    let findings = damaged["findings"].as_array().unwrap();
    let [finding] = &findings[..] else {
        panic!("{damaged}")
    };
    assert_eq!(finding["code"], "C212");
    let what = finding["what"].as_str().unwrap();
    assert!(what.contains("expected checksum"), "{what}");
    assert!(finding["offset"].as_u64().unwrap() <= offset as u64);
    let hurt = finding["hurt"].to_string();
    assert!(
        hurt.contains("/d/f, from byte ") && hurt.contains("/c/f, from byte "),
        "{hurt}"
    );
    // It is what the check of the unmounted store finds, and people are told the same.
    let output = site.run(&["scrub", "."]);
    assert_eq!(output.status.code(), Some(4));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["DAMAGED", "C212 ", "hurts /d/f", "hint"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert_eq!(fs::read(site.path("c/e")).unwrap(), b"small");
    fs::write(site.path("d/new"), "new").unwrap();
    site.umount();
    let check = cawfs([
        "check".as_ref(),
        "--json".as_ref(),
        site.store().as_os_str(),
    ]);
    let (code, check) = report(&check);
    assert_eq!(code, 4);
    assert_eq!(check["findings"][0]["what"], finding["what"]);
}

#[test]
fn a_scrub_keeps_its_rate_and_nobody_waits_for_it() {
    let (site, _) = sample();
    let begun = Instant::now();
    let child = {
        let mut command = Command::new(site.program());
        command.args(["scrub", "--json", "--rate", "3M"]);
        command.arg(site.root());
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut worst = Duration::ZERO;
    for n in 0..40 {
        let at = Instant::now();
        fs::write(site.path(format!("other-{n}")), "x").unwrap();
        fs::read(site.path("d/e")).unwrap();
        worst = worst.max(at.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    let (code, seen) = report(&child.wait_with_output().unwrap());
    let (took, verified) = (begun.elapsed(), seen["verified_bytes"].as_u64().unwrap());
    assert_eq!(code, 0, "{seen}");
    let least = Duration::from_secs_f64(verified as f64 / f64::from(3 << 20));
    // What is read last need not be waited for: at most a run.
    let rest = Duration::from_millis(1500);
    assert!(took + rest > least, "{verified} bytes in {took:?}");
    assert!(took < 2 * least + Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_scrub_ends_when_it_is_told_to() {
    let (site, _) = sample();
    let child = slow(&site);
    send(&child, Signal::INT);
    let (code, seen) = report(&ended(child));
    assert_eq!((code, &seen["complete"]), (32, &Value::Bool(false)));
    assert_eq!(seen["clean"], false);
    assert!(seen["left_bytes"].as_u64().unwrap() > 0, "{seen}");
    // Killed, it leaves nothing behind that keeps the store.
    let child = slow(&site);
    send(&child, Signal::KILL);
    ended(child);
    site.umount();
    let check = cawfs(["check".as_ref(), site.store().as_os_str()]);
    assert!(done(check).contains("in order"));
}

#[test]
fn a_scrub_says_when_the_daemon_dies() {
    let (site, _) = sample();
    let child = slow(&site);
    kill_process(site.daemon(), Signal::KILL).unwrap();
    let output = ended(child);
    let (code, seen) = report(&output);
    assert_eq!((code, &seen["complete"]), (8, &Value::Bool(false)));
    refused(output, 8, "the daemon behind this mount has died");
    refused(
        cawfs(["scrub".as_ref(), site.root().as_os_str()]),
        8,
        "the daemon behind this mount has died",
    );
}

#[test]
fn only_root_and_who_mounted_may_scrub() {
    let site = Site::new();
    refused(
        site.run_as(crate::site::USER, &["scrub", "."]),
        8,
        "only root",
    );
    refused(site.run(&["scrub", "--rate", "0", "."]), 16, "size");
    refused(site.run(&["scrub", "missing"]), 8, "no such file");
}
