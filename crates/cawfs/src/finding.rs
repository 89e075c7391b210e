//! What is found wrong in a store, for people and programs, and the exit codes of who looks for it.

use cawfs_fs::key_range_name;
use serde_json::{Value, json};

/// Exit code of fsck(8): something was wrong, and is mended.
pub const MENDED: u8 = 1;
/// Exit code of fsck(8): errors are left.
pub const DAMAGED: u8 = 4;
/// Exit code of fsck(8): the check could not be done.
pub const UNCHECKED: u8 = 8;
/// Exit code of fsck(8): the command line makes no sense.
pub const USAGE: u8 = 16;
/// Exit code of fsck(8): the caller ended it.
pub const CANCELLED: u8 = 32;
/// Numbers of the file system's findings begin behind this.
const NAMES: u16 = 300;
/// Unlinked objects that nobody has open any more: removed by a repair, and by the next mount.
pub const ORPHANS: u16 = 321;
/// The names could not all be checked, because of damage that has a finding of its own.
pub const UNCHECKED_NAMES: u16 = 322;

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its number, of those in docs/check.md.
    pub code: u16,
    /// A sentence.
    pub what: String,
    /// Where it lies in the store.
    pub extent: Option<cawdb::disk::Extent>,
    /// What of the file system it hurts.
    pub hurt: Vec<String>,
    /// Whether `cawfs check --repair` mends it.
    pub repairable: bool,
}

impl Finding {
    /// One of the engine's.
    pub fn of_engine(found: &cawdb::Finding) -> Self {
        Self {
            code: found.fault.code(),
            what: found.what.clone(),
            extent: found.extent,
            hurt: found.keys.iter().map(key_range_name).collect(),
            repairable: found.fault.is_repairable(),
        }
    }

    /// One of the file system's.
    pub fn of_files(found: &cawfs_fs::Finding) -> Self {
        Self {
            code: NAMES + found.fault as u16,
            what: format!("{}: {}", found.place, found.fault),
            extent: None,
            hurt: Vec::new(),
            repairable: found.fault.is_repairable(),
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "code": format!("C{}", self.code),
            "what": self.what,
            "offset": self.extent.map(|e| e.offset),
            "length_bytes": self.extent.map(|e| e.len),
            "hurt": self.hurt,
            "repairable": self.repairable,
        })
    }

    /// What [`Self::json`] made; none if it is something else.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let extent = value["offset"].as_u64().zip(value["length_bytes"].as_u64());
        Some(Self {
            code: value["code"].as_str()?.strip_prefix('C')?.parse().ok()?,
            what: text(&value["what"])?,
            extent: extent.map(|(offset, len)| cawdb::disk::Extent { offset, len }),
            hurt: value["hurt"]
                .as_array()?
                .iter()
                .map(text)
                .collect::<Option<_>>()?,
            repairable: value["repairable"].as_bool()?,
        })
    }

    /// For people: the first line under a name, those of what it hurts under none.
    pub fn lines(&self, name: &str, line: &mut dyn FnMut(&str, String)) {
        line(name, format!("C{} {}", self.code, self.what));
        for hurt in &self.hurt {
            line("", format!("       hurts {hurt}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_comes_back() {
        let mut finding = Finding {
            code: 212,
            what: "segment 3".into(),
            extent: Some(cawdb::disk::Extent {
                offset: 4096,
                len: 700,
            }),
            hurt: vec!["/a".into(), "/b".into()],
            repairable: false,
        };
        assert_eq!(Finding::from_json(&finding.json()), Some(finding.clone()));
        finding.extent = None;
        assert_eq!(Finding::from_json(&finding.json()), Some(finding));
        for other in [json!({}), json!({"code": "212"}), json!([1])] {
            assert_eq!(Finding::from_json(&other), None);
        }
    }
}
