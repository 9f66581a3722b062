//! New settings for a shard that serves: rooms that exist take on their new options.
//!
//! What the settings decide anew is read where it is needed; only what was copied is changed here.
//! Tests: `chat/tests/options.rs`.

use super::settings::Settings;
use super::shard::{Effects, Shard};
use super::terms::Wishes;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Shard {
    /// Takes on new settings. They have the keys and the number of shards of the old ones.
    ///
    /// A room whose namespace is gone keeps its options until it is empty; nobody joins it any
    /// more. History that no longer fits is forgotten. Where who is there shall be known from now on,
    /// the homes are told who is in their rooms; who is told of joins and leaves was decided when it
    /// joined.
    pub(super) fn reconfigure(&mut self, settings: Arc<Settings>, fx: &mut Effects) {
        let before = std::mem::replace(&mut self.settings, settings);
        // Only the keys are new: no room is another one.
        if before.config == self.settings.config {
            return;
        }
        let mut asked = BTreeSet::new();
        for (index, room) in &mut self.rooms {
            let Ok(options) = self.settings.room_options(room.name.as_str()) else { continue };
            let before = std::mem::replace(&mut room.options, options.clone());
            let (presence, join_leave) = (options.presence, options.join_leave);
            if presence && !before.presence || join_leave && !before.join_leave {
                asked.insert(index as u32);
            }
        }
        if !asked.is_empty() {
            self.make_known(&asked, fx);
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

    /// The members of `rooms` here become known to the homes. (Terms do not go back: a leave of
    /// somebody whom a home does not know is nothing to it.)
    fn make_known(&mut self, rooms: &BTreeSet<u32>, fx: &mut Effects) {
        let slots = (0..self.sessions.len() as u32).collect::<Vec<_>>();
        for slot in slots {
            let user = self.user(slot);
            let Some(session) = self.sessions.get_mut(slot as usize).and_then(Option::as_mut)
            else {
                continue;
            };
            let mut known = Vec::new();
            for membership in session.rooms.iter_mut().filter(|m| rooms.contains(&m.room)) {
                let Some(room) = self.rooms.get(membership.room as usize) else { continue };
                let (options, name) = (&room.options, room.name.as_str());
                let overrides = membership.overrides;
                let terms = self.settings.terms(options, name, &user, overrides, Wishes::default());
                membership.terms.listed |= terms.listed;
                membership.terms.announced |= terms.announced;
                if membership.terms.known() {
                    known.push(membership.room);
                }
            }
            for room in known {
                self.tell_present(slot, room, fx);
            }
        }
    }
}
