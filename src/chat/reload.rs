//! New settings for a shard that serves: rooms that exist take on their new options.
//!
//! What the settings decide anew is read where it is needed; only what was copied is changed here.
//! Tests: `chat/tests/options.rs`.

use super::settings::Settings;
use super::shard::Shard;
use std::sync::Arc;

impl Shard {
    /// Takes on new settings. They have the keys and the number of shards of the old ones.
    ///
    /// A room whose namespace is gone keeps its options until it is empty; nobody joins it any
    /// more. History that no longer fits is forgotten. A room that shall know who is there from now
    /// on begins to when it is made anew: who is in it already would be missing.
    pub(super) fn reconfigure(&mut self, settings: Arc<Settings>) {
        let before = std::mem::replace(&mut self.settings, settings);
        // Only the keys are new: no room is another one.
        if before.config == self.settings.config {
            return;
        }
        for (_, room) in &mut self.rooms {
            if let Ok(options) = self.settings.room_options(room.name.as_str()) {
                room.options = options.clone();
            }
        }
        let homes: Vec<u32> = self.homes.iter().map(|(index, _)| index as u32).collect();
        let room_max = self.settings.config.channel.history_room_max_size;
        for index in homes {
            let Some(home) = self.homes.get(index as usize) else { continue };
            let Ok(options) = self.settings.room_options(home.name.as_str()) else { continue };
            let options = options.clone();
            let rules = self.presence_rules();
            let Some(home) = self.homes.get_mut(index as usize) else { continue };
            match &mut home.presence {
                Some(presence) if options.presence || options.join_leave => {
                    presence.set_rules(rules);
                }
                presence => *presence = None,
            }
            let mut freed = home.reconfigure(options);
            freed += home.bound_bytes(room_max);
            self.history_bytes = self.history_bytes.saturating_sub(freed);
            self.replan_check(index);
            self.release_home(index);
        }
        self.bound_history();
    }
}
