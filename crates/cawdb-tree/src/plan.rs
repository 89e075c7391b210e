//! Which layers of a node are to be merged, and what a node looks like once they are.
//!
//! Invariant: a plan can be carried out on any node in whose slots the planned layers are the oldest ones over
//! the same edge; newer layers stay. So a root may get new layers and cuts while its slots are merged.

use crate::leaf::shown_layers;
use crate::merge::{Merge, Pieces, same_layers};
use crate::tree::Tree;
use cawdb_node::{KeyRange, Node, Result, RunId, RunRef, Slot, Translation, same_edge};
use std::collections::HashMap;
use std::ops::Range;

/// One merge to be done in a node.
pub(crate) struct Plan {
    /// The range of the slots.
    range: KeyRange,
    /// The slots as they were planned for: one, or several that are coalesced.
    slots: Vec<Slot>,
    /// Which layers of the one slot are merged; all, if there are several slots.
    take: Range<usize>,
    /// The merge.
    pub merge: Merge,
}

/// What the table says of the runs of a node.
struct Facts {
    own: HashMap<RunId, bool>,
    thin: HashMap<RunId, bool>,
}

impl Facts {
    fn own(&self, layer: &RunRef) -> bool {
        self.own.get(&layer.run.id()).copied().unwrap_or(false)
    }
    /// How many of the newest of these layers are the node's own.
    fn newest_own(&self, layers: &[RunRef]) -> usize {
        layers.iter().take_while(|l| self.own(l)).count()
    }
    fn thin(&self, layer: &RunRef) -> bool {
        self.thin.get(&layer.run.id()).copied().unwrap_or(false)
    }
}

impl Plan {
    /// The slots that it is for.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }
}

impl Tree {
    /// A run is the node's own if nothing else refers to it, and all of the node by one translation: a clone beside its
    /// source in one node is another version too.
    fn facts(&self, node: &Node) -> Facts {
        let mut here: HashMap<RunId, (&Translation, u32)> = HashMap::new();
        for layer in node.slots.iter().flat_map(|s| s.layers.iter()) {
            let (tr, count) = here.entry(layer.run.id()).or_insert((&layer.tr, 0));
            *count += u32::from(**tr == layer.tr);
        }
        let table = self.shelf.table();
        let mut facts = Facts {
            own: HashMap::new(),
            thin: HashMap::new(),
        };
        for (id, (_, count)) in here {
            let Some(entry) = table.run(id) else { continue };
            facts.own.insert(id, entry.count == count);
            facts
                .thin
                .insert(id, self.policy.is_thin(entry.run.bytes(), entry.shown));
        }
        facts
    }

    /// The merges that `node` wants, in key order, as many as one job may read; none where something cannot be read.
    pub(crate) fn plan(&self, node: &Node) -> Vec<Plan> {
        self.plan_of(node, |_| true)
    }

    /// The same, of slots that are `wanted` alone.
    pub(crate) fn plan_of(&self, node: &Node, wanted: impl Fn(&Slot) -> bool) -> Vec<Plan> {
        let facts = self.facts(node);
        let mut plans = Vec::new();
        let mut bytes = 0;
        let mut i = 0;
        while i < node.slots.len() && bytes < self.policy.job_bytes {
            if !wanted(&node.slots[i]) {
                i += 1;
                continue;
            }
            let planned = match self.first_avoided(&node.slots[i]) {
                None => self.plan_at(node, i, &facts),
                Some(end) => Ok((self.plan_above(node, i, end, &facts), i + 1)),
            };
            let planned = self.spared_for(&node.slots[i..=i], planned);
            let (plan, next) = planned.unwrap_or((None, i + 1));
            bytes += plan.as_ref().map_or(0, |p| p.merge.bytes());
            plans.extend(plan);
            i = next;
        }
        plans
    }

