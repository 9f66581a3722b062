//! Is a difference larger than the noise? Pure statistics of two sets of numbers.
//!
//! All is done with logarithms: noise of times and rates is a factor. A difference counts if the
//! medians are further apart than both
//!
//! * a floor: 5 % between sets of runs. Between single runs more, since one run does not show how
//!   much the next would differ (placement in memory, clock frequency, neighbours on the machine):
//!   25 % for times, 10 % for all else;
//! * `k * sqrt(s1^2/n1 + s2^2/n2)`. `s` is the standard deviation, without the highest and the
//!   lowest value if there are eight or more (winsorized). Of three runs it is hardly more than a
//!   guess. For rates, CPU time and memory, of which it is known how noisy they usually are, two
//!   more runs with a deviation of 3 % are thought to be among them, and `k` can be smaller. `k` is
//!   such that of 1,000 pairs of equal sets about one is taken for different ([`FACTORS`], found
//!   by simulation; tails heavier than normal need a smaller factor). The fifteen figures of a
//!   comparison are tied to each other: one in a hundred comparisons of equals shows a difference.
//!
//! Seconds of one run resemble their neighbours. They are put together to blocks of 2 s or more,
//! 10 at most, by the median, and as blocks still do a little, `k` is larger for them
//! ([`CORRELATED`]: right for a correlation of one half between neighbouring blocks).
//!
//! Tests: below; whole comparisons in `mod.rs`.

use crate::search::median;

/// A relative difference and its bound, as natural logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Difference {
    /// Of the medians: positive if the second set is larger.
    pub(super) change: f64,
    /// What noise may do.
    pub(super) bound: f64,
}

/// From so many runs in each group on, they are compared with each other.
pub(super) const RUNS_MIN: usize = 3;
const FLOOR_RUNS: f64 = 1.05;
/// By the size of the smaller set: `k` for times, and for all else. From 8 on, the winsorized
/// deviation is smaller than the plain one, which `k` makes up for.
const FACTORS: [(usize, f64, f64); 9] = [
    (3, 8.8, 5.5),
    (4, 6.3, 5.2),
    (5, 5.2, 5.0),
    (6, 5.0, 5.0),
    (7, 4.8, 4.8),
    (8, 6.8, 6.8),
    (10, 5.8, 5.8),
    (15, 5.0, 5.0),
    (20, 4.6, 4.6),
];
const CORRELATED: f64 = 1.75;
const WINSORIZE_FROM: usize = 8;
const BLOCK_MIN: usize = 2;
const BLOCKS_MAX: usize = 10;

/// Kind of figure.
#[derive(Debug)]
pub(super) struct Kind {
    /// Single runs differ by this factor at least before it counts.
    floor_seconds: f64,
    /// Runs that are thought to be among those of a set, and their deviation.
    usual: (f64, f64),
    factor: fn(&(usize, f64, f64)) -> f64,
}

/// Latency and the like: nobody knows how noisy, above all in the tail.
pub(super) const TIMES: Kind =
    Kind { floor_seconds: 1.25, usual: (0.0, 0.0), factor: |factors| factors.1 };
/// Rates, CPU time, memory.
pub(super) const OTHERS: Kind =
    Kind { floor_seconds: 1.10, usual: (2.0, 0.03), factor: |factors| factors.2 };

/// Compares figures of whole runs. None: too few of them.
pub(super) fn runs(kind: &Kind, a: &[f64], b: &[f64]) -> Option<Difference> {
    difference(kind, a, b, FLOOR_RUNS, 1.0)
}

/// Compares blocks (see [`blocks`]) of single runs. None: too few of them.
pub(super) fn seconds(kind: &Kind, a: &[f64], b: &[f64]) -> Option<Difference> {
    difference(kind, a, b, kind.floor_seconds, CORRELATED)
}

/// Medians of equally long stretches of a run's seconds; the rest at the end is left out.
pub(super) fn blocks(seconds: &[f64]) -> Vec<f64> {
    let length = seconds.len().div_ceil(BLOCKS_MAX).max(BLOCK_MIN);
    seconds.chunks_exact(length).filter_map(|block| median(block.to_vec())).collect()
}

fn difference(
    kind: &Kind,
    a: &[f64],
    b: &[f64],
    floor: f64,
    correlated: f64,
) -> Option<Difference> {
    let smaller = a.len().min(b.len());
    let k = (kind.factor)(FACTORS.iter().rev().find(|(n, ..)| *n <= smaller)?) * correlated;
    let largest = a.iter().chain(b).copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return Some(Difference { change: 0.0, bound: floor.ln() });
    }
    let (a, b) = (logs(a, largest), logs(b, largest));
    let variance = |set: &[f64]| {
        let (n, (more, usual)) = (set.len() as f64, kind.usual);
        let squares = (n - 1.0) * deviation(set).powi(2) + more * usual.powi(2);
        squares / (n - 1.0 + more) / n
    };
    let noise = k * (variance(&a) + variance(&b)).sqrt();
    Some(Difference { change: median(b)? - median(a)?, bound: noise.max(floor.ln()) })
}

