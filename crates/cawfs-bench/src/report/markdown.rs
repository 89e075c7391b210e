//! The results as a page of tables.

use crate::report::summary::{Of, Spread};
use crate::report::targets::Target;
use crate::report::{Results, engines, targets};
use crate::session::Sample;
use crate::system::Kind;
use crate::workload::Name;
use std::fmt::Write;

/// A page about some workloads; `plots` are the names of the plots beside it.
pub fn page(results: &Results, title: &str, workloads: &[&str], plots: &[String]) -> String {
    let mut text = format!(
        "# {title}\n\n`{}`\n\n{}\n",
        results.command, results.machine
    );
    text.push_str("\nMedian (lowest to highest) of all rounds and runs; below it the time as a multiple of ours.\n");
    for workload in workloads {
        let of = Of::new(&results.samples, workload);
        let _ = write!(text, "\n## {workload}\n");
        for plot in plots.iter().filter(|plot| plot == workload) {
            let _ = write!(text, "\n![{plot}]({plot}.svg)\n");
        }
        table(&mut text, of, "time, or rate", time);
        table(
            &mut text,
            of,
            "processor seconds: programs + server",
            processor,
        );
        let title = "processor seconds that the host gave to others: median, most";
        table(&mut text, of, title, taken);
        table(
            &mut text,
            of,
            "device: reads, bytes read; writes, bytes written",
            device,
        );
        table(
            &mut text,
            of,
            "bytes written at the device for each byte of keys and values",
            amplification,
        );
        let title = "requests of the kernel to the server";
        table(&mut text, of, title, requests);
        table(&mut text, of, "space", space);
        clones(&mut text, of);
        rounds(&mut text, of, results);
        peaks(&mut text, of);
    }
    let targets = targets::all(results, workloads);
    if !targets.is_empty() {
        text.push_str("\n## Targets\n\n");
        for workload in workloads {
            let systems = Of::new(&results.samples, workload).systems();
            let _ = writeln!(text, "{}\n", took_part(workload, &systems));
        }
        let _ = writeln!(text, "{TARGETS}");
        for target in &targets {
            let _ = writeln!(text, "{}", target_row(target));
        }
    }
    let about = |note: &&String| {
        let of_none = |label: &str| !note.starts_with(&format!("{label}, "));
        workloads.iter().any(|label| !of_none(label))
            || Name::WORKLOADS.iter().all(|name| of_none(name.label()))
    };
    let notes: Vec<_> = results.notes.iter().filter(about).collect();
    if !notes.is_empty() {
        text.push_str("\n## Notes\n\n");
        for note in notes {
            let _ = writeln!(text, "- {note}");
        }
    }
    text
}

/// Among which systems the best peer of a workload is sought, and which others there are for it.
fn took_part(workload: &str, systems: &[Kind]) -> String {
    let labels = |kinds: &[Kind]| {
        let labels: Vec<_> = kinds.iter().map(|kind| kind.label()).collect();
        labels.join(", ")
    };
    let mut text = format!("Measured in {workload}: {}.", labels(systems));
    let name = Name::WORKLOADS
        .into_iter()
        .find(|name| name.label() == workload);
    let absent =
        |kind: &Kind| name.is_some_and(|name| name.suits(*kind)) && !systems.contains(kind);
    let absent: Vec<_> = Kind::ALL.into_iter().filter(absent).collect();
    if !absent.is_empty() {
        let _ = write!(text, " Not measured: {}.", labels(&absent));
    }
    text
}

/// The head of a table of targets.
pub const TARGETS: &str = "| target | limit | measured | |\n|---|---|---|---|";

/// A row of it.
pub fn target_row(target: &Target) -> String {
    let met = if target.met { "met" } else { "**missed**" };
    let Target {
        what,
        limit,
        measured,
        ..
    } = target;
    format!("| {what} | {limit} | {measured} | {met} |")
}

/// What the clones of dooku take up, each with its writes, as `df` shows it at the end.
fn clones(text: &mut String, of: Of) {
    if !of.workload.starts_with("dooku") {
        return;
    }
    text.push_str("\nSpace of a clone with its writes, over all rounds:");
    for kind in of.systems() {
        let space = of.space(kind, "cold grep of the original", "cold grep");
        if let Some((rounds, last)) = space.last() {
            let _ = write!(
                text,
                " {} {};",
                kind.label(),
                bytes(last / f64::from(*rounds))
            );
        }
    }
    text.push('\n');
}

