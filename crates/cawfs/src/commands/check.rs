//! `cawfs check`: reads all of a store and compares it with itself; changes nothing.

use crate::Outcome;
use crate::args::Check;
use crate::{output, store};
use cawdb::KeyRange;
use serde_json::json;

/// Exit code of fsck(8): errors are left.
const DAMAGED: u8 = 4;
/// Exit code of fsck(8): the check could not be done.
const UNCHECKED: u8 = 8;

/// Checks a store.
pub fn run(args: &Check) -> Outcome {
    let how = store::Open {
        read_only: true,
        ..Default::default()
    };
    let opened = store::open(&args.store, &how).map_err(|failure| {
        let damaged = failure.text.contains("damaged");
        failure.code(if damaged { DAMAGED } else { UNCHECKED })
    })?;
    let (mut keys, mut bytes) = (0_u64, 0_u64);
    let mut errors = Vec::new();
    for pair in opened.store.scan(KeyRange::prefix(Vec::new())) {
        match pair {
            Ok((key, value)) => {
                keys += 1;
                bytes += (key.len() + value.len()) as u64;
            }
            Err(e) => errors.push(e.to_string()),
        }
    }
    let clean = errors.is_empty();
    if args.json {
        output::json(&json!({
            "store": args.store.to_string_lossy(), "clean": clean,
            "keys": keys, "content_bytes": bytes, "errors": errors,
        }));
    } else {
        let store = args.store.display();
        let verdict = if clean { "in order" } else { "DAMAGED" };
        let (keys, bytes) = (output::count(keys), output::bytes(bytes));
        let errors: String = errors.iter().map(|e| format!("  {e}\n")).collect();
        output::print(&format!(
            "{store}: {verdict}, {keys} keys, {bytes}\n{errors}"
        ));
    }
    Ok(if clean { 0 } else { DAMAGED })
}
