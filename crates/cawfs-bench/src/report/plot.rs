//! Plots: curves over the rounds of dooku, and for everything else a row of dots for each step.
//!
//! Each system has its colour in all plots; cawfs is the strong one. Times are on logarithmic axes, because the systems lie
//! orders of magnitude apart. A dot is a median, the line through it reaches from the least to the greatest.

use crate::report::Results;
use crate::report::markdown::seconds;
use crate::report::summary::{Of, Spread, smooth};
use crate::session::Sample;
use crate::system::Kind;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::path::Path;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Of one system, its points.
type Curve = (Kind, Vec<(f64, f64)>);
/// A number for each round.
type Rounds = [(u32, f64)];
/// A panel: its title, the steps whose times are added (none: not time, but space), how a number is shown.
type Panel = (&'static str, &'static [&'static str], fn(f64) -> String);

const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 44, 52);
const GRID: RGBColor = RGBColor(228, 230, 234);

const PANELS: [Panel; 4] = [
    ("clone", &["clone"], seconds),
    (
        "16 bytes into each file + sync",
        &["write", "write: sync"],
        seconds,
    ),
    ("cold grep", &["cold grep"], seconds),
    ("space of all clones", &[], decimal),
];

/// The rounds of `growth`: sizes, and then numbers of clones.
const GROWTH: [Panel; 4] = [
    (
        "a random put, with its part of the sync",
        &["random puts + sync"],
        seconds,
    ),
    ("a pair of a cold scan", &["cold scans"], seconds),
    ("a cold point read", &["cold point reads"], seconds),
    (
        "a clone of all, with 100 patches",
        &["clone all + 100 patches"],
        seconds,
    ),
];

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Cawfs | Kind::Cawdb => RGBColor(214, 39, 40),
        Kind::BtrfsSnap | Kind::RocksDb => RGBColor(31, 119, 180),
        Kind::Overlay | Kind::Fjall => RGBColor(44, 160, 44),
        Kind::Btrfs => RGBColor(23, 190, 207),
        Kind::Xfs | Kind::Redb => RGBColor(148, 103, 189),
        Kind::Floor => RGBColor(214, 160, 60),
        Kind::Ext4 | Kind::Lmdb => RGBColor(127, 127, 127),
    }
}

fn width(kind: Kind) -> u32 {
    if kind.is_ours() { 3 } else { 2 }
}

/// Draws some workloads; the names of the plots, without the ending.
pub fn all(dir: &Path, results: &Results, workloads: &[&str]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for workload in workloads {
        let of = Of::new(&results.samples, workload);
        let path = dir.join(format!("{workload}.svg"));
        let drawn = match *workload {
            name if name.starts_with("dooku") => {
                let title = format!("{workload}: each round, the median of nine");
                curves(&path, of, &title, PANELS, smooth)
            }
            "growth" => {
                let title = "growth: each round is a size (results.md), then a number of clones";
                curves(&path, of, title, GROWTH, <[_]>::to_vec)
            }
            _ => dots(&path, of),
        };
        drawn.map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))?;
        names.push((*workload).to_owned());
    }
    Ok(names)
}

/// A canvas with a title and a legend; the area below them.
fn canvas<'a>(
    path: &'a Path,
    size: (u32, u32),
    title: &str,
    systems: &[Kind],
) -> Result<(Area<'a>, Area<'a>)> {
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(
        title.to_owned(),
        (24, 18),
        (FONT, 24).into_font().color(&INK),
    ))?;
    for (index, kind) in systems.iter().enumerate() {
        let x = 30 + i32::try_from(index * 1140 / systems.len().max(6))?;
        root.draw(&Circle::new((x, 66), 6, colour(*kind).filled()))?;
        let style = (FONT, 16).into_font().color(&INK);
        root.draw(&Text::new(kind.label(), (x + 13, 58), style))?;
    }
    let (_, below) = root.split_vertically(88);
    Ok((root, below))
}

/// The least and the greatest of what is drawn, with air around them.
fn bounds(numbers: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let spread = Spread::of(numbers.filter(|number| *number > 0.0))?;
    Some((spread.least / 1.5, spread.most * 1.5))
}

/// The powers of ten about what is drawn.
fn decades(numbers: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let spread = Spread::of(numbers.filter(|number| *number > 0.0))?;
    let (least, most) = (spread.least.log10().floor(), spread.most.log10().ceil());
    Some((10f64.powf(least), 10f64.powf(most.max(least + 1.0))))
}