/// What our engine costs as it grows, a line for each size.
fn rounds(text: &mut String, of: Of, results: &Results) {
    if of.workload != "growth" {
        return;
    }
    let sizes = results.sizes.growth_bytes.iter();
    let sizes = sizes.map(|size| bytes(*size as f64));
    let clones = results.sizes.growth_clones.iter();
    let names = sizes.chain(clones.map(|clones| format!("{clones} clones of that")));
    let heads = engines::GROWING.map(|growing| format!("{} | {}", growing.step, growing.counted));
    let _ = writeln!(
        text,
        "\n| each | {} |\n|---|{}",
        heads.join(" | "),
        "---|---|".repeat(heads.len())
    );
    for (name, round) in names.zip(1..) {
        let cost = |growing: &engines::Growing| {
            let of_round = |sample: &&Sample| sample.round == round;
            let samples = || of.step(of.ours(), growing.step).filter(of_round);
            let time = Spread::of(samples().map(Sample::cost))?.median;
            let count = Spread::of(samples().map(|sample| growing.count(sample)))?.median;
            Some(format!("{} | {}", seconds(time), number(count)))
        };
        let costs: Vec<String> = engines::GROWING.iter().filter_map(cost).collect();
        if !costs.is_empty() {
            let _ = writeln!(text, "| {name} | {} |", costs.join(" | "));
        }
    }
}

fn table(text: &mut String, of: Of, title: &str, cell: fn(Of, Kind, &str) -> Option<String>) {
    let systems = of.systems();
    let cells = |step: &str| -> Vec<Option<String>> {
        systems.iter().map(|kind| cell(of, *kind, step)).collect()
    };
    let rows: Vec<_> = of
        .steps()
        .into_iter()
        .map(|step| (step, cells(step)))
        .collect();
    if rows
        .iter()
        .all(|(_, cells)| cells.iter().all(Option::is_none))
    {
        return;
    }
    let _ = write!(text, "\n| {title} |");
    for kind in &systems {
        let _ = write!(text, " {} |", kind.label());
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(systems.len()));
    for (step, cells) in rows
        .iter()
        .filter(|(_, cells)| cells.iter().any(Option::is_some))
    {
        let _ = write!(text, "| {step} |");
        for cell in cells {
            let _ = write!(text, " {} |", cell.as_deref().unwrap_or("–"));
        }
        text.push('\n');
    }
}

fn time(of: Of, kind: Kind, step: &str) -> Option<String> {
    let spread = of.spread(kind, step, |sample| Some(sample.seconds))?;
    let rate = of.step(kind, step).find_map(|sample| sample.amount);
    let shown = match rate {
        None if spread.least == spread.most => seconds(spread.median),
        None => format!(
            "{} ({} to {})",
            seconds(spread.median),
            seconds(spread.least),
            seconds(spread.most)
        ),
        Some((amount, unit)) if spread.least == spread.most => {
            format!("{} {unit}/s", number(amount / spread.median))
        }
        Some((amount, unit)) => {
            let rate = |seconds: f64| number(amount / seconds);
            let (least, most) = (rate(spread.most), rate(spread.least));
            format!("{} ({least} to {most}) {unit}/s", rate(spread.median))
        }
    };
    let ours = of.cost(of.ours(), step).filter(|_| !kind.is_ours());
    let theirs = of.cost(kind, step)?;
    let ratio = ours.map(|ours| format!("<br>{} x", number(theirs / ours)));
    Some(shown + &ratio.unwrap_or_default())
}

fn processor(of: Of, kind: Kind, step: &str) -> Option<String> {
    // What a program told of itself has no counts of its own.
    of.step(kind, step).find(|sample| sample.device.is_some())?;
    let client = of
        .spread(kind, step, |sample| Some(sample.client_seconds))?
        .median;
    let server = of
        .spread(kind, step, |sample| Some(sample.server_seconds))?
        .median;
    Some(format!("{client:.2} + {server:.2}"))
}

/// Where it came to something; a step in which it was much says little of the system.
fn taken(of: Of, kind: Kind, step: &str) -> Option<String> {
    let spread = of.spread(kind, step, |sample| Some(sample.taken_seconds))?;
    (spread.most >= 0.05).then(|| format!("{:.2}, {:.2}", spread.median, spread.most))
}

