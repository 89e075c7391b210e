//! Who may import whom. The table below is the architecture; everything else follows from it.
//!
//! ```text
//!  cawfs ──► cawfs-fuse ──► cawfs-fs ──► cawdb ──► cawdb-tree ──► cawdb-node ──► cawdb-disk
//!    └───────────────────────┴────────────┘  └────────┴──────────────┴──────────────┘
//!  cawfs-bench, cawfs-sim, repo-test ──► nothing          (cawfs-sim is a dev-dependency of all)
//! ```
//!
//! Tests of a floor may also reach the floors that lie below it at any depth: they look where the floor
//! itself must not.
use crate::lexer::{code_of, words};
use crate::manifest::parse;
use crate::repo::Repo;
use std::collections::BTreeSet;

const ALLOWED: [(&str, &[&str]); 10] = [
    ("cawdb-disk", &[]),
    ("cawdb-node", &["cawdb-disk"]),
    ("cawdb-tree", &["cawdb-node", "cawdb-disk"]),
    ("cawdb", &["cawdb-tree", "cawdb-node", "cawdb-disk"]),
    ("cawfs-fs", &["cawdb"]),
    ("cawfs-fuse", &["cawfs-fs"]),
    ("cawfs", &["cawfs-fuse", "cawfs-fs", "cawdb"]),
    ("cawfs-sim", &[]),
    ("cawfs-bench", &[]),
    ("repo-test", &[]),
];

const KIT: &str = "cawfs-sim";

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    ALLOWED
        .iter()
        .find(|(crate_name, _)| *crate_name == name)
        .map(|(_, floors)| *floors)
}

fn is_ours(name: &str) -> bool {
    allowed(name).is_some()
}

/// All floors below one, at any depth.
fn below(name: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for floor in allowed(name).unwrap_or_default() {
        found.insert(*floor);
        found.extend(below(floor));
    }
    found
}

/// Dependencies in the manifests that the table does not allow, and crates it does not know.
pub fn edges_in_manifests(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in repo
        .with_ending("/Cargo.toml")
        .filter(|f| f.path.starts_with("crates/"))
    {
        let manifest = match parse(&file.text) {
            Ok(manifest) => manifest,
            Err(error) => {
                complaints.push(format!("{}: {error}", file.path));
                continue;
            }
        };
        let name = manifest.name.as_str();
        let Some(floors) = allowed(name) else {
            complaints.push(format!(
                "{}: {name} is not in the table of floors",
                file.path
            ));
            continue;
        };
        let mut complain = |kind: &str, to: &str| {
            complaints.push(format!(
                "{}: {kind} {name} -> {to} is no edge of the floors",
                file.path
            ));
        };
        for to in manifest.dependencies.iter().filter(|d| is_ours(d)) {
            if !floors.contains(&to.as_str()) {
                complain("dependency", to);
            }
        }
        for to in manifest.dev_dependencies.iter().filter(|d| is_ours(d)) {
            if to != KIT && !below(name).contains(to.as_str()) {
                complain("dev-dependency", to);
            }
        }
        if !manifest.workspace_lints {
            complaints.push(format!(
                "{}: does not take the lints of the workspace",
                file.path
            ));
        }
    }
    complaints
}

/// Sources that name a floor which the table does not allow.
pub fn edges_in_sources(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in repo.rust() {
        let mut parts = file.path.split('/').skip(1);
        let (Some(name), Some(folder)) = (parts.next(), parts.next()) else {
            continue;
        };
        let Some(floors) = allowed(name) else {
            continue;
        };
        let in_tests = folder != "src";
        let deep = below(name);
        let code = code_of(&file.text);
        for (number, line) in code.lines().enumerate() {
            for to in words(line).map(|word| word.replace('_', "-")) {
                let known = is_ours(&to) && to.contains('-') || imports_short(line, &to);
                let fine = to == name
                    || to == KIT
                    || floors.contains(&to.as_str())
                    || in_tests && deep.contains(to.as_str());
                if known && !fine {
                    complaints.push(format!(
                        "{}:{}: names the floor {to}",
                        file.path,
                        number + 1
                    ));
                }
            }
        }
    }
    complaints
}

/// Whether a line imports a crate whose name is an ordinary word, so that only paths count.
fn imports_short(line: &str, name: &str) -> bool {
    matches!(name, "cawdb" | "cawfs") && line.contains(&format!("{name}::"))
}

/// Uses of the crate `fuser` outside the one floor that may know it.
pub fn fuser_outside_its_floor(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    let outside =
        |path: &str| path.starts_with("crates/") && !path.starts_with("crates/cawfs-fuse/");
    for file in repo.rust().filter(|f| outside(&f.path)) {
        let code = code_of(&file.text);
        for (number, line) in code.lines().enumerate() {
            if words(line).any(|word| word == "fuser") {
                complaints.push(format!("{}:{}: names fuser", file.path, number + 1));
            }
        }
    }
    for file in repo.with_ending("/Cargo.toml").filter(|f| outside(&f.path)) {
        if file.text.lines().any(|line| line.starts_with("fuser")) {
            complaints.push(format!("{}: depends on fuser", file.path));
        }
    }
    complaints
}

/// Locks of the system in a floor whose orders of threads are explored: all of them come through the one door.
pub fn locks_past_the_door(repo: &Repo) -> Vec<String> {
    const DOOR: &str = "crates/cawdb-disk/src/sync.rs";
    let explored = [
        "cawdb-disk",
        "cawdb-node",
        "cawdb-tree",
        "cawdb",
        "cawfs-fs",
    ];
    let mut complaints = Vec::new();
    for file in repo.rust().filter(|file| file.path != DOOR) {
        if !explored
            .iter()
            .any(|floor| file.path.starts_with(&format!("crates/{floor}/src/")))
        {
            continue;
        }
        let code = code_of(&file.text);
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for named in code.split("std::sync::").skip(1) {
            let end = if named.starts_with('{') { ';' } else { ':' };
            let named = named.split([end, ';']).next().unwrap_or_default();
            let mut locks = words(named).filter(|w| matches!(*w, "Mutex" | "RwLock" | "Condvar"));
            if let Some(lock) = locks.next() {
                complaints.push(format!("{}: takes {lock} past {DOOR}", file.path));
            }
        }
    }
    complaints
}