/// Bytes in the units whose steps are powers of ten, as the axis has them.
fn decimal(bytes: f64) -> String {
    match bytes {
        b if b < 1e3 => format!("{b:.0} B"),
        b if b < 1e6 => format!("{:.0} kB", b / 1e3),
        b if b < 1e9 => format!("{:.0} MB", b / 1e6),
        b => format!("{:.0} GB", b / 1e9),
    }
}

/// Four panels of curves over the rounds.
fn curves(
    path: &Path,
    of: Of,
    title: &str,
    panels: [Panel; 4],
    shown: fn(&Rounds) -> Vec<(u32, f64)>,
) -> Result<()> {
    let systems = of.systems();
    let (root, below) = canvas(path, (1200, 900), title, &systems)?;
    for (area, panel) in below.split_evenly((2, 2)).iter().zip(panels) {
        let curve = |kind: &Kind| {
            let rounds = match panel.1 {
                [] => of.space(*kind, "cold grep of the original", "cold grep"),
                steps => shown(&of.rounds(*kind, steps, Sample::cost)),
            };
            let points = rounds.iter().map(|(round, y)| (f64::from(*round), *y));
            (*kind, points.collect())
        };
        one_panel(area, &panel, &systems.iter().map(curve).collect::<Vec<_>>())?;
    }
    root.present()?;
    Ok(())
}

fn one_panel(area: &Area, panel: &Panel, curves: &[Curve]) -> Result<()> {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let Some((least, most)) = decades(points().map(|point| point.1)) else {
        return Ok(());
    };
    let last = points().map(|point| point.0).fold(2.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(panel.0, (FONT, 18).into_font().color(&INK))
        .margin(14)
        .x_label_area_size(34)
        .y_label_area_size(78)
        .build_cartesian_2d(1.0..last, (least..most).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style((FONT, 14).into_font().color(&INK))
        .x_desc("round")
        .x_label_formatter(&|round| match round.fract() {
            0.0 => format!("{round:.0}"),
            _ => String::new(),
        })
        .y_label_formatter(&|y| panel.2(*y))
        .draw()?;
    for (kind, points) in curves.iter().rev() {
        let style = colour(*kind).stroke_width(width(*kind));
        let shown = points.iter().copied().filter(|point| point.1 > 0.0);
        chart.draw_series(LineSeries::new(shown, style))?;
    }
    Ok(())
}

fn dots(path: &Path, of: Of) -> Result<()> {
    let (systems, steps) = (of.systems(), of.steps());
    let rows = u32::try_from(steps.len())?;
    let title = format!(
        "{}: seconds for each (step, MiB, write, file …), less is better",
        of.workload
    );
    let (root, below) = canvas(path, (1200, 160 + 34 * rows), &title, &systems)?;
    let Some((least, most)) = bounds(of.all().map(Sample::cost)) else {
        return Ok(());
    };
    let mut chart = ChartBuilder::on(&below)
        .margin(14)
        .margin_left(300)
        .x_label_area_size(34)
        .build_cartesian_2d((least..most).log_scale(), 0.0..f64::from(rows))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style((FONT, 14).into_font().color(&INK))
        .x_label_formatter(&|x| seconds(*x))
        .draw()?;
    for (index, step) in steps.iter().enumerate() {
        let y = f64::from(rows) - index as f64 - 0.5;
        let line = PathElement::new(vec![(least, y - 0.5), (most, y - 0.5)], GRID);
        chart.draw_series([line])?;
        let (_, at) = chart.backend_coord(&(least, y));
        let name = Text::new(*step, (24, at - 8), (FONT, 15).into_font().color(&INK));
        root.draw(&name)?;
        row(&mut chart, of, step, y)?;
    }
    root.present()?;
    Ok(())
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, RangedCoordf64>>;

/// The systems of one step, each a little lower than the one before, so that none hides another.
fn row(chart: &mut Chart, of: Of, step: &str, y: f64) -> Result<()> {
    let systems = of.systems();
    for (index, kind) in systems.iter().copied().enumerate().rev() {
        let Some(spread) = of.spread(kind, step, |sample| Some(sample.cost())) else {
            continue;
        };
        let y = y + 0.3 - 0.6 * index as f64 / systems.len().max(2) as f64;
        let range = vec![(spread.least, y), (spread.most, y)];
        let style = colour(kind).mix(0.5).stroke_width(2);
        chart.draw_series([PathElement::new(range, style)])?;
        let size = if kind.is_ours() { 6 } else { 4 };
        let dot = Circle::new((spread.median, y), size, colour(kind).filled());
        chart.draw_series([dot])?;
    }
    Ok(())
}
