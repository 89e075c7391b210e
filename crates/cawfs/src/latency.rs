//! How long requests and the disk took: as JSON, and as tables for people.
//!
//! ```text
//! requests        count      p50      p99    p99.9      max   longest wait: lock  throttle  others' sync     disk
//! write         131 072   411 µs  1.10 ms  12.4 ms  31.0 ms         88.1 µs      22.6 ms             —        —
//! ```

use crate::output;
use cawdb::disk::{IoTimes, Times};
use cawfs_fuse::RequestTimes;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The times that a summary shows, with their headings.
const TIMES: [(&str, &str); 4] = [
    ("p50_seconds", "p50"),
    ("p99_seconds", "p99"),
    ("p999_seconds", "p99.9"),
    ("max_seconds", "max"),
];
/// The longest waits that a kind of request shows, with their headings.
const WAITS: [(&str, &str); 4] = [
    ("lock_max_seconds", "locks"),
    ("throttle_max_seconds", "throttle"),
    ("durability_max_seconds", "others' sync"),
    ("disk_max_seconds", "disk"),
];

/// Times of the disk, by kind of request.
pub fn of_disk(times: &IoTimes) -> Value {
    let kinds = [
        ("read", &times.reads),
        ("write", &times.writes),
        ("sync", &times.syncs),
        ("allocate and free", &times.room),
    ];
    let kinds = kinds.into_iter().filter(|(_, times)| times.count > 0);
    let kinds: Map<String, Value> = kinds
        .map(|(name, times)| (name.to_owned(), summary(times)))
        .collect();
    Value::Object(kinds)
}

/// Times of requests, by kind.
pub fn of_requests(requests: &[RequestTimes]) -> Value {
    let kind = |kind: &RequestTimes| {
        let mut value = summary(&kind.times);
        let longest = &kind.longest;
        let waits = [
            longest.lock,
            longest.throttle,
            longest.durability,
            longest.disk,
        ];
        for ((name, _), wait) in WAITS.iter().zip(waits) {
            value[*name] = seconds(wait);
        }
        (kind.name.to_owned(), value)
    };
    Value::Object(requests.iter().map(kind).collect())
}

fn summary(times: &Times) -> Value {
    let mut value = json!({ "count": times.count });
    let values = [times.p50, times.p99, times.p999, times.max];
    for ((name, _), time) in TIMES.iter().zip(values) {
        value[*name] = seconds(time);
    }
    value
}

/// Seconds, to the tenth of a microsecond.
fn seconds(time: Duration) -> Value {
    json!((time.as_secs_f64() * 1e7).round() / 1e7)
}

/// Both as tables, from what was made of them above.
pub fn tables(latency: &Value) -> String {
    let mut out = String::new();
    for (heading, name, waits) in [
        ("requests", "requests", &WAITS[..]),
        ("disk", "disk requests", &[]),
    ] {
        let Some(kinds) = latency[heading].as_object().filter(|k| !k.is_empty()) else {
            continue;
        };
        let mut table = output::table();
        let mut header = vec![name.to_owned(), "count".to_owned()];
        header.extend(TIMES.iter().chain(waits).map(|(_, h)| (*h).to_owned()));
        if let Some(first) = header.get_mut(2 + TIMES.len()) {
            *first = format!("longest wait: {first}");
        }
        table.set_header(header);
        for (kind, value) in kinds {
            let mut row = vec![
                kind.clone(),
                output::count(value["count"].as_u64().unwrap_or(0)),
            ];
            row.extend(
                TIMES
                    .iter()
                    .chain(waits)
                    .map(|(name, _)| time(&value[*name])),
            );
            table.add_row(row);
        }
        output::align(&mut table);
        out.push_str(&format!("\n{table}\n"));
    }
    out
}

fn time(value: &Value) -> String {
    match value.as_f64() {
        Some(seconds) if seconds > 0.0 => output::time(Duration::from_secs_f64(seconds)),
        _ => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cawfs_fs::Histogram;

    #[test]
    fn a_table_of_times() {
        let histogram = Histogram::default();
        (1..=2000).for_each(|us| histogram.add(Duration::from_micros(us)));
        let longest = cawfs_fs::meter::Spent {
            throttle: Duration::from_millis(2),
            ..Default::default()
        };
        let requests = [RequestTimes {
            name: "write",
            times: histogram.times(),
            longest,
        }];
        let value = json!({ "requests": of_requests(&requests), "disk": {} });
        assert_eq!(value["requests"]["write"]["max_seconds"], json!(0.002));
        let text = tables(&value);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        for word in ["2 000", "2.00 ms", "–"] {
            assert!(lines[2].contains(word), "{text}");
        }
        assert!(lines[1].contains("longest wait: locks"), "{text}");
    }
}