/// Nothing at all has no logarithm: a thousandth of the largest stands for it.
fn logs(set: &[f64], largest: f64) -> Vec<f64> {
    set.iter().map(|value| value.max(largest / 1000.0).ln()).collect()
}

/// Standard deviation; with [`WINSORIZE_FROM`] values or more, the highest and the lowest count
/// as their neighbours.
fn deviation(set: &[f64]) -> f64 {
    let mut sorted = set.to_vec();
    sorted.sort_by(f64::total_cmp);
    if let [low, next, .., before, high] = sorted.as_mut_slice()
        && set.len() >= WINSORIZE_FROM
    {
        (*low, *high) = (*next, *before);
    }
    let n = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / n;
    let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (n - 1.0).max(1.0)).sqrt()
}

/// How far values of a set are from each other, as a factor less 1: its deviation. None: of one.
pub(super) fn spread(set: &[f64]) -> Option<f64> {
    let largest = set.iter().copied().fold(0.0, f64::max);
    match set.len() {
        0 | 1 => None,
        _ if largest <= 0.0 => Some(0.0),
        _ => Some(deviation(&logs(set, largest)).exp() - 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::tests::normal;

    #[test]
    fn stretches_of_seconds() {
        let check = |seconds: usize, count: usize, first: f64| {
            let numbers: Vec<f64> = (0..seconds).map(|n| n as f64).collect();
            let blocks = blocks(&numbers);
            assert_eq!((blocks.len(), blocks.first()), (count, Some(&first)), "{seconds}");
        };
        check(2, 1, 0.5);
        check(5, 2, 0.5);
        check(10, 5, 0.5);
        check(20, 10, 0.5);
        check(30, 10, 1.0);
        check(31, 7, 1.5);
        assert!(blocks(&[1.0]).is_empty() && blocks(&[]).is_empty());
    }

    #[test]
    fn deviations() {
        let check = |set: &[f64], want: f64| {
            let got = deviation(set);
            assert!((got - want).abs() < 1e-9, "{set:?}: {got}");
        };
        check(&[5.0], 0.0);
        check(&[1.0, 3.0], 2f64.sqrt());
        check(&[1.0, 2.0, 3.0], 1.0);
        // One wild value of eight changes nothing.
        let calm = deviation(&[1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0]);
        check(&[1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 900.0], calm);
        assert_eq!(spread(&[5.0]), None);
        assert_eq!(spread(&[0.0, 0.0]), Some(0.0));
        assert!(spread(&[90.0, 100.0, 110.0]).is_some_and(|s| s > 0.09 && s < 0.12));
    }

    #[test]
    fn differences() {
        let check = |a: &[f64], b: &[f64], percent: f64, larger: bool| {
            let Difference { change, bound } = runs(&OTHERS, a, b).unwrap();
            assert!(((change.exp() - 1.0) * 100.0 - percent).abs() < 0.5, "{a:?} {b:?} {change}");
            assert_eq!(change.abs() > bound, larger, "{a:?} {b:?} {change} {bound}");
        };
        check(&[100.0, 101.0, 99.0], &[130.0, 131.0, 129.0], 30.0, true);
        check(&[100.0, 101.0, 99.0], &[70.0, 71.0, 69.0], -30.0, true);
        check(&[4090.0, 3949.0, 4094.0], &[5528.0, 4885.0, 5211.0], 27.4, true);
        check(&[100.0; 3], &[108.0; 3], 8.0, false);
        check(&[100.0; 3], &[112.0; 3], 12.0, true);
        check(&[100.0; 20], &[104.0; 20], 4.0, false);
        check(&[100.0; 20], &[106.0; 20], 6.0, true);
        check(&[80.0, 100.0, 120.0], &[110.0, 130.0, 150.0], 30.0, false);
        check(&[0.0; 3], &[0.0; 3], 0.0, false);
        check(&[0.0; 3], &[5.0; 3], 99_900.0, true);
        assert_eq!(runs(&OTHERS, &[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
        let check = |kind: &Kind, b: f64, want: bool| {
            let Difference { change, bound } = seconds(kind, &[1.0; 10], &[b; 10]).unwrap();
            assert_eq!(change > bound, want, "{b}: {bound}");
        };
        check(&OTHERS, 1.09, false);
        check(&OTHERS, 1.12, true);
        check(&TIMES, 1.2, false);
        check(&TIMES, 1.3, true);
    }

    #[test]
    fn equal_sets_are_seldom_taken_for_different() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut check = |kind: &Kind, noise: f64, allowed: usize| {
            for n in [3, 4, 5, 7, 8, 10, 20, 40] {
                let mut draw =
                    || (0..n).map(|_| (noise * normal(&mut random)).exp()).collect::<Vec<f64>>();
                let wrong = (0..4_000)
                    .filter(|_| {
                        let Difference { change, bound } = runs(kind, &draw(), &draw()).unwrap();
                        change.abs() > bound
                    })
                    .count();
                assert!(wrong <= allowed, "{noise} {n}: {wrong} of 4,000");
            }
        };
        check(&OTHERS, 0.03, 8);
        check(&OTHERS, 0.06, 20);
        // Well above the floor: the factors alone decide.
        check(&TIMES, 0.3, 10);
    }
}
