//! When each message is due: an open loop, which does not wait for the server.
//!
//! Message `k` of the whole run is due `k / rate` seconds after the start and belongs to sender
//! `k mod senders`; a thread walks those of its own senders. So the times are spread evenly
//! however many threads there are, and known without talking to the others. Pure; tests at the
//! end.

/// One thread's part of the schedule.
#[derive(Debug)]
pub struct Schedule {
    interval_ns: f64,
    senders_total: u64,
    /// This thread's senders, ascending.
    senders: Vec<u32>,
    round: u64,
    at: usize,
    end_ns: u64,
}

impl Schedule {
    /// For a run that sends `rate` messages a second (of all `senders_total` senders together)
    /// until `end_ns` after its start; `senders`: this thread's, ascending.
    pub fn new(rate: f64, senders_total: usize, senders: Vec<u32>, end_ns: u64) -> Schedule {
        Schedule {
            interval_ns: 1e9 / rate,
            senders_total: senders_total as u64,
            senders,
            round: 0,
            at: 0,
            end_ns,
        }
    }

    /// The next message: when it is due, in nanoseconds after the start, and whose it is.
    pub fn peek(&self) -> Option<(u64, u32)> {
        let sender = *self.senders.get(self.at)?;
        let k = self.round * self.senders_total + u64::from(sender);
        let due_ns = (k as f64 * self.interval_ns) as u64;
        (due_ns < self.end_ns).then_some((due_ns, sender))
    }

    /// Goes on to the one after.
    pub fn advance(&mut self) {
        self.at += 1;
        if self.at >= self.senders.len() {
            self.at = 0;
            self.round += 1;
        }
    }

    /// Ends it: nothing is due any more.
    pub fn stop(&mut self) {
        self.senders.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut schedule: Schedule) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| {
            let next = schedule.peek();
            schedule.advance();
            next
        })
        .collect()
    }

    #[test]
    fn threads_share_the_rate_evenly() {
        let second = 1_000_000_000;
        let whole = all(Schedule::new(100.0, 5, (0..5).collect(), second));
        assert_eq!(whole.len(), 100);
        assert!(whole.iter().enumerate().all(|(k, m)| *m == (k as u64 * 10_000_000, k as u32 % 5)));
        let mut parts = all(Schedule::new(100.0, 5, vec![0, 2, 4], second));
        assert_eq!(parts.len(), 60);
        parts.extend(all(Schedule::new(100.0, 5, vec![1, 3], second)));
        parts.sort();
        assert_eq!(parts, whole);
    }

    #[test]
    fn slow_rates_and_threads_without_senders() {
        assert_eq!(all(Schedule::new(0.5, 1, vec![0], 3_000_000_000)).len(), 2);
        assert_eq!(all(Schedule::new(1000.0, 3, vec![], 1_000_000_000)), []);
        let mut stopped = Schedule::new(1000.0, 1, vec![0], 1_000_000_000);
        stopped.stop();
        assert_eq!(stopped.peek(), None);
    }
}
