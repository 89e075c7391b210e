//! The tree without store, journal or disk against its specification, an ordered map with clone.
//!
//! Nodes and runs are tiny, so that some hundred steps meet every split, flush, join and merge; counters say that
//! they did. The invariant checker runs after every step, and after every piece of background work the whole
//! content is compared with what it was before.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod owner;

use cawdb_node::{Key, KeyRange, MemRunBuilder, Message, Node, RunRef, Slot, WHOLE};
use cawdb_tree::{CloneSpec, Direction, Policy, ReadAhead, Roots, Scan, get, inspect};
use cawfs_sim::{Engine, KvOp, Limits, Mix, Pair, Plan, Span, parts_are_of, run};
use owner::{Owner, owner};
use std::sync::{Arc, Mutex};

/// Operations after which all that may happen has happened: more than half of what the fixed seeds make.
const ENOUGH: usize = 7_000;
const COMMAND: &str = "cargo test -p cawdb-tree --test model";

impl Owner {
    fn change(&self, make: impl Fn(&Node) -> cawdb_node::Result<Node>) -> Result<(), String> {
        self.replace_root(&mut |now| make(now).map(Some))
            .map(|_| ())
            .map_err(|e| e.to_string())
    }

    fn lay(&self, op: &KvOp) -> Result<(), String> {
        let mut builder = MemRunBuilder::new();
        match op.clone() {
            KvOp::Put(k, v) => builder.push(k.into(), Message::Put(v.into())),
            KvOp::Delete(k) => builder.push(k.into(), Message::Delete),
            KvOp::Patch(_, _, bytes) if bytes.is_empty() => return Ok(()),
            KvOp::Patch(k, offset, bytes) => {
                builder.push(k.into(), Message::patch(offset, bytes.into()))
            }
            KvOp::DeleteRange(span) => builder.delete_range(range(&span)),
            KvOp::CloneRange { .. } => return Ok(()),
        }
        let run = self.tree.shelf.new_run(builder.finish());
        self.change(|root| self.tree.lay(root, std::slice::from_ref(&run)))
    }

    fn scan(&self, root: &Arc<Node>, range: KeyRange, down: bool) -> Result<Vec<Pair>, String> {
        let way = if down {
            (Direction::Backward, ReadAhead::ADAPTIVE)
        } else {
            (Direction::Forward, ReadAhead::Full)
        };
        let mut scan = Scan::new(self.tree.shelf.clone(), root.clone(), range, way, None);
        let mut all = Vec::new();
        while let Some((k, v)) = scan.next().map_err(|e| e.to_string())? {
            all.push((k.to_vec(), v.to_vec()));
        }
        Ok(all)
    }
}

fn range(span: &Span) -> KeyRange {
    KeyRange {
        lo: span.lo.clone().into(),
        hi: span.hi.clone().map(Into::into),
    }
}

impl Engine for &Owner {
    type Snapshot = Arc<Node>;

