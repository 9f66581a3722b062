//! Axes of plots: from what to what, in which scale, with which marks. Pure.

use super::figures;

/// From what to what an axis goes, where its marks are, and what it is called.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// Name and unit.
    pub(super) name: String,
    /// Decades are equally long.
    log: bool,
    /// Ends, on the scale (see [`Axis::at`]).
    pub(super) from: f64,
    pub(super) to: f64,
    /// Where a line of the grid is, on the scale, and what stands beside it.
    pub(super) marks: Vec<(f64, String)>,
}

/// Marks of a linear axis, about.
const MARKS: f64 = 5.0;
/// Values on one logarithmic axis differ by this factor at least; below, it is linear.
const WIDE: f64 = 20.0;
/// Percentiles beyond 99.99999 are not drawn.
const NINES_MAX: f64 = 7.0;

impl Axis {
    /// Evenly, from `from` to `to`, with marks at round numbers.
    pub(super) fn linear(name: &str, from: f64, to: f64) -> Axis {
        let to = if to > from { to } else { from + 1.0 };
        let step = round_step((to - from) / MARKS);
        let first = (from / step).ceil() as i64;
        let last = (to / step + 1e-9).floor() as i64;
        let marks = (first..=last).map(|n| n as f64 * step).map(|at| (at, label(at, step)));
        Axis { name: name.into(), log: false, from, to, marks: marks.collect() }
    }

    /// From 0 to the next round number from `highest` on.
    pub(super) fn from_zero(name: &str, highest: f64) -> Axis {
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let step = round_step(highest / MARKS);
        Axis::linear(name, 0.0, (highest / step - 1e-9).ceil() * step)
    }

    /// Logarithmic, from the round number below `lowest` to that above `highest`; both more than 0.
    pub(super) fn log(name: &str, lowest: f64, highest: f64) -> Axis {
        let lowest = lowest.max(1e-6);
        let highest = highest.max(lowest * 1.001);
        let from = rounds(lowest).rev().find(|at| *at <= lowest * 1.000_001).unwrap_or(lowest);
        let to = rounds(highest).find(|at| *at >= highest * 0.999_999).unwrap_or(highest);
        let decades = (to / from).log10();
        let tens = |at: f64| (at.log10() - at.log10().round()).abs() < 1e-6;
        let mut marks = Vec::new();
        let mut decade = from.log10().floor();
        while decade <= to.log10() + 1e-9 {
            for digit in [1.0, 2.0, 5.0] {
                let at = digit * 10f64.powf(decade);
                let inside = at >= from * 0.999 && at <= to * 1.001;
                if inside && (decades <= 2.75 || tens(at)) {
                    marks.push((at.log10(), log_label(at)));
                }
            }
            decade += 1.0;
        }
        Axis { name: name.into(), log: true, from: from.log10(), to: to.log10(), marks }
    }

    /// Logarithmic if the values (all of them, zeros left out) differ widely, else from zero.
    pub(super) fn fitting(name: &str, values: impl Iterator<Item = f64>) -> Axis {
        let (mut lowest, mut highest) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|value| *value > 0.0) {
            lowest = lowest.min(value);
            highest = highest.max(value);
        }
        match highest > lowest * WIDE {
            true => Axis::log(name, lowest, highest),
            false => Axis::from_zero(name, highest),
        }
    }

    /// Quantiles, so that 90, 99 and 99.9 % are equally far apart; as far as so many measurements
    /// say anything.
    pub(super) fn percentiles(measured: u64) -> Axis {
        let to = (measured.max(1) as f64).log10().clamp(2.0, NINES_MAX);
        let mut marks = vec![(nines(0.5), "50".to_owned())];
        for n in 1..=to.floor() as usize {
            let label = match n {
                1 => "90".to_owned(),
                2 => "99".to_owned(),
                n => format!("99.{}", "9".repeat(n - 2)),
            };
            marks.push((n as f64, label));
        }
        Axis { name: "percentile (%)".into(), log: false, from: 0.0, to, marks }
    }

    /// Where a value is on the scale. None: nowhere, as 0 on a logarithmic one.
    pub(super) fn at(&self, value: f64) -> Option<f64> {
        match self.log {
            true => (value > 0.0).then(|| value.log10().max(self.from)),
            false => value.is_finite().then_some(value),
        }
    }
}

