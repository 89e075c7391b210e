//! Every number and choice of the tree, pure and without I/O.
//!
//! The defaults come from a simulation of this tree at realistic sizes (docs/decisions/0002-tree-policy.md).
//! [`Policy::tiny`] makes everything so small that each split, flush, join and merge is met within some
//! hundred operations.

use cawdb_node::RunRef;
use std::ops::Range;

/// Sizes and thresholds of the tree.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Most slots of a node below the root; one with more is split.
    pub fanout: usize,
    /// Adjacent children that together hold at most so many slots are joined.
    pub join: usize,
    /// Slots of the root beyond which the foreground tidies it.
    pub root_slots: usize,
    /// Aimed size of a run, in bytes.
    pub run_bytes: u64,
    /// Bytes of layers from which a slot is flushed.
    pub flush_bytes: u64,
    /// Bytes hidden by delete-ranges from which a slot is flushed, or cut at height 0.
    pub hidden_bytes: u64,
    /// Layers from which deltas are merged size-tiered.
    pub merge_layers: usize,
    /// Tiers: what is merged comes to at least so many times the largest of its layers.
    pub tier_ratio: u64,
    /// Layers at which deltas are merged in any case.
    pub max_layers: usize,
    /// Layers of a slot beyond which those of it that are small are merged as soon as they are pushed down.
    pub crowded_layers: usize,
    /// Layers of a root slot beyond which writers help.
    pub root_max_layers: usize,
    /// A base is rewritten when its deltas show at least `base / alpha_divisor` bytes.
    pub alpha_divisor: u64,
    /// A slot shared with other versions is coalesced by value below this size, in bytes.
    pub small_shared: u64,
    /// A slot of one version only is coalesced by value below this size, in bytes.
    pub small_own: u64,
    /// A run that shows less than `bytes / trim_divisor` is rewritten without the rest.
    pub trim_divisor: u64,
    /// Runs of fewer bytes are never trimmed: nothing would be won.
    pub trim_least: u64,
    /// What a point delete weighs above height 0, in bytes: it hides something, and space must come back.
    pub delete_weight: u64,
    /// Bytes that one background job reads at most, about.
    pub job_bytes: u64,
    /// Bytes that it reads, about, before it may rest.
    pub breath_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            fanout: 64,
            join: 48,
            root_slots: 256,
            run_bytes: 4 << 20,
            flush_bytes: 4 << 20,
            hidden_bytes: 64 << 10,
            merge_layers: 6,
            tier_ratio: 3,
            max_layers: 12,
            crowded_layers: 24,
            root_max_layers: 24,
            alpha_divisor: 2,
            small_shared: 64 << 10,
            small_own: 1 << 20,
            trim_divisor: 4,
            trim_least: 4096,
            delete_weight: 512,
            job_bytes: 24 << 20,
            breath_bytes: 1 << 20,
        }
    }
}

impl Policy {
    /// A policy for tests: nodes of `fanout` slots and runs of some hundred bytes.
    pub fn tiny(fanout: usize) -> Self {
        Self {
            fanout,
            join: fanout * 3 / 4,
            root_slots: 4 * fanout,
            run_bytes: 400,
            flush_bytes: 400,
            hidden_bytes: 60,
            merge_layers: 3,
            tier_ratio: 2,
            max_layers: 5,
            crowded_layers: 3,
            root_max_layers: 10,
            alpha_divisor: 2,
            small_shared: 40,
            small_own: 120,
            trim_divisor: 4,
            trim_least: 64,
            delete_weight: 40,
            job_bytes: 3000,
            breath_bytes: 200,
        }
    }

    /// Whether so many layers are more, for so many slots, than merges ever leave: on a slot and on the one above it fewer than
    /// `max_layers` each.
    pub fn is_crowded(&self, slots: usize, layers: usize) -> bool {
        layers > 2 * self.max_layers * slots
    }

    /// Which of `sizes`, the layers of a slot, newest first, to merge into one; empty for none. `own` is how many of the
    /// newest no other version refers to.
    ///
    /// ```text
    /// newest  own | shared  oldest
    ///   1   2   1 |  4   5   3 | 40
    ///                └───────┘        3 + 5 + 4 ≥ 2 · 5: merged, with tier_ratio 2
    /// ```
    ///
    /// Every version that shares the older layers must choose the same of them, or the memo of merges has no use and each
    /// pays for what it shares: so the shared layers are judged by themselves, and from the oldest on. A group is the
    /// least that comes to `tier_ratio` times its largest layer, so each byte is merged once for each tier. At
    /// `max_layers` at least enough are merged to come back to `merge_layers`.
    pub fn tier(&self, sizes: &[u64], own: usize) -> Range<usize> {
        let (len, own) = (sizes.len(), own.min(sizes.len()));
        if len < self.merge_layers {
            return 0..0;
        }
        let grown = self.grown(sizes, own..len);
        let grown = grown.or_else(|| self.grown(sizes, 0..own));
        grown.unwrap_or_else(|| match len >= self.max_layers {
            true => self.forced(len, own),
            false => 0..0,
        })
    }

    /// The oldest layers of `part` that are worth a merge.
    fn grown(&self, sizes: &[u64], part: Range<usize>) -> Option<Range<usize>> {
        let ends_at = |last: usize| {
            let (mut sum, mut largest) = (0_u64, 0);
            (part.start..=last).rev().find_map(|at| {
                sum += sizes[at];
                largest = largest.max(sizes[at]);
                let enough = at < last && sum >= largest.saturating_mul(self.tier_ratio);
                enough.then_some(at..last + 1)
            })
        };
        part.clone().rev().find_map(ends_at)
    }