    /// The merge wanted at slot `i`, and the slot to go on with.
    fn plan_at(&self, node: &Node, i: usize, facts: &Facts) -> Result<(Option<Plan>, usize)> {
        let group = match node.height {
            0 => self.small_group(node, i, facts),
            _ => i..i,
        };
        if !group.is_empty() {
            let slots: Vec<_> = node.slots[group.clone()].to_vec();
            let parts: Vec<_> = group
                .clone()
                .map(|j| (node.slot_range(j), node.slots[j].layers.to_vec()))
                .collect();
            let hi = node.slot_range(group.end - 1).hi;
            let range = KeyRange {
                lo: slots[0].lo.clone(),
                hi,
            };
            self.counters.coalesces.bump();
            let bytes = slots.iter().map(Slot::layer_bytes).sum();
            self.counters.coalesced_bytes.add(bytes);
            let merge = Merge {
                parts,
                bottom: true,
            };
            return Ok((
                Some(Plan {
                    range,
                    slots,
                    take: 0..0,
                    merge,
                }),
                group.end,
            ));
        }
        let (range, slot) = (node.slot_range(i), &node.slots[i]);
        let Some(take) = self.layers_to_merge(node, slot, &range, facts)? else {
            return Ok((None, i + 1));
        };
        let bottom = slot.below.is_none() && take.end == slot.layers.len();
        let layers = slot.layers[take.clone()].to_vec();
        if layers.iter().any(|l| !facts.own(l)) {
            self.counters.merges_shared.bump();
        }
        let merge = Merge::one(range.clone(), layers, bottom);
        Ok((
            Some(Plan {
                range,
                slots: vec![slot.clone()],
                take,
                merge,
            }),
            i + 1,
        ))
    }

    /// A merge of the newest layers of slot `i`, those before `end`: what lies below cannot be read.
    fn plan_above(&self, node: &Node, i: usize, end: usize, facts: &Facts) -> Option<Plan> {
        let (range, slot) = (node.slot_range(i), &node.slots[i]);
        let sizes: Vec<u64> = slot.layers[..end].iter().map(|l| l.shown).collect();
        let own = facts.newest_own(&slot.layers[..end]);
        let take = self.policy.tier(&sizes, own);
        if take.is_empty() {
            return None;
        }
        self.counters.merges.bump();
        self.counters
            .delta_bytes
            .add(sizes[take.clone()].iter().sum());
        let layers = slot.layers[take.clone()].to_vec();
        Some(Plan {
            merge: Merge::one(range.clone(), layers, false),
            range,
            slots: vec![slot.clone()],
            take,
        })
    }

    fn layers_to_merge(
        &self,
        node: &Node,
        slot: &Slot,
        range: &KeyRange,
        facts: &Facts,
    ) -> Result<Option<Range<usize>>> {
        let layers = &slot.layers[..];
        let sizes: Vec<u64> = layers.iter().map(|l| l.shown).collect();
        let deltas = if node.height == 0 {
            sizes.len().saturating_sub(1)
        } else {
            sizes.len()
        };
        let own = facts.newest_own(&layers[..deltas]);
        if node.height == 0 {
            let weights = leaf_weights(layers, range, facts, self.policy.alpha_divisor)?;
            if let Some(from) = self.policy.rebase_from(&weights, own) {
                self.counters.rebases.bump();
                self.counters.rebased_bytes.add(sizes[from..].iter().sum());
                if from > 0 {
                    self.counters.rebases_shared_tail.bump();
                }
                return Ok(Some(from..layers.len()));
            }
            if let [only] = layers
                && only.run.deletes() * 2 > only.run.points()
            {
                return Ok(Some(0..1));
            }
        }
        let take = self.policy.tier(&sizes[..deltas], own);
        if !take.is_empty() {
            self.counters.merges.bump();
            let bytes = sizes[take.clone()].iter().sum();
            self.counters.delta_bytes.add(bytes);
            return Ok(Some(take));
        }
        let thin = layers.iter().position(|l| facts.thin(l));
        if let Some(at) = thin {
            self.counters.trims.bump();
            self.counters.trimmed_bytes.add(sizes[at]);
        }
        Ok(thin.map(|at| at..at + 1))
    }

    /// From slot `i` on, the tiny slots at height 0 that are to become one: geometrically, so that none is
    /// rewritten often. Empty if there are too few.
    fn small_group(&self, node: &Node, i: usize, facts: &Facts) -> Range<usize> {
        let small = |s: &Slot| {
            let bytes = s.layer_bytes();
            bytes < self.policy.small_shared
                || (bytes < self.policy.small_own && s.layers.iter().all(|l| facts.own(l)))
        };
        let mut end = i;
        let (mut sum, mut largest) = (0, 0);
        while let Some(slot) = node.slots.get(end).filter(|s| small(s) && !self.avoids(s)) {
            let bytes = slot.layer_bytes();
            if sum + bytes > self.policy.run_bytes {
                break;
            }
            sum += bytes;
            largest = largest.max(bytes);
            end += 1;
        }
        if end - i >= 3 && largest <= sum - largest {
            i..end
        } else {
            i..i
        }
    }
}

