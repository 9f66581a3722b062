//! When each message is due: an open loop, which does not wait for the server.
//!
//! `constant`: message `k` of the whole run is due `k / rate` seconds after the start and belongs
//! to sender `k mod senders`. `burst:N`: the same messages, but `k*N..(k+1)*N` are all due when the
//! first of them is. A thread walks those of its own senders, so that the times are the same however
//! many threads there are, and known without talking to the others. `poisson`: each thread draws
//! the times of its own part of the rate, and each time one of its senders; such parts add up to the
//! same process for the whole. Pure; tests at the end.

use crate::options::Arrivals;

/// One thread's part of the schedule.
#[derive(Debug)]
pub struct Schedule {
    /// This thread's senders, ascending.
    mine: Vec<u32>,
    end_ns: u64,
    law: Law,
    next: Option<(u64, u32)>,
}

#[derive(Debug)]
enum Law {
    /// `round` and `at`: the place of the next message; `size`: of a burst.
    Steps { interval_ns: f64, senders_total: u64, size: u64, round: u64, at: usize },
    /// `at_ns`: when the last one was due.
    Poisson { mean_ns: f64, at_ns: f64, random: fastrand::Rng },
}

impl Schedule {
    /// For a run that sends `rate` messages a second (of all `senders_total` senders together)
    /// until `end_ns` after its start; `mine`: this thread's senders, ascending; `seed`: of this
    /// thread.
    pub fn new(
        arrivals: Arrivals,
        rate: f64,
        senders_total: usize,
        mine: Vec<u32>,
        seed: u64,
        end_ns: u64,
    ) -> Schedule {
        let interval_ns = 1e9 / rate;
        let steps = |size| Law::Steps {
            interval_ns,
            senders_total: senders_total as u64,
            size,
            round: 0,
            at: 0,
        };
        let law = match arrivals {
            Arrivals::Constant => steps(1),
            Arrivals::Burst(size) => steps(size.max(1)),
            Arrivals::Poisson => Law::Poisson {
                mean_ns: interval_ns * senders_total as f64 / mine.len() as f64,
                at_ns: 0.0,
                random: fastrand::Rng::with_seed(seed),
            },
        };
        let mut schedule = Schedule { mine, end_ns, law, next: None };
        schedule.find();
        schedule
    }

    /// The next message: when it is due, in nanoseconds after the start, and whose it is.
    #[inline]
    pub fn peek(&self) -> Option<(u64, u32)> {
        self.next
    }

    /// Goes on to the one after.
    pub fn advance(&mut self) {
        if let Law::Steps { round, at, .. } = &mut self.law {
            *at += 1;
            if *at >= self.mine.len() {
                *at = 0;
                *round += 1;
            }
        }
        self.find();
    }

    /// Ends it: nothing is due any more.
    pub fn stop(&mut self) {
        self.mine.clear();
        self.next = None;
    }

