//! Whether the counts make sense: a benchmark that measured something else than it says is worse than none.

use crate::process::LATE;
use crate::report::Results;
use crate::report::summary::Of;
use crate::system::Kind;

/// What does not make sense.
pub fn complaints(results: &Results) -> Vec<String> {
    let mut found = Vec::new();
    for workload in results.workloads() {
        let of = Of::new(&results.samples, workload);
        for kind in of.systems() {
            let mut complain =
                |what: String| found.push(format!("{workload}, {}: {what}", kind.label()));
            match workload {
                name if name.starts_with("dooku") => dooku(results, of, kind, &mut complain),
                "tree" => tree(of, kind, &mut complain),
                _ => {}
            }
        }
    }
    found
}

fn dooku(results: &Results, of: Of, kind: Kind, complain: &mut impl FnMut(String)) {
    let sizes = &results.sizes;
    let data = f64::from(sizes.dooku_files) * sizes.dooku_file_bytes as f64;
    // Mounting, or what the server does by itself afterwards, may have read a part already: one round says nothing.
    let (mut rounds, mut warm) = (0, 0);
    for sample in of.step(kind, "cold grep") {
        let read = sample.device.map(|counts| counts.read_bytes as f64);
        rounds += usize::from(read.is_some());
        warm += usize::from(read.is_some_and(|bytes| bytes < data * 0.75));
    }
    if warm * 2 > rounds {
        complain(format!(
            "less was read than there is in {warm} of {rounds} rounds: they were not cold"
        ));
    }
    let space = of.space(kind, "cold grep of the original", "cold grep");
    let each = space
        .last()
        .map_or(0.0, |(round, bytes)| bytes / f64::from(*round));
    if kind == Kind::Cawfs && each > data / 16.0 {
        complain(format!("a clone took up {each:.0} bytes"));
    }
    let clones = of.rounds(kind, &["clone", "clone: sync"], |sample| {
        sample.space_bytes as f64
    });
    if !kind.shares() && clones.iter().any(|(_, bytes)| *bytes < data * 0.95) {
        complain("a copy took up less than the data".to_owned());
    }
    let early = |note: &String| note.contains("the image is full") || note.contains(LATE);
    let rounds = sizes.rounds_of(of.workload) as usize;
    if !results.notes.iter().any(early) && clones.len() != rounds {
        complain(format!("{} rounds were done of {rounds}", clones.len()));
    }
}

fn tree(of: Of, kind: Kind, complain: &mut impl FnMut(String)) {
    let read =
        |step: &'static str| of.spread(kind, step, |sample| Some(sample.device?.read_bytes as f64));
    for step in [
        "cold grep -r",
        "cold tar c",
        "cold grep -r, clone",
        "cold tar c, clone",
    ] {
        let names = read("cold find").map_or(0.0, |spread| spread.median);
        if read(step).is_some_and(|spread| spread.least < names) {
            complain(format!("{step} read less than cold find: it was not cold"));
        }
    }
}
