//! Scrubs of the mounted store, each asked for part by part.
//!
//! ```text
//! cawfs scrub ── token 0 ──────► begin, verify a part ──► token, bytes, findings
//!             ── token, budget ► verify a part         ──► bytes, findings … done
//! ```
//! Invariants: a part takes a moment, and nothing is held while it lasts that others wait for; a scrub whose caller does
//! not come back holds no space of the store, and goes when others begin.

use crate::finding::Finding;
use cawdb::{Scrub, Store};
use cawfs_fs::protocol::STATS_ROOM;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Scrubs that may be under way at a time: beyond, the one that was longest not asked for is dropped.
const MOST: usize = 4;
/// How long a part takes, about: it ends with the node or run behind this.
const PART: Duration = Duration::from_millis(50);
/// Longest text of a finding, in characters; the rest is left out in the middle.
const LONGEST: usize = 1000;
/// Bytes of an answer beside its findings, at most.
const HEAD: usize = 256;

/// All that are under way.
pub struct Scrubs {
    store: Store,
    /// The one asked for last is at the end.
    known: Mutex<Vec<Running>>,
}

struct Running {
    token: u64,
    scrub: Scrub,
    /// Found and not yet told, as JSON.
    untold: VecDeque<String>,
}

impl Scrubs {
    /// None yet.
    pub fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Vec<Running>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with a scrub, or begins one (token 0), or drops it (budget 0). None if it is not known.
    pub fn go_on(&self, token: u64, budget: u64) -> Option<String> {
        let mut running = match token {
            0 => Running {
                token: fastrand::u64(1..),
                scrub: self.store.scrub(0),
                untold: VecDeque::new(),
            },
            // Taken out, so that nobody waits for it.
            _ => {
                let mut known = self.known();
                let at = known.iter().position(|running| running.token == token)?;
                known.remove(at)
            }
        };
        let (read, over) = match budget {
            0 => (0, true),
            _ => running.verify(budget),
        };
        let findings = running.tell();
        let done = over && running.untold.is_empty();
        let answer = json!({
            "token": running.token,
            "read_bytes": read,
            "left_bytes": running.scrub.bytes_left(),
            "done": done,
            "findings": findings,
        });
        if !done {
            let mut known = self.known();
            known.push(running);
            let surplus = known.len().saturating_sub(MOST);
            let dropped: Vec<_> = known.drain(..surplus).collect();
            drop((known, dropped));
        }
        Some(answer.to_string())
    }
}

impl Running {
    /// Verifies until so many bytes are read, a moment has passed, or something is wrong; how many, and whether it is over.
    fn verify(&mut self, budget: u64) -> (u64, bool) {
        let (begun, mut read) = (Instant::now(), 0);
        while self.untold.is_empty() {
            let Some(step) = self.scrub.step() else {
                return (read, true);
            };
            read += step.bytes;
            let findings = step.findings.iter().map(Finding::of_engine);
            self.untold.extend(findings.map(shortened));
            if read >= budget || begun.elapsed() >= PART {
                break;
            }
        }
        (read, false)
    }

    /// As much of what was found as there is room for in an answer.
    fn tell(&mut self) -> Vec<Value> {
        let (mut told, mut room) = (Vec::new(), STATS_ROOM - HEAD);
        while let Some(next) = self.untold.front().filter(|next| next.len() < room) {
            room -= next.len() + 1;
            told.extend(serde_json::from_str::<Value>(next));
            self.untold.pop_front();
        }
        told
    }
}

/// The finding as JSON that fits an answer: long names lose their middle, long lists their end.
fn shortened(mut finding: Finding) -> String {
    cut(&mut finding.what);
    finding.hurt.iter_mut().for_each(cut);
    let (all, mut dropped) = (finding.hurt.len(), 0);
    loop {
        let text = finding.json().to_string();
        if text.len() < STATS_ROOM - HEAD {
            return text;
        }
        // The last is the line about those dropped.
        let more = usize::from(dropped > 0);
        finding.hurt.truncate(finding.hurt.len() - more);
        finding.hurt.pop();
        dropped = all - finding.hurt.len();
        finding.hurt.push(format!("{dropped} more places"));
    }
}

