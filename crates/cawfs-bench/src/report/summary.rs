//! Medians and spread of samples.

use crate::session::Sample;
use crate::system::Kind;

/// Of several numbers: the middle, the least, the greatest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Spread {
    /// Of these; none of no numbers.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[half],
            _ => f64::midpoint(sorted[half - 1], sorted[half]),
        };
        Some(Self {
            median,
            least,
            most,
        })
    }
}

/// The samples of one workload.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    samples: &'a [Sample],
    /// Its name.
    pub workload: &'a str,
}

impl<'a> Of<'a> {
    /// From all samples.
    pub fn new(samples: &'a [Sample], workload: &'a str) -> Self {
        Self { samples, workload }
    }

    /// Its samples.
    pub fn all(self) -> impl Iterator<Item = &'a Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.workload == self.workload)
    }

    /// That of ours which the others are compared with.
    pub fn ours(self) -> Kind {
        let engine = self.all().any(|sample| sample.system == Kind::Cawdb);
        if engine { Kind::Cawdb } else { Kind::Cawfs }
    }

    /// The steps, in the order in which they were first done.
    pub fn steps(self) -> Vec<&'static str> {
        let mut found = Vec::new();
        for sample in self.all() {
            if !found.contains(&sample.step) {
                found.push(sample.step);
            }
        }
        found
    }

    /// The systems, in the order of the tables.
    pub fn systems(self) -> Vec<Kind> {
        let has = |kind: &Kind| self.all().any(|sample| sample.system == *kind);
        Kind::ALL.into_iter().filter(has).collect()
    }

    /// The samples of one step on one system.
    pub fn step(self, system: Kind, step: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.all()
            .filter(move |sample| sample.system == system && sample.step == step)
    }

    /// The spread of a number of a step on a system.
    pub fn spread(
        self,
        system: Kind,
        step: &'a str,
        number: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<Spread> {
        Spread::of(self.step(system, step).filter_map(number))
    }

    /// The median time of a step on a system.
    pub fn seconds(self, system: Kind, step: &'a str) -> Option<f64> {
        Some(
            self.spread(system, step, |sample| Some(sample.seconds))?
                .median,
        )
    }

    /// The median of the seconds for each of what a step does, on a system.
    pub fn cost(self, system: Kind, step: &'a str) -> Option<f64> {
        Some(
            self.spread(system, step, |sample| Some(sample.cost()))?
                .median,
        )
    }

    /// What is in use after a step of each round beyond what was after a step before all rounds, in bytes.
    ///
    /// Not a sum over the steps: between them the system may give back, or take, what it did not within them.
    pub fn space(self, system: Kind, before: &'a str, step: &'a str) -> Vec<(u32, f64)> {
        let base = self.spread(system, before, |sample| Some(sample.used_bytes as f64));
        let base = base.map_or(0.0, |spread| spread.median);
        let rounds = self.rounds(system, &[step], |sample| sample.used_bytes as f64);
        rounds
            .into_iter()
            .map(|(round, used)| (round, used - base))
            .collect()
    }

    /// Of each round that the system did, the sum over some steps, in the middle of the runs.
    pub fn rounds(
        self,
        system: Kind,
        steps: &[&str],
        number: impl Fn(&Sample) -> f64,
    ) -> Vec<(u32, f64)> {
        let of_system = || {
            self.all()
                .filter(|sample| sample.system == system && sample.round > 0)
        };
        let last = of_system()
            .map(|sample| sample.round)
            .max()
            .unwrap_or_default();
        let runs = of_system()
            .map(|sample| sample.repeat)
            .max()
            .unwrap_or_default();
        // The steps of a round lie beside each other, so one walk fills all sums.
        let mut sums = vec![vec![None; runs as usize + 1]; last as usize + 1];
        for sample in of_system().filter(|sample| steps.contains(&sample.step)) {
            let sum: &mut Option<f64> = &mut sums[sample.round as usize][sample.repeat as usize];
            *sum = Some(sum.unwrap_or_default() + number(sample));
        }
        let middle = |(round, runs): (usize, Vec<Option<f64>>)| {
            Some((
                u32::try_from(round).ok()?,
                Spread::of(runs.into_iter().flatten())?.median,
            ))
        };
        sums.into_iter().enumerate().filter_map(middle).collect()
    }
}

/// The median of the points about each point, four to either side, so that one busy moment does not stand for a trend.
pub fn smooth(points: &[(u32, f64)]) -> Vec<(u32, f64)> {
    let about = |at: usize| {
        let near = &points[at.saturating_sub(4)..(at + 5).min(points.len())];
        Spread::of(near.iter().map(|point| point.1)).map(|spread| (points[at].0, spread.median))
    };
    (0..points.len()).filter_map(about).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([]), None);
        let odd = Spread::of([3.0, 1.0, 9.0]).unwrap();
        assert_eq!((odd.median, odd.least, odd.most), (3.0, 1.0, 9.0));
        assert_eq!(Spread::of([3.0, 1.0]).unwrap().median, 2.0);
    }

    #[test]
    fn one_busy_moment_is_no_trend() {
        let mut points: Vec<(u32, f64)> = (1..=20).map(|round| (round, 1.0)).collect();
        points[7].1 = 50.0;
        assert!(smooth(&points).iter().all(|point| point.1 == 1.0));
        assert_eq!(smooth(&points).len(), 20);
    }
}
