//! What a crash may leave: one of the states since the last durable one, whole.
//!
//! Invariant: the versions are those after each batch since the last durable state, in order; a batch is in a
//! version wholly or not at all.
//!
//! ```text
//!  durable ──batch──► v1 ──batch──► v2 ──batch──► newest
//!  └──────────── a crash may leave any of these ───────┘
//! ```
use crate::kv_model::{KvModel, KvOp, Pair, Span};

/// The states that a crash may leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    durable: KvModel,
    later: Vec<Vec<KvOp>>,
}

impl Versions {
    /// A batch was committed.
    pub fn committed(&mut self, batch: &[KvOp]) {
        self.later.push(batch.to_vec());
    }

    /// This state, the newest, is durable now.
    pub fn synced(&mut self, newest: &KvModel) {
        self.durable = newest.clone();
        self.later.clear();
    }

    /// The newest version that equals what was found, which is durable from now on.
    ///
    /// # Errors
    /// What was found is no version: something acknowledged is lost, or an operation is there by half.
    pub fn recovered(&mut self, found: &[Pair]) -> Result<KvModel, String> {
        let mut version = self.durable.clone();
        let mut matching = None;
        for count in 0..=self.later.len() {
            if version.scan(&Span::all()) == found {
                matching = Some(version.clone());
            }
            if let Some(batch) = self.later.get(count) {
                version.apply(batch);
            }
        }
        let lost = || {
            let (keys, batches) = (found.len(), self.later.len());
            format!(
                "after a crash: {keys} keys are none of the {batches} versions since the last sync"
            )
        };
        let found = matching.ok_or_else(lost)?;
        self.synced(&found);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str) -> KvOp {
        KvOp::Put(key.into(), b"x".to_vec())
    }

    fn found(keys: &[&str]) -> Vec<Pair> {
        keys.iter()
            .map(|key| (key.as_bytes().to_vec(), b"x".to_vec()))
            .collect()
    }

    fn versions() -> Versions {
        let (mut model, mut versions) = (KvModel::default(), Versions::default());
        for batch in [vec![put("a")], vec![put("b")]] {
            model.apply(&batch);
            versions.committed(&batch);
        }
        versions.synced(&model);
        versions.committed(&[put("c"), put("d")]);
        versions.committed(&[put("e")]);
        versions
    }

    #[test]
    fn every_prefix_since_the_sync_is_a_version() {
        for keys in [
            &["a", "b"][..],
            &["a", "b", "c", "d"],
            &["a", "b", "c", "d", "e"],
        ] {
            let mut versions = versions();
            let model = versions.recovered(&found(keys)).unwrap();
            assert_eq!(model.len(), keys.len());
            // What was recovered once is durable: losing it in the next crash is an error.
            assert!(versions.recovered(&found(&["a"])).is_err());
            assert!(versions.recovered(&found(keys)).is_ok());
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for keys in [
            &["a"][..],
            &["a", "b", "c"],
            &["a", "b", "e"],
            &["a", "b", "c", "d", "e", "f"],
        ] {
            assert!(versions().recovered(&found(keys)).is_err(), "{keys:?}");
        }
    }
}
