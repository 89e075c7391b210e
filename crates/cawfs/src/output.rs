//! How numbers and results look: for people aligned and with units, for programs as JSON.

use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Prints text to standard output; a closed pipe is no error.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    // Whoever closed the pipe has seen enough.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a value as JSON on lines of its own.
pub fn json(value: &Value) {
    print(&format!("{value:#}\n"));
}

/// Says something about the work in progress, on standard error.
pub fn note(text: &str) {
    eprintln!("cawfs: {text}");
}

/// Whether somebody watches standard error.
pub fn watched() -> bool {
    io::stderr().is_terminal()
}

/// A bar over bytes on a terminal, nothing elsewhere.
pub fn bar(what: &str, total: u64) -> ProgressBar {
    if !watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    let style = "  {msg:<10} {bar:30} {bytes:>10} of {total_bytes}  {binary_bytes_per_sec}  {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_message(what.to_owned());
    bar
}

/// A number of bytes in units of 1024: `0 B`, `640 B`, `1.5 KiB`, `20 GiB`.
pub fn bytes(n: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.digits$} {}", units[unit])
}

/// A number with its thousands apart.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

/// A time with three digits: `85 µs`, `1.20 ms`, `3.4 s`, `2 min 5 s`.
pub fn time(t: Duration) -> String {
    let s = t.as_secs_f64();
    let three = |v: f64, unit: &str| {
        let digits = if v < 9.995 { 2 } else { usize::from(v < 99.95) };
        format!("{v:.digits$} {unit}")
    };
    match s {
        _ if s < 999.5e-6 => three(s * 1e6, "µs"),
        _ if s < 0.9995 => three(s * 1e3, "ms"),
        _ if s < 119.5 => three(s, "s"),
        _ => format!("{} min {} s", t.as_secs() / 60, t.as_secs() % 60),
    }
}

/// A table without frames whose columns after the first are flush right.
pub fn table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table
}

/// Sets columns flush right, all but the first.
pub fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// A JSON object for people: a heading for each object in it, a line for each value. Names that end
/// in `bytes` are shown with units.
pub fn sections(value: &Value) -> String {
    let mut out = String::new();
    section(&mut out, "", value);
    out
}

fn section(out: &mut String, heading: &str, value: &Value) {
    let Value::Object(fields) = value else { return };
    let (inner, plain): (Vec<_>, Vec<_>) = fields.iter().partition(|f| f.1.is_object());
    let width = plain
        .iter()
        .map(|f| label(f.0).chars().count())
        .max()
        .unwrap_or(0);
    if !plain.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        if !heading.is_empty() {
            out.push_str(&format!("{heading}\n"));
        }
        let margin = if heading.is_empty() { "" } else { "  " };
        for (name, value) in plain {
            out.push_str(&format!(
                "{margin}{:width$}  {}\n",
                label(name),
                shown(name, value)
            ));
        }
    }
    for (name, value) in inner {
        section(out, &label(name), value);
    }
}

fn label(name: &str) -> String {
    name.trim_end_matches("_bytes").replace('_', " ")
}

fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Number(n) => match n.as_u64() {
            Some(n) if name.ends_with("bytes") => bytes(n),
            Some(n) if name != "pid" => count(n),
            _ => n.to_string(),
        },
        Value::String(s) => s.clone(),
        Value::Null => "none".into(),
        Value::Bool(b) => (if *b { "yes" } else { "no" }).into(),
        Value::Array(list) => list
            .iter()
            .map(|v| shown(name, v))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(20 << 30), "20.0 GiB");
        assert_eq!(bytes(1023 * 1024), "1.0 MiB");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(count(12), "12");
        assert_eq!(time(Duration::from_micros(85)), "85.0 µs");
        assert_eq!(time(Duration::from_micros(1204)), "1.20 ms");
        assert_eq!(time(Duration::from_secs(125)), "2 min 5 s");
    }

    #[test]
    fn an_object_becomes_headings_and_lines() {
        let value = serde_json::json!({"store": "/s", "space": {"used_bytes": 2048, "runs": 1500}});
        assert_eq!(
            sections(&value),
            "store  /s\n\nspace\n  runs  1 500\n  used  2.0 KiB\n"
        );
    }
}