/// Where a quantile below 1 is on an axis of percentiles.
pub(super) fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// The next of 1, 2, 5, 10, 20, ... from `step` on.
fn round_step(step: f64) -> f64 {
    rounds(step).find(|at| *at >= step * 0.999_999).unwrap_or(step)
}

/// Numbers 1, 2, 5, 10, ... from below `near` to above it.
fn rounds(near: f64) -> impl DoubleEndedIterator<Item = f64> {
    let decade = near.log10().floor() as i32;
    (decade - 1..=decade + 1)
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)))
}

/// A mark's number with as many decimals as steps of this size need; large ones with `k` and `M`.
fn label(at: f64, step: f64) -> String {
    let (unit, name) = match at.abs() {
        n if n >= 1e6 && step >= 1e4 => (1e6, "M"),
        n if n >= 1e4 && step >= 1e2 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let decimals = (-((step / unit).log10() + 1e-9).floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{:.decimals$}", at / unit);
    match (unit, text.contains('.')) {
        (1.0, false) if at >= 1000.0 => figures::count(at.round() as u64),
        (1.0, _) => text,
        (_, true) => format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.')),
        (_, false) => format!("{text}{name}"),
    }
}

/// A mark's number on a logarithmic axis.
fn log_label(at: f64) -> String {
    let decade = 10f64.powf(at.log10().floor());
    label(at, decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &Axis) -> String {
        axis.marks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn marks_are_round() {
        let check = |axis: Axis, want: &str| assert_eq!(words(&axis), want);
        check(Axis::linear("", 0.0, 10.0), "0 2 4 6 8 10");
        check(Axis::linear("", -1.5, 11.0), "0 5 10");
        check(Axis::linear("", 0.0, 0.3), "0.0 0.1 0.2 0.3");
        check(Axis::linear("", 5.0, 5.0), "5.0 5.2 5.4 5.6 5.8 6.0");
        check(Axis::from_zero("", 0.0), "0.0 0.2 0.4 0.6 0.8 1.0");
        check(Axis::from_zero("", 3_600.0), "0 1,000 2,000 3,000 4,000");
        check(Axis::from_zero("", 230_000.0), "0 50k 100k 150k 200k 250k");
        check(Axis::from_zero("", 6_100_000.0), "0 2M 4M 6M 8M");
        check(Axis::log("", 0.13, 3.0), "0.1 0.2 0.5 1 2 5");
        check(Axis::log("", 0.013, 1_700.0), "0.01 0.1 1 10 100 1,000");
        check(Axis::log("", 150.0, 30_000.0), "100 200 500 1,000 2,000 5,000 10k 20k 50k");
        check(Axis::percentiles(0), "50 90 99");
        check(Axis::percentiles(20_000), "50 90 99 99.9 99.99");
        check(Axis::percentiles(u64::MAX), "50 90 99 99.9 99.99 99.999 99.9999 99.99999");
    }

    #[test]
    fn the_scale_follows_the_range() {
        let wide = Axis::fitting("", [0.0, 0.5, 40.0].into_iter());
        assert_eq!((wide.at(0.0), wide.at(10.0)), (None, Some(1.0)));
        let narrow = Axis::fitting("", [3.0, 40.0].into_iter());
        assert_eq!((narrow.at(0.0), narrow.from, narrow.to), (Some(0.0), 0.0, 40.0));
        let none = Axis::fitting("", std::iter::empty());
        assert_eq!((none.from, none.to), (0.0, 1.0));
    }

    #[test]
    fn every_mark_is_on_its_axis() {
        for exponent in -6..9 {
            for digit in [1.0, 1.3, 4.9, 9.99] {
                let highest = digit * 10f64.powi(exponent);
                for axis in [
                    Axis::from_zero("", highest),
                    Axis::log("", highest / 300.0, highest),
                    Axis::linear("", -1.0, highest),
                ] {
                    let inside =
                        |at: f64| at >= axis.from - 1e-6 && at <= axis.to + (axis.to * 1e-6).abs();
                    assert!(axis.marks.iter().all(|(at, _)| inside(*at)), "{axis:?}");
                    assert!((2..=12).contains(&axis.marks.len()), "{axis:?}");
                }
            }
        }
    }
}
