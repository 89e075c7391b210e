//! What a daemon answers about itself: what `cawfs stats` shows of a mounted store, and what `cawfs scrub` finds in it.

use super::scrubs::Scrubs;
use cawfs_fs::Fs;
use cawfs_fuse::RequestTimes;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Produces the answers on demand.
pub struct Report {
    store: PathBuf,
    dir: PathBuf,
    fs: Arc<Fs>,
    scrubs: Scrubs,
}

impl Report {
    /// For a store mounted on a directory.
    pub fn new(store: &Path, dir: &Path, fs: Arc<Fs>) -> Self {
        Self {
            store: store.to_owned(),
            dir: dir.to_owned(),
            scrubs: Scrubs::new(fs.store()),
            fs,
        }
    }
}

impl cawfs_fuse::About for Report {
    fn stats(&self, requests: &[RequestTimes]) -> String {
        let fs = &self.fs;
        let mut report = crate::report::of_store(fs.store());
        if let (Value::Object(report), Value::Object(own)) =
            (&mut report, super::identity(&self.store, &self.dir))
        {
            report.extend(own);
            report.insert("read_only".into(), json!(fs.read_only()));
            report.insert("process".into(), process());
            add_memory(&mut report["memory"], fs);
            let files = fs.counters().all().into_iter();
            let files = files.map(|(name, n)| (name.to_owned(), json!(n))).collect();
            report.insert("files".into(), Value::Object(files));
        }
        report["latency"]["requests"] = crate::latency::of_requests(requests);
        report.to_string()
    }

    fn scrub(&self, token: u64, budget: u64) -> Option<String> {
        self.scrubs.go_on(token, budget)
    }
}

/// What the kernel says about this process: bytes that really went to the disk and came from it.
fn process() -> Value {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let field = |name: &str| {
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    json!({
        "read_calls": field("syscr"),
        "written_calls": field("syscw"),
        "disk_read_bytes": field("read_bytes"),
        "disk_written_bytes": field("write_bytes"),
    })
}

/// What the file system takes of memory, and what all of it comes to by the kernel's reckoning.
fn add_memory(memory: &mut Value, fs: &Fs) {
    let handles = fs.handle_memory();
    memory["handles_bytes"] = json!(handles.bytes);
    memory["handles_limit_bytes"] = json!(handles.budget);
    memory["handles"] = json!(handles.nodes);
    memory["listings_bytes"] = json!(fs.listing_memory());
    memory["resident_bytes"] = json!(status("VmRSS:"));
    memory["most_resident_bytes"] = json!(status("VmHWM:"));
}

fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
