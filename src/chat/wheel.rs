//! A timer wheel: many deadlines, all of them coarse, none of them exact.
//!
//! Owns keys and the slots they sit in. A key fires at or after its time, never before, at most
//! one tick late; what lies beyond the horizon fires early at the horizon, so whoever owns the key
//! looks at its own deadline and schedules it again if the time has not come. Nothing is ever
//! removed: a key whose owner is gone fires once and is ignored.

/// Milliseconds per slot. Heartbeats are seconds; a quarter of one is exact enough.
pub const TICK_MS: u64 = 250;
/// Slots: the horizon is 64 seconds.
const SLOTS: usize = 256;

/// The wheel.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<u64>>,
    /// One bit per slot that holds something.
    occupied: [u64; SLOTS / 64],
    /// First tick that has not been fired yet.
    tick: u64,
}

impl Wheel {
    /// An empty wheel whose time starts at `now_ms`.
    pub fn new(now_ms: u64) -> Wheel {
        Wheel { slots: vec![Vec::new(); SLOTS], occupied: [0; SLOTS / 64], tick: now_ms / TICK_MS }
    }

    /// Lets `key` fire at `at_ms` or up to a tick later, or at the horizon if that comes first.
    /// Returns when it fires, in milliseconds.
    pub fn schedule(&mut self, key: u64, at_ms: u64) -> u64 {
        let wanted = at_ms.div_ceil(TICK_MS);
        let tick = wanted.clamp(self.tick, self.tick + SLOTS as u64 - 1);
        let slot = (tick % SLOTS as u64) as usize;
        if let (Some(keys), Some(word)) =
            (self.slots.get_mut(slot), self.occupied.get_mut(slot / 64))
        {
            keys.push(key);
            *word |= 1 << (slot % 64);
        }
        tick * TICK_MS
    }

    /// Moves to `now_ms` and appends every key whose time has come.
    pub fn expire(&mut self, now_ms: u64, fired: &mut Vec<u64>) {
        let now = now_ms / TICK_MS;
        let rounds = (now + 1).saturating_sub(self.tick).min(SLOTS as u64);
        for tick in self.tick..self.tick + rounds {
            let slot = (tick % SLOTS as u64) as usize;
            if let (Some(keys), Some(word)) =
                (self.slots.get_mut(slot), self.occupied.get_mut(slot / 64))
            {
                // The memory of a slot that held many keys once is given back.
                fired.append(&mut std::mem::take(keys));
                *word &= !(1 << (slot % 64));
            }
        }
        self.tick = self.tick.max(now + 1);
    }

    /// When the next key fires, in milliseconds; `None`: the wheel is empty.
    pub fn next_ms(&self) -> Option<u64> {
        let start = (self.tick % SLOTS as u64) as usize;
        (0..SLOTS)
            .find(|ahead| {
                let slot = (start + ahead) % SLOTS;
                self.occupied.get(slot / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
            })
            .map(|ahead| (self.tick + ahead as u64) * TICK_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn empty_has_no_deadline() {
        assert_eq!(Wheel::new(12_345).next_ms(), None);
    }

    proptest! {
        #[test]
        fn keys_fire_in_time(
            start in 0u64..1_000_000,
            delays in proptest::collection::vec(0u64..60_000, 1..50),
            steps in proptest::collection::vec(1u64..5_000, 1..60),
        ) {
            let mut wheel = Wheel::new(start);
            for (key, delay) in delays.iter().enumerate() {
                wheel.schedule(key as u64, start + delay);
            }
            let mut now = start;
            let mut seen = vec![None; delays.len()];
            for step in steps.iter().chain(std::iter::repeat_n(&1_000, 100)) {
                let next = wheel.next_ms();
                now += step;
                let mut fired = Vec::new();
                wheel.expire(now, &mut fired);
                if let Some(next) = next {
                    prop_assert!(fired.is_empty() == (next > now));
                }
                for key in fired {
                    prop_assert!(seen[key as usize].is_none(), "fires once");
                    seen[key as usize] = Some(now);
                    prop_assert!(now >= start + delays[key as usize], "never early");
                }
            }
            prop_assert!(seen.iter().all(Option::is_some));
        }
    }
}
