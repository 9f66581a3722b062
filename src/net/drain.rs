//! An orderly shutdown of a core: what was accepted is delivered, then everybody is told.

use super::connection::{Connection, Phase};
use super::ring;
use super::worker::{Worker, millis};
use crate::chat::shard::Input;
use std::net::Shutdown;
use std::os::fd::AsFd;

/// How often a core looks whether the next clients are to be told, in milliseconds.
const TELL_MS: u64 = 20;

/// An orderly shutdown of this core.
#[derive(Debug, Default)]
pub(super) struct Drain {
    started_ms: u64,
    /// Connections to be told, once the shards have drained.
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    since_ms: u64,
    slots: Vec<u32>,
    total: usize,
}

impl Worker {
    pub(super) fn start_drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        self.drain = Some(Drain { started_ms: self.now.mono_ms, told: None });
        for index in 0..self.listeners.len() {
            // What stands in the kernel's queue has been promised a connection.
            self.accept(index, usize::MAX);
            let Some(Some(listening)) = self.listeners.get_mut(index) else { continue };
            listening.closing = true;
            if listening.watch.is_none() {
                self.listeners[index] = None;
            } else {
                let _ = ring::shutdown(listening.socket.as_fd(), Shutdown::Both);
            }
        }
        self.step(Input::Drain);
    }

    /// Goes on with a shutdown. True: nothing is left.
    pub(super) fn drained(&mut self) -> bool {
        let now_ms = self.now.mono_ms;
        let config = &self.settings.config.shutdown;
        let (spread_ms, timeout_ms) = (millis(config.spread), millis(config.timeout));
        let quiet = self.shard.drained() && !self.shard.is_dirty();
        let Some(drain) = &mut self.drain else { return false };
        if now_ms >= drain.started_ms + timeout_ms {
            return true;
        }
        if !quiet {
            return false;
        }
        let shard = &self.shard;
        let told = drain.told.get_or_insert_with(|| {
            let slots: Vec<u32> = shard.slots().collect();
            Told { since_ms: now_ms, total: slots.len(), slots }
        });
        // Spread evenly, so that they do not all come back to the next server at once.
        let passed = (now_ms - told.since_ms).min(spread_ms) as usize;
        let keep = match usize::try_from(spread_ms).unwrap_or(usize::MAX) {
            0 => 0,
            spread => told.total - told.total * passed / spread,
        };
        let due = told.slots.split_off(keep.min(told.slots.len()));
        let all_told = told.slots.is_empty();
        for slot in due {
            self.shard.shut_down(self.now, slot, &mut self.fx);
        }
        if all_told {
            let heads = |(_, c): &(usize, &Connection)| matches!(c.phase, Phase::Head(_));
            let waiting: Vec<usize> =
                self.connections.iter().filter(heads).map(|(slot, _)| slot).collect();
            waiting.into_iter().for_each(|slot| self.terminate(slot as u32));
        }
        all_told && self.connections.is_empty() && self.fx.closes.is_empty()
    }

    /// Whether this turn has brought the shutdown a step further that [`Worker::drained`] has not
    /// seen yet: nothing else may come that would wake the core.
    pub(super) fn drain_goes_on(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| match &drain.told {
            None => self.shard.drained(),
            Some(told) => told.slots.is_empty() && self.connections.is_empty(),
        })
    }

    pub(super) fn drain_deadline_ms(&self) -> Option<u64> {
        let drain = self.drain.as_ref()?;
        let config = &self.settings.config.shutdown;
        let timeout = drain.started_ms + millis(config.timeout);
        let step = drain.told.as_ref().filter(|t| !t.slots.is_empty());
        Some(step.map_or(timeout, |_| (self.now.mono_ms + TELL_MS).min(timeout)))
    }
}
