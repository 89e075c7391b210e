//! Every fuzz target on inputs made by seed: valid ones, and valid ones spoiled.
//!
//! A short slice always; `CAWFS_SECONDS` for as long as one likes, `CAWFS_SEED` for one. With nightly tools `fuzz/` does
//! the same with coverage.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawfs::fuzz::{Target, targets};
use cawfs_sim::{Plan, catch, for_each_seed};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const COMMAND: &str = "cargo test -p cawfs --test fuzz";
/// Inputs of each target for a seed.
const INPUTS: usize = 400;
/// A store takes longer than a record.
const STORES: usize = 60;

/// A valid input, spoiled a few times.
fn spoiled(seeds: &[Vec<u8>], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..rng.usize(1..8) {
        let at = if bytes.is_empty() {
            0
        } else {
            rng.usize(..bytes.len())
        };
        match rng.u8(..8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.u8(..)),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.extend((0..rng.usize(..40)).map(|_| rng.u8(..))),
            4 => {
                let other = &seeds[rng.usize(..seeds.len())];
                let from = rng.usize(..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            5 => {
                // Numbers at which things break.
                let number =
                    [0, 1, u64::from(u32::MAX), u64::MAX, 1 << 63, 127, 128][rng.usize(..7)];
                for (i, byte) in number.to_le_bytes().into_iter().enumerate() {
                    if let Some(place) = bytes.get_mut(at + i) {
                        *place = byte;
                    }
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.u8(..8);
                }
            }
        }
    }
    bytes
}

/// What is being fed, and since when: an endless loop is a failure, and says of what.
static NOW: Mutex<Option<(Instant, String)>> = Mutex::new(None);
/// The longest that one input may take.
const LONGEST: Duration = Duration::from_secs(30);

fn watch() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let now = NOW.lock().unwrap();
            if let Some((_, what)) = now.as_ref().filter(|(since, _)| since.elapsed() > LONGEST) {
                eprintln!("this takes too long: {what}");
                std::process::abort();
            }
        }
    });
}

fn feed(target: &Target, input: &[u8]) {
    let text = format!("{}: {input:?}", target.name);
    *NOW.lock().unwrap() = Some((Instant::now(), text));
    if let Err(panic) = catch(|| (target.run)(input)) {
        panic!("{}: {panic}\ninput: {input:?}", target.name);
    }
    *NOW.lock().unwrap() = None;
}

/// What was found so: names of targets, and inputs.
const FOUND: &[(&str, &[u8])] = &[
    // A slot that shows more of a node than there is: scanning backwards never ended.
    (
        "store",
        &[1, 193, 71, 81, 248, 9, 9, 145, 121, 30, 165, 77, 128, 93, 1],
    ),
];

#[test]
fn what_was_found_stays_mended() {
    watch();
    for (name, input) in FOUND {
        let target = targets().find(|target| target.name == *name).unwrap();
        feed(&target, input);
    }
}

#[test]
fn every_decoder_survives_what_nobody_wrote() {
    watch();
    let mut fed = 0u64;
    for_each_seed(&Plan::from_env(1, INPUTS), COMMAND, |seed, inputs| {
        let mut rng = fastrand::Rng::with_seed(seed);
        for target in targets() {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}", target.name);
            seeds.iter().for_each(|input| feed(&target, input));
            let inputs = if target.name == "store" {
                inputs.min(STORES)
            } else {
                inputs
            };
            for _ in 0..inputs {
                let input = match target.name {
                    "store" => (0..5 * rng.usize(1..4)).map(|_| rng.u8(..)).collect(),
                    _ => spoiled(&seeds, &mut rng),
                };
                feed(&target, &input);
                fed += 1;
            }
        }
    });
    let met = cawdb::fuzz::stores_met();
    println!(
        "{fed} inputs, {} targets; stores opened, with findings, without: {met:?}",
        targets().count()
    );
    assert!(met.iter().all(|n| *n > 0), "{met:?}");
}

/// Each target has its program for the fuzzer.
#[test]
fn every_target_has_a_program() {
    let manifest = include_str!("../../../fuzz/Cargo.toml");
    for target in targets() {
        assert!(
            manifest.contains(&format!("\"{}\"", target.name)),
            "{}",
            target.name
        );
    }
}