    /// So many of the newest layers, the shared ones by themselves if they are many, that few are left.
    fn forced(&self, len: usize, own: usize) -> Range<usize> {
        let start = match len - own >= self.merge_layers {
            true => own,
            false => 0,
        };
        start..(start + len - self.merge_layers + 1).min(len)
    }

    /// From which layer on the layers of a slot at height 0 are to be merged into a new base, if its deltas are
    /// abundant. `weights` are those of the layers, newest first, the base last; `own` is how many of the newest no other
    /// version refers to. Only the shared tail is rebased as long as the slot's own newest layers are not
    /// abundant by themselves: all versions that share it then get the same result from the memo.
    pub fn rebase_from(&self, weights: &[u64], own: usize) -> Option<usize> {
        let (base, deltas) = weights.split_last()?;
        let abundant = |sum: u64| sum.saturating_mul(self.alpha_divisor) >= *base;
        if deltas.is_empty() || !abundant(deltas.iter().sum()) {
            return None;
        }
        let own = own.min(deltas.len());
        let own_sum = deltas[..own].iter().sum();
        let tail_is_shared = own > 0 && own < deltas.len();
        Some(if tail_is_shared && !abundant(own_sum) {
            own
        } else {
            0
        })
    }

    /// Whether a run of `bytes`, of which `shown` are shown in all, is to be rewritten: small ones, which cost little
    /// to rewrite and are many where many versions are kept, when half of them is hidden.
    pub fn is_thin(&self, bytes: u64, shown: u64) -> bool {
        let divisor = if bytes < self.small_shared {
            2
        } else {
            self.trim_divisor
        };
        bytes >= self.trim_least && shown.saturating_mul(divisor) < bytes
    }

    /// What a layer weighs above height 0, in bytes.
    pub fn weight(&self, layer: &RunRef) -> u64 {
        let hidden = layer.run.deletes().saturating_mul(self.delete_weight);
        layer.shown + hidden.saturating_mul(layer.shown) / layer.run.bytes().max(1)
    }

    /// Where to cut a row of `count` pieces into parts of at most `fanout`: the indexes at which parts start.
    /// Near each even cut the place is taken where `affinity` of the pieces before and after is least, so that
    /// what belongs together (a directory) stays together.
    pub fn partition(&self, count: usize, affinity: impl Fn(usize) -> usize) -> Vec<usize> {
        let mut starts = vec![0];
        if count <= self.fanout {
            return starts;
        }
        let part = (self.fanout * 3 / 4).max(1);
        let parts = count.div_ceil(part);
        let slack = (self.fanout / 8).min(part / 4);
        for i in 1..parts {
            let ideal = i * count / parts;
            let from = ideal.saturating_sub(slack).max(starts[i - 1] + 1);
            let to = (ideal + slack).min(count - 1).max(from);
            let best = (from..=to).min_by_key(|&at| (affinity(at), at.abs_diff(ideal)));
            starts.push(best.unwrap_or(ideal));
        }
        starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            merge_layers: 4,
            max_layers: 8,
            tier_ratio: 3,
            ..Policy::default()
        }
    }

    #[test]
    fn few_layers_and_layers_of_unlike_sizes_stay() {
        assert_eq!(policy().tier(&[1, 1, 1], 0), 0..0);
        assert_eq!(policy().tier(&[1, 10, 100, 1000, 10_000], 0), 0..0);
    }

    #[test]
    fn the_oldest_that_are_alike_are_merged_and_no_more_than_is_needed() {
        assert_eq!(policy().tier(&[1, 1, 1, 1, 1, 1], 0), 3..6);
        assert_eq!(policy().tier(&[1, 1, 1, 1, 50], 0), 1..4);
    }

    #[test]
    fn what_is_merged_of_shared_layers_does_not_depend_on_the_versions_own() {
        let shared = [4, 5, 3, 4, 60];
        for newest in [vec![], vec![7], vec![1, 900], vec![5, 5, 5]] {
            let own = newest.len();
            let sizes: Vec<u64> = newest.into_iter().chain(shared).collect();
            let chosen = policy().tier(&sizes, own);
            assert_eq!((chosen.start - own, chosen.end - own), (0, 4), "{sizes:?}");
        }
    }

    #[test]
    fn own_layers_are_merged_where_no_shared_ones_are_to_be() {
        assert_eq!(policy().tier(&[2, 2, 2, 100, 9000], 3), 0..3);
    }

    #[test]
    fn many_layers_are_merged_in_any_case_until_few_are_left() {
        let sizes: Vec<u64> = (0..9).map(|n| 10_u64.pow(n)).collect();
        assert_eq!(policy().tier(&sizes, 2), 2..8);
        assert_eq!(policy().tier(&sizes, 7), 0..6);
    }

    #[test]
    fn the_shared_tail_is_rebased_alone_while_own_layers_are_few() {
        assert_eq!(policy().rebase_from(&[10, 60, 100], 1), Some(1));
        assert_eq!(policy().rebase_from(&[70, 60, 100], 1), Some(0));
        assert_eq!(policy().rebase_from(&[10, 10, 100], 1), None);
        assert_eq!(policy().rebase_from(&[60, 100], 1), Some(0));
    }
}