fn device(of: Of, kind: Kind, step: &str) -> Option<String> {
    let median = |number: fn(crate::system::Counts) -> u64| {
        let number = |sample: &Sample| sample.device.map(|counts| number(counts) as f64);
        Some(of.spread(kind, step, number)?.median)
    };
    let (reads, read) = (median(|c| c.reads)?, median(|c| c.read_bytes)?);
    let (writes, written) = (median(|c| c.writes)?, median(|c| c.written_bytes)?);
    let show = |count: f64, sum: f64| match count {
        0.0 => "0".to_owned(),
        _ => format!("{count:.0}, {}", bytes(sum)),
    };
    Some(format!("{}; {}", show(reads, read), show(writes, written)))
}

fn requests(of: Of, kind: Kind, step: &str) -> Option<String> {
    let requests = |sample: &Sample| sample.requests.map(|requests| requests as f64);
    Some(format!("{:.0}", of.spread(kind, step, requests)?.median))
}

/// Of steps that write. Reads have a payload too, and write nothing that they were given.
fn amplification(of: Of, kind: Kind, step: &str) -> Option<String> {
    let writes = ["puts", "patches", "copy", "fill"];
    writes.iter().find(|word| step.contains(**word))?;
    let ratio = |sample: &Sample| {
        let payload = Some(sample.payload_bytes).filter(|bytes| *bytes > 0)?;
        Some(sample.device?.written_bytes as f64 / payload as f64)
    };
    Some(number(of.spread(kind, step, ratio)?.median))
}

/// The largest resident sizes of servers in user space.
fn peaks(text: &mut String, of: Of) {
    let peak = |kind: &Kind| {
        let samples = of.all().filter(|sample| sample.system == *kind);
        let most = samples.map(|sample| sample.server_peak_bytes).max()?;
        (most > 0).then(|| format!("{} {}", kind.label(), bytes(most as f64)))
    };
    let peaks: Vec<String> = of.systems().iter().filter_map(peak).collect();
    if !peaks.is_empty() {
        let _ = writeln!(
            text,
            "\nLargest resident size of the server: {}",
            peaks.join(", ")
        );
    }
}

fn space(of: Of, kind: Kind, step: &str) -> Option<String> {
    let counted = of.step(kind, step).any(|sample| sample.device.is_some());
    let reads_only = step.starts_with("cold") || !counted;
    let spread = of.spread(kind, step, |sample| Some(sample.space_bytes as f64))?;
    (!reads_only).then(|| bytes(spread.median))
}

/// A time for people.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1e-5 => format!("{:.1} µs", s * 1e6),
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 0.01 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.2} s"),
        s => format!("{s:.1} s"),
    }
}

/// Three digits of a number.
pub fn number(number: f64) -> String {
    match number {
        // Two digits that say something, however small it is.
        n if n > 0.0 && n < 0.1 => format!("{n:.*}", (1.0 - n.log10().floor()) as usize),
        n if n < 10.0 => format!("{n:.2}"),
        n if n < 100.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// Bytes for people.
pub fn bytes(bytes: f64) -> String {
    let sign = if bytes < 0.0 { "-" } else { "" };
    match bytes.abs() {
        b if b < 1024.0 => format!("{sign}{b:.0} B"),
        b if b < 1048576.0 => format!("{sign}{} KiB", number(b / 1024.0)),
        b if b < 1073741824.0 => format!("{sign}{} MiB", number(b / 1048576.0)),
        b => format!("{sign}{} GiB", number(b / 1073741824.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_left_out_is_named() {
        let some = [Kind::Cawfs, Kind::BtrfsSnap, Kind::Xfs];
        assert_eq!(
            took_part("dooku-fan", &some),
            "Measured in dooku-fan: cawfs, Btrfs snapshot, XFS reflink. Not measured: overlayfs on ext4, Btrfs reflink, ext4 cp -a."
        );
        assert_eq!(
            took_part("growth", &[Kind::Cawdb]),
            "Measured in growth: cawdb."
        );
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(seconds(0.000_131), "131 µs");
        assert_eq!(seconds(0.0042), "4.2 ms");
        assert_eq!(seconds(12.34), "12.3 s");
        assert_eq!(number(0.514), "0.51");
        assert_eq!(bytes(-4096.0), "-4.00 KiB");
        assert_eq!(bytes(512.0), "512 B");
    }
}
