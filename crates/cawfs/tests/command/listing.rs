//! What listing costs: who looks at what he lists need not ask again, and who wants names is given no more.

use crate::site::{Site, done};
use std::fs;

const DIRECTORIES: u64 = 60;
const FILES: u64 = 25;
const MANY: u64 = 3000;

/// Walks the tree by names, or looks at all there is, and says how many it found.
const WALK: &str = r#"
import os, sys
def walk(path, looks):
    found = 0
    for entry in list(os.scandir(path)):
        found += 1
        if looks: os.lstat(entry.path)
        if entry.is_dir(follow_symlinks=False): found += walk(entry.path, looks)
    return found
def walked(looks): assert walk(".", looks) == expected, looks
"#;

fn filled(site: &Site) -> std::io::Result<()> {
    for directory in 0..DIRECTORIES {
        let path = site.path(format!("small/{directory}"));
        fs::create_dir_all(&path)?;
        (0..FILES).try_for_each(|file| fs::write(path.join(format!("{file}")), "x"))?;
    }
    fs::create_dir(site.path("large"))?;
    (0..MANY).try_for_each(|file| fs::write(site.path(format!("large/{file}")), ""))
}

/// Look-ups, and objects that the kernel remembers, after a remount and a walk.
fn costs(site: &Site, walk: &str) -> (u64, u64) {
    site.remount();
    let expected = 2 + DIRECTORIES * (1 + FILES) + MANY;
    done(site.python(&format!("expected = {expected}\n{WALK}\n{walk}")));
    let stats = site.stats();
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or(u64::MAX);
    (
        number(&stats["files"]["lookups"]),
        number(&stats["memory"]["handles"]),
    )
}

#[test]
fn who_looks_asks_rarely_and_who_wants_names_makes_nobody_remember_files() {
    let site = Site::new();
    filled(&site).unwrap();
    let all = 3 + DIRECTORIES * (1 + FILES) + MANY;
    let (lookups, known) = costs(&site, "walked(True)");
    assert!(lookups < 60 && known == all, "{lookups} {known}");
    let (lookups, known) = costs(&site, "walked(False)");
    let few = DIRECTORIES + 12 * FILES;
    assert!(lookups < 20, "{lookups}");
    // One of the two may be listed before the process is known.
    assert!(known < few + MANY && known >= DIRECTORIES, "{known}");
}

#[test]
fn who_changes_his_mind_is_understood() {
    let site = Site::new();
    filled(&site).unwrap();
    let names = "for n in range(3): walked(False)\n";
    let (lookups, known) = costs(&site, &format!("{names}walked(True)"));
    let all = DIRECTORIES * FILES + MANY;
    assert!(known > all, "{known}");
    assert!(lookups <= all + 60, "{lookups}");
}