    fn find(&mut self) {
        let (due_ns, at) = match &mut self.law {
            Law::Steps { interval_ns, senders_total, size, round, at } => {
                let Some(sender) = self.mine.get(*at) else {
                    self.next = None;
                    return;
                };
                let message = *round * *senders_total + u64::from(*sender);
                ((message / *size * *size) as f64 * *interval_ns, *at)
            }
            Law::Poisson { mean_ns, at_ns, random } => {
                if self.mine.is_empty() || *at_ns >= self.end_ns as f64 {
                    self.next = None;
                    return;
                }
                // 1 - [0, 1) is never 0, whose logarithm is none.
                *at_ns -= (1.0 - random.f64()).ln() * *mean_ns;
                (*at_ns, random.usize(..self.mine.len()))
            }
        };
        let due_ns = due_ns as u64;
        self.next = self.mine.get(at).filter(|_| due_ns < self.end_ns).map(|who| (due_ns, *who));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn all(mut schedule: Schedule) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| {
            let next = schedule.peek();
            schedule.advance();
            next
        })
        .collect()
    }

    fn of(law: &str, rate: f64, total: usize, mine: Vec<u32>, end_ns: u64) -> Vec<(u64, u32)> {
        all(Schedule::new(law.parse().unwrap(), rate, total, mine, 1, end_ns))
    }

    #[test]
    fn threads_share_a_constant_rate_evenly() {
        let whole = of("constant", 100.0, 5, (0..5).collect(), SECOND);
        assert_eq!(whole.len(), 100);
        assert!(whole.iter().enumerate().all(|(k, m)| *m == (k as u64 * 10_000_000, k as u32 % 5)));
        assert_eq!(of("constant", 100.0, 5, vec![0, 2, 4], SECOND).len(), 60);
    }

    #[test]
    fn bursts_are_due_together() {
        let whole = of("burst:30", 100.0, 7, (0..7).collect(), SECOND);
        assert_eq!(whole.len(), 120);
        for (k, (due_ns, sender)) in whole.iter().enumerate() {
            assert_eq!((*due_ns, *sender), (k as u64 / 30 * 300_000_000, k as u32 % 7));
        }
    }

    #[test]
    fn the_parts_are_the_whole_however_many() {
        for law in ["constant", "burst:1", "burst:3", "burst:50"] {
            for total in [1, 2, 5, 17] {
                let whole = of(law, 333.0, total as usize, (0..total).collect(), SECOND);
                for shards in 1..=6 {
                    let mut parts = Vec::new();
                    for shard in 0..shards {
                        let mine = (0..total).filter(|sender| sender % shards == shard).collect();
                        let part = of(law, 333.0, total as usize, mine, SECOND);
                        assert!(part.is_sorted_by_key(|(due_ns, _)| *due_ns));
                        parts.extend(part);
                    }
                    parts.sort();
                    let mut whole = whole.clone();
                    whole.sort();
                    assert_eq!(parts, whole, "{law} {total} {shards}");
                }
            }
        }
    }

    #[test]
    fn poisson_has_the_rate_and_its_spread() {
        // 2 of 5 senders of 50,000 a second: 20,000 a second.
        let due = of("poisson", 50_000.0, 5, vec![1, 4], 10 * SECOND);
        assert!(due.is_sorted_by_key(|(due_ns, _)| *due_ns));
        assert!((197_000..203_000).contains(&due.len()), "{}", due.len());
        let first = due.iter().filter(|(_, sender)| *sender == 1).count() as f64;
        assert!((first / due.len() as f64 - 0.5).abs() < 0.01);
        assert!(due.iter().all(|(_, sender)| [1, 4].contains(sender)));
        // Messages in each millisecond: mean 20, variance the same.
        let mut counts = vec![0.0; 10_000];
        due.iter().for_each(|(due_ns, _)| counts[(due_ns / 1_000_000) as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / 10_000.0;
        let variance = counts.iter().map(|count| (count - mean) * (count - mean)).sum::<f64>();
        assert!((mean - 20.0).abs() < 0.3, "{mean}");
        assert!((variance / 10_000.0 - 20.0).abs() < 1.5, "{}", variance / 10_000.0);
    }

    #[test]
    fn poisson_repeats_with_its_seed() {
        let with = |seed| all(Schedule::new(Arrivals::Poisson, 1e4, 3, vec![0, 2], seed, SECOND));
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
    }

    #[test]
    fn slow_rates_threads_without_senders_and_an_end() {
        assert_eq!(of("constant", 0.5, 1, vec![0], 3 * SECOND).len(), 2);
        for law in ["constant", "poisson", "burst:9"] {
            assert_eq!(of(law, 1000.0, 3, vec![], SECOND), []);
            assert_eq!(of(law, 1000.0, 3, vec![2], 0), []);
            let mut stopped = Schedule::new(law.parse().unwrap(), 1e3, 1, vec![0], 1, SECOND);
            stopped.stop();
            assert_eq!(stopped.peek(), None);
            stopped.advance();
            assert_eq!(stopped.peek(), None);
        }
    }
}