fn cut(text: &mut String) {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > LONGEST {
        let (head, tail) = (&chars[..LONGEST / 2], &chars[chars.len() - LONGEST / 2..]);
        *text = head.iter().chain(&['…']).chain(tail).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cawdb::Batch;

    fn store() -> Store {
        let store = Store::in_memory();
        for n in 0..40_u8 {
            let mut batch = Batch::new();
            let value: Vec<u8> = (0..60_000).map(|_| fastrand::u8(..)).collect();
            batch.put(vec![n], value);
            store.commit(batch).unwrap();
        }
        store.checkpoint().unwrap();
        store
    }

    fn go_on(scrubs: &Scrubs, token: u64, budget: u64) -> Value {
        serde_json::from_str(&scrubs.go_on(token, budget).unwrap()).unwrap()
    }

    #[test]
    fn it_goes_on_part_by_part_to_its_end() {
        let scrubs = Scrubs::new(&store());
        let (mut token, mut read, mut parts) = (0, 0, 0);
        loop {
            let part = go_on(&scrubs, token, 1);
            token = part["token"].as_u64().unwrap();
            read += part["read_bytes"].as_u64().unwrap();
            parts += 1;
            if part["done"].as_bool().unwrap() {
                assert_eq!(part["left_bytes"], 0);
                break;
            }
        }
        assert!(read > 40 * 60_000, "{read}");
        assert!(parts > 3, "{parts}");
        assert_eq!(scrubs.go_on(token, 1), None);
    }

    #[test]
    fn those_that_nobody_asks_for_go() {
        let scrubs = Scrubs::new(&store());
        let begin = || go_on(&scrubs, 0, 1)["token"].as_u64().unwrap();
        let tokens: Vec<u64> = (0..MOST + 2).map(|_| begin()).collect();
        assert_eq!(scrubs.known().len(), MOST);
        assert_eq!(scrubs.go_on(tokens[1], 1), None);
        assert_eq!(go_on(&scrubs, tokens[2], 1)["done"], false);
        begin();
        assert_eq!(scrubs.go_on(tokens[3], 1), None);
        // A budget of nothing ends one.
        assert_eq!(go_on(&scrubs, tokens[2], 0)["done"], true);
        assert_eq!(scrubs.go_on(tokens[2], 1), None);
    }

    #[test]
    fn whatever_is_found_fits_and_is_told_once() {
        let finding = |n: usize, length: usize| Finding {
            code: 212,
            what: format!("{n} {}", "x".repeat(length)),
            extent: None,
            hurt: vec!["\"".repeat(length); 16],
            repairable: false,
        };
        let scrub = store().scrub(0);
        let untold = (0..100)
            .map(|n| shortened(finding(n, n * n * 10)))
            .collect();
        let (token, mut told) = (1, Vec::new());
        let mut running = Running {
            token,
            scrub,
            untold,
        };
        while !running.untold.is_empty() {
            let part = running.tell();
            assert!(!part.is_empty());
            assert!(json!(part).to_string().len() < STATS_ROOM - HEAD);
            told.extend(part);
        }
        assert_eq!(told.len(), 100);
        for (n, value) in told.iter().enumerate() {
            let found = Finding::from_json(value).unwrap();
            assert!(found.what.starts_with(&format!("{n} ")));
            assert!(found.hurt.len() <= 16 && !found.hurt.is_empty());
        }
        let last = Finding::from_json(&told[99]).unwrap().hurt;
        let (rest, places) = last.split_last().unwrap();
        assert_eq!(*rest, format!("{} more places", 16 - places.len()));
    }
}