/// What the layers of a slot at height 0 weigh, newest first: what they show, and, if nobody else needs the base,
/// what they hide of it.
///
/// How many deletes a delta has there is read only if all of them could make the base be rewritten.
fn leaf_weights(
    layers: &[RunRef],
    range: &KeyRange,
    facts: &Facts,
    alpha_divisor: u64,
) -> Result<Vec<u64>> {
    let mut weights: Vec<u64> = layers.iter().map(|l| l.shown).collect();
    let Some((base, deltas)) = layers.split_last() else {
        return Ok(weights);
    };
    if !facts.own(base) {
        return Ok(weights);
    }
    let entry = base.run.bytes() / base.run.points().max(1);
    let most = |delta: &RunRef| delta.shown + delta.run.deletes().saturating_mul(entry);
    let most = deltas.iter().map(most).fold(0, u64::saturating_add);
    let counts = most.saturating_mul(alpha_divisor) >= base.shown;
    for (weight, delta) in weights.iter_mut().zip(deltas) {
        if counts {
            let deletes = delta.run.deletes_within(&delta.tr.range_down(range))?;
            *weight += deletes.saturating_mul(entry);
        }
        for deleted in delta.delete_ranges(range)? {
            *weight += base.run.estimate(&base.tr.range_down(&deleted))?;
        }
    }
    Ok(weights)
}

/// `node` with plans carried out; none if no plan fits it any more, or its runs cannot be read.
pub(crate) fn carry_out(tree: &Tree, node: &Node, done: &[(Plan, Pieces)]) -> Option<Node> {
    let mut slots = Vec::with_capacity(node.slots.len());
    let mut changed = false;
    let mut i = 0;
    while i < node.slots.len() {
        let range = node.slot_range(i);
        let at = done.partition_point(|(p, _)| p.range.lo <= range.lo);
        let plan = at
            .checked_sub(1)
            .map(|at| &done[at])
            .filter(|(p, _)| p.range.covers(&range));
        let (new, used) = match plan {
            None => (None, 1),
            Some((p, pieces)) if p.slots.len() > 1 => {
                (replaced_group(node, i, p, pieces), p.slots.len())
            }
            Some((p, pieces)) => {
                let replaced = replaced_slot(&range, &node.slots[i], p, pieces);
                let replaced = tree.spared_for(&node.slots[i..=i], replaced);
                (replaced.flatten(), 1)
            }
        };
        match new {
            Some(new) => {
                slots.extend(new);
                changed = true;
                i += used;
            }
            None => {
                slots.push(node.slots[i].clone());
                i += 1;
            }
        }
    }
    changed.then(|| Node {
        slots,
        ..node.clone()
    })
}

fn replaced_group(node: &Node, i: usize, plan: &Plan, pieces: &Pieces) -> Option<Vec<Slot>> {
    let end = i + plan.slots.len();
    let now = node.slots.get(i..end)?;
    let same = now
        .iter()
        .zip(&plan.slots)
        .all(|(a, b)| a.lo == b.lo && a.same_content(b));
    if !same || node.slot_range(end - 1).hi != plan.range.hi {
        return None;
    }
    let slot = |(range, layer): &(KeyRange, Option<RunRef>)| Slot {
        lo: range.lo.clone(),
        layers: layer.iter().cloned().collect(),
        below: None,
    };
    Some(pieces.iter().map(slot).collect())
}

fn replaced_slot(
    range: &KeyRange,
    now: &Slot,
    plan: &Plan,
    pieces: &Pieces,
) -> Result<Option<Vec<Slot>>> {
    let planned = &plan.slots[0];
    let Some(newer) = now.layers.len().checked_sub(planned.layers.len()) else {
        return Ok(None);
    };
    let stands = same_layers(&now.layers[newer..], &planned.layers)
        && same_edge(now.below.as_ref(), planned.below.as_ref());
    if !stands {
        return Ok(None);
    }
    let (above, below) = (newer + plan.take.start, newer + plan.take.end);
    let mut slots = Vec::with_capacity(pieces.len());
    for (piece, layer) in pieces {
        let part = piece.intersect(range);
        if part.is_empty() {
            continue;
        }
        let layers: Vec<RunRef> = now.layers[..above]
            .iter()
            .chain(layer)
            .chain(&now.layers[below..])
            .cloned()
            .collect();
        let layers = if part == *range && piece == range {
            layers
        } else {
            shown_layers(&layers, &part)?
        };
        slots.push(Slot {
            lo: part.lo,
            layers: layers.into(),
            below: now.below.clone(),
        });
    }
    Ok(Some(slots))
}