    fn commit(&mut self, ops: &[KvOp]) -> Result<(), String> {
        let clones: Vec<CloneSpec> = ops
            .iter()
            .filter_map(|op| match op {
                KvOp::CloneRange { source, from, to } => Some(CloneSpec {
                    source: range(source),
                    from: Key::copy_from_slice(from),
                    to: Key::copy_from_slice(to),
                }),
                _ => None,
            })
            .filter(|c| !c.source.is_empty())
            .collect();
        if !clones.is_empty() {
            self.change(|root| self.tree.clone_ranges(root, &clones))?;
        }
        ops.iter().try_for_each(|op| self.lay(op))?;
        if self.root().slots.len() > self.tree.policy.root_slots {
            self.tree.tidy(*self).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let root = self.root();
        self.get_at(&root, key)
    }
    fn snapshot(&mut self) -> Result<Arc<Node>, String> {
        Ok(self.root())
    }
    fn get_at(&mut self, at: &Arc<Node>, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let part = |want: &std::ops::Range<usize>| {
            let bytes = get(&self.tree.shelf, at, key, want, None).map_err(|e| e.to_string())?;
            Ok(bytes.map(|bytes| bytes.to_vec()))
        };
        let value = part(&WHOLE)?;
        match parts_are_of(value.as_deref(), part)? {
            true => Ok(value),
            false => Err(format!("parts of {key:?} are not those of its value")),
        }
    }
    fn scan_at(&mut self, at: &Arc<Node>, span: &Span, down: bool) -> Result<Vec<Pair>, String> {
        Owner::scan(self, at, range(span), down)
    }
    fn tick(&mut self) -> Result<bool, String> {
        let before = Owner::scan(self, &self.root(), KeyRange::all(), false)?;
        let busy = self.tree.tick(*self, true).map_err(|e| e.to_string())?;
        let after = Owner::scan(self, &self.root(), KeyRange::all(), false)?;
        if before != after {
            let dump = inspect::dump_text(&self.tree.shelf, &self.root()).unwrap();
            return Err(format!("background work changed the content:\n{dump}"));
        }
        Ok(busy)
    }
    fn sync(&mut self) -> Result<(), String> {
        Ok(())
    }
    fn checkpoint(&mut self) -> Result<(), String> {
        Ok(())
    }
    fn reopen(&mut self) -> Result<(), String> {
        let mut ticks = 0;
        while self.tree.tick(*self, true).map_err(|e| e.to_string())? {
            ticks += 1;
            if ticks > 5000 {
                return Err("background work never ends".into());
            }
        }
        Ok(())
    }
    fn crash(&mut self, _seed: u64) -> Result<bool, String> {
        Ok(false)
    }
    fn check(&mut self) -> Result<(), String> {
        let report = inspect::check(&self.tree.shelf, &[self.root()]).map_err(|e| e.to_string())?;
        match report.findings.is_empty() {
            true => Ok(()),
            false => Err(format!("{:?}", report.findings)),
        }
    }
}

fn against_model(name: &str, fanout: usize, value_bytes: u32) {
    let mix = Mix {
        value_bytes,
        tick_every: 3,
        reopen_every: 100,
        crash_every: 0,
    };
    let plan = Plan::from_env(30, 500);
    let owners = Mutex::new(Vec::new());
    let progress = run(
        &plan,
        &format!("{COMMAND} {name}"),
        (mix, Limits::default()),
        |_| {
            let owner: &'static Owner = Box::leak(Box::new(owner(Policy::tiny(fanout))));
            owners.lock().unwrap().push(owner);
            owner
        },
    );
    assert!(
        progress.operations > 0 && progress.comparisons > 0,
        "{progress:?}"
    );
    let mut sums = std::collections::BTreeMap::<&str, u64>::new();
    for owner in owners.lock().unwrap().iter() {
        for (name, count) in owner.tree.counters.list() {
            *sums.entry(name).or_default() += count;
        }
    }
    println!("{name}: {progress:?} {sums:?}");
    // Late joins have a model of their own in cawdb; the last needs a disk that fails.
    let rare = [
        "joins_late",
        "rebases_shared_tail",
        "root_collapses",
        "unreadable",
    ];
    let missed: Vec<_> = sums
        .iter()
        .filter(|(n, c)| **c == 0 && !rare.contains(n))
        .collect();
    // Of the seeds that are always the same all is known to happen; a second of fresh ones may be one tree.
    if plan.is_fixed() || progress.operations >= ENOUGH {
        assert!(missed.is_empty(), "never happened: {missed:?}");
    } else if !missed.is_empty() {
        println!("{name}: too few operations to meet {missed:?}");
    }
}

#[test]
fn fanout_of_four() {
    against_model("fanout_of_four", 4, 64);
}

#[test]
fn fanout_of_eight() {
    against_model("fanout_of_eight", 8, 200);
}

/// Slots whose newest layers are deletes, beside one that shows a put of a run full of deletes: cleaning the one made the
/// run of the others thin, and cleaning those made the first look full of deletes again, for ever.
#[test]
fn slots_with_deletes_beside_one_of_a_single_layer_come_to_rest() {
    let policy = Policy::tiny(16);
    let owner = owner(policy);
    let shelf = &owner.tree.shelf;
    let run = |points: &[(&str, Option<usize>)]| {
        let mut builder = MemRunBuilder::new();
        for (key, len) in points {
            let message = match len {
                Some(len) => Message::Put(vec![7; *len].into()),
                None => Message::Delete,
            };
            builder.push(Key::copy_from_slice(key.as_bytes()), message);
        }
        shelf.new_run(builder.finish())
    };
    // Thin, because nobody shows its last key any more.
    let thin = run(&[("b", None), ("c", None), ("e", None), ("z", Some(900))]);
    let full = run(&[("d", None), ("d1", None), ("f", Some(572))]);
    let whole = |dir: &str| {
        let keys: Vec<_> = (0..9).map(|i| format!("{dir}{i}")).collect();
        let points: Vec<_> = keys.iter().map(|key| (key.as_str(), Some(100))).collect();
        run(&points)
    };
    let layers = [
        ("", vec![]),
        ("b", vec![&thin]),
        ("c", vec![&thin]),
        ("d", vec![&full]),
        ("e", vec![&thin]),
        ("f", vec![&full]),
        ("g", vec![]),
    ];
    let mut slots: Vec<Slot> = Vec::new();
    for (i, (lo, tops)) in layers.iter().enumerate() {
        let hi = layers
            .get(i + 1)
            .map(|(hi, _)| Key::copy_from_slice(hi.as_bytes()));
        let lo = Key::copy_from_slice(lo.as_bytes());
        let range = KeyRange { lo: lo.clone(), hi };
        let base =
            (lo.len() == 1 && lo[..] < b"f"[..]).then(|| whole(std::str::from_utf8(&lo).unwrap()));
        let runs = tops.iter().copied().chain(&base);
        let layers = runs.filter_map(|run| {
            RunRef::showing(run, &cawdb_node::Translation::identity(), &range).unwrap()
        });
        let layers = layers.collect();
        slots.push(Slot {
            lo,
            layers,
            below: None,
        });
    }
    owner
        .change(|root| {
            Ok(Node {
                slots: slots.clone(),
                ..root.clone()
            })
        })
        .unwrap();
    let ticks = (0..100).take_while(|_| owner.tree.tick(&owner, true).unwrap());
    let ticks = ticks.count();
    assert!(ticks < 100, "{:?}", owner.tree.counters.list());
    assert!(owner.tree.counters.trims.get() > 0, "{ticks}");
}
