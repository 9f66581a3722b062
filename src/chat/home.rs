//! A room at home: its order, its history, and which shards have members.
//!
//! Owns offsets (contiguous within an epoch, never given twice), the history (bounded by number
//! and age) and the frames of the turn, encoded once. It knows no connection.

use super::ids::{AUDIENCES, Audience, Dialect, Epoch, RoomName, ShardId};
use super::peer::{Author, Batch};
use super::presence::{Announcement, Presence};
use super::version::Version;
use crate::config::{NamespaceOptions, RecoveryMode};
use crate::protocol::content::{Content, SharedContent};
use crate::protocol::reply::{self, Event, Publication, Push, Tags};
use crate::protocol::{codes, plain};
use crate::ws::codec;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that a history entry costs besides its texts: itself, its author, and what the allocator
/// keeps of the seven blocks; two of them have a count of references.
const ENTRY_BYTES: usize = size_of::<Entry>() + size_of::<Author>() + 7 * 16 + 2 * 16;

/// Bytes that a tag costs besides its texts: itself in a tree that may be half empty, and what the
/// allocator keeps of two blocks.
const TAG_BYTES: usize = 2 * size_of::<(String, String)>() + 2 * 16;

/// Who has published what the application's backend publishes, for plain clients. No guest can have
/// this name: a nick has no `#`.
const SERVER_NAME: &str = "#server";

/// What is left of a publication that its author has deleted.
const BLANK: &str = r#"{"type":"message","text":"","deleted":true}"#;

/// A room, at the shard that orders it.
#[derive(Debug)]
pub struct Home {
    /// Its name.
    pub name: RoomName,
    /// Options of its namespace.
    pub options: Arc<NamespaceOptions>,
    /// This life of the room.
    pub epoch: Epoch,
    /// Offset of the newest publication; 0: none yet.
    pub offset: u64,
    /// Whether the room waits in the list of homes to flush.
    pub dirty: bool,
    /// When the room has to be looked at again (Unix milliseconds); 0: not planned.
    pub check_at_ms: u64,
    /// Who is in the room, where its namespace wants to know it.
    pub presence: Option<Box<Presence>>,
    /// What the room is about, as its members set it last.
    pub topic: Option<Arc<str>>,
    /// Until then the room keeps epoch and offset, whoever leaves and whatever expires (Unix
    /// milliseconds).
    pub keep_until_ms: u64,
    /// Version of the newest publication that has one.
    pub newest_version: Option<Box<Version>>,
    history: VecDeque<Entry>,
    history_bytes: usize,
    members: Vec<ShardMembers>,
    prefix: Vec<u8>,
    frames: [Frames; AUDIENCES],
    count: u32,
}

/// The frames of the turn for one audience.
#[derive(Debug, Default)]
struct Frames {
    bytes: BytesMut,
    /// Bytes of the last turn that had any: as many are made room for in the next.
    usual: usize,
}

impl Frames {
    /// Where the next frame goes.
    fn out(&mut self) -> &mut BytesMut {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(self.usual);
        }
        &mut self.bytes
    }

    /// Takes the frames as they lie, without a copy: members get the memory into which they were
    /// encoded. Unless less than half of that is in use, for members may keep it for long.
    fn take(&mut self) -> Bytes {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return Bytes::new();
        }
        self.usual = bytes.len();
        match bytes.len() < bytes.capacity() / 2 {
            true => Bytes::copy_from_slice(&bytes),
            false => bytes.freeze(),
        }
    }
}

/// Members of the room on one shard, by audience.
#[derive(Debug)]
struct ShardMembers {
    shard: ShardId,
    counts: [u32; AUDIENCES],
}

/// One publication kept. A copy shares what it holds.
#[derive(Debug, Clone)]
pub struct Entry {
    offset: u64,
    time_ms: u64,
    content: SharedContent,
    author: Option<Arc<Author>>,
    tags: Option<Arc<Tags>>,
}

/// A publication on its way into the room.
#[derive(Debug, Clone, Copy)]
pub struct NewPublication<'a> {
    /// What is published.
    pub content: Content<'a>,
    /// Who publishes; `None`: the application's backend.
    pub author: Option<&'a Arc<Author>>,
    /// What the backend attached to it.
    pub tags: Option<&'a Arc<Tags>>,
    /// It takes no offset and is not kept: only members who are here now get it.
    pub skip_history: bool,
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered {
    /// Its offset, if it is kept.
    pub offset: Option<u64>,
    /// Bytes of history added, minus those that fell out.
    pub change: isize,
}

/// How much of the past one reply may carry.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Publications.
    pub count: usize,
    /// Bytes of them.
    pub bytes: usize,
}

/// What of the past a client wants.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// Only offsets beyond this one: above it, or below it if `reverse`.
    pub since: Option<u64>,
    /// At most so many.
    pub limit: Limit,
    /// Newest first.
    pub reverse: bool,
}

impl Home {
    /// A room that nobody has joined and nothing was published in.
    pub fn new(name: RoomName, options: Arc<NamespaceOptions>, epoch: Epoch) -> Home {
        Home {
            prefix: reply::push_prefix(name.as_str()),
            name,
            options,
            epoch,
            offset: 0,
            dirty: false,
            check_at_ms: 0,
            presence: None,
            topic: None,
            keep_until_ms: 0,
            newest_version: None,
            history: VecDeque::new(),
            history_bytes: 0,
            members: Vec::new(),
            frames: Default::default(),
            count: 0,
        }
    }

    /// Members in all.
    pub fn len(&self) -> usize {
        self.members.iter().flat_map(|m| m.counts).map(|n| n as usize).sum()
    }

    /// Whether nobody is in the room.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether the room can be forgotten: nobody is in it and it remembers nothing.
    pub fn is_unused(&self, now_ms: u64) -> bool {
        let remembers = !self.history.is_empty() || self.keep_until_ms > now_ms;
        self.members.is_empty() && !remembers && !self.dirty
    }

    /// Counts a member on a shard.
    pub fn join(&mut self, shard: ShardId, audience: Audience) {
        let at = self.members.iter().position(|m| m.shard == shard).unwrap_or_else(|| {
            self.members.push(ShardMembers { shard, counts: [0; AUDIENCES] });
            self.members.len() - 1
        });
        if let Some(count) = self.members.get_mut(at).map(|m| &mut m.counts[audience.index()]) {
            *count += 1;
        }
    }

    /// Counts a member less.
    pub fn leave(&mut self, shard: ShardId, audience: Audience) {
        if let Some(members) = self.members.iter_mut().find(|m| m.shard == shard) {
            let count = &mut members.counts[audience.index()];
            debug_assert!(*count > 0, "a leave without a join in {}", self.name);
            *count = count.saturating_sub(1);
        }
        self.members.retain(|m| m.counts != [0; AUDIENCES]);
    }

    /// Whether somebody here is told of joins and leaves.
    pub fn hears_joins(&self) -> bool {
        let told = |dialect| has(&self.members, Audience { dialect, hears_joins: true });
        Dialect::ALL.into_iter().any(told)
    }

    /// Whether the room keeps history.
    pub fn has_history(&self) -> bool {
        self.options.history_size > 0
    }

    /// Gives the publication the next offset, keeps it and encodes it for the members.
    pub fn publish(&mut self, now_ms: u64, new: NewPublication<'_>) -> Ordered {
        let NewPublication { content, author, tags, skip_history } = new;
        let kept = self.has_history() && !skip_history;
        self.offset += u64::from(kept);
        self.count += 1;
        let publication = Publication {
            content,
            info: author.map(|author| &author.info),
            stamp: kept.then_some((self.offset, now_ms)),
            tags: tags.map(|tags| &**tags),
        };
        self.push(Push::Publication(publication), &[true, false]);
        write(&mut self.frames, &self.members, Dialect::Plain, &[true, false], |frames| {
            // In here, because finding the line may mean reading the payload again.
            if let Some(line) = content.line() {
                let name = author.map_or(SERVER_NAME, |author| author.name.as_str());
                codec::text_frame_with(frames, |out| line.write(name, out));
            }
        });
        if !kept {
            return Ordered { offset: None, change: 0 };
        }
        // First, so that the new one takes the place and the memory of the oldest: 500 publications
        // of many rooms are not in a cache, and each place looked at costs a miss.
        let mut change = 0;
        while self.history.len() >= self.options.history_size {
            change -= self.forget_oldest() as isize;
            self.history.shrink_to(self.options.history_size);
        }
        // The content last: counting the author waits until the memory written before is there,
        // which for the content is memory of 500 publications ago.
        let entry = Entry {
            author: author.cloned(),
            tags: tags.cloned(),
            offset: self.offset,
            time_ms: now_ms,
            content: content.shared(),
        };
        let bytes = entry.bytes();
        change += bytes as isize;
        self.history_bytes += bytes;
        self.history.push_back(entry);
        Ordered { offset: Some(self.offset), change }
    }

    /// Forgets the history; offsets go on as if it were there. Returns the bytes freed.
    pub fn forget_all(&mut self) -> usize {
        self.history.clear();
        std::mem::take(&mut self.history_bytes)
    }

    /// Tells those members who want to know it that somebody joined or left.
    pub fn announce(&mut self, announcement: &Announcement) {
        let (event, author) = match announcement {
            Announcement::Join(author) => (Event::Join, author),
            Announcement::Leave(author) => (Event::Leave, author),
        };
        self.push(Push::Presence(event, &author.info), &[true]);
        write(&mut self.frames, &self.members, Dialect::Plain, &[true], |frames| {
            let line = match event {
                Event::Join => plain::join_line(&author.name),
                Event::Leave => plain::leave_line(&author.name),
            };
            codec::text_frame(frames, line.as_bytes());
        });
    }

    /// Encodes a push for the members, once per form. `to`: those who are told of joins and leaves,
    /// or not, or both.
    fn push(&mut self, push: Push<'_>, to: &[bool]) {
        let Home { frames, members, prefix, name, .. } = self;
        write(frames, members, Dialect::Json, to, |frames| {
            codec::text_frame_with(frames, |out| reply::push_json(out, prefix, push));
        });
        write(frames, members, Dialect::Protobuf, to, |frames| {
            codec::binary_frame_with(frames, |out| reply::push_protobuf(out, name.as_str(), push));
        });
    }

    /// Bytes of this turn so far.
    pub fn turn_bytes(&self) -> usize {
        self.frames.iter().map(|frames| frames.bytes.len()).sum()
    }

    /// Takes what the turn has brought so far, with the shards that have members.
    pub fn take_batch(&mut self) -> Option<(Batch, impl Iterator<Item = ShardId> + '_)> {
        if self.turn_bytes() == 0 {
            self.count = 0;
            return None;
        }
        let frames = self.frames.each_mut().map(Frames::take);
        let batch =
            Batch { room: self.name.clone(), frames, count: std::mem::take(&mut self.count) };
        Some((batch, self.members.iter().map(|m| m.shard)))
    }

    /// What a client at `offset` of `epoch` has missed: all of it, oldest first, or `None`. Where
    /// recovery is a cache: the newest publication, whatever was missed.
    pub fn missed(&self, epoch: &str, offset: u64, limit: Limit) -> Option<Vec<Entry>> {
        let same_life = epoch == self.epoch.to_string();
        let count = match self.options.force_recovery_mode {
            RecoveryMode::Stream if !same_life || offset > self.offset => return None,
            RecoveryMode::Stream => usize::try_from(self.offset - offset).ok()?,
            RecoveryMode::Cache if self.history.is_empty() => return None,
            // The newest, unless that is what the client has seen last.
            RecoveryMode::Cache => usize::from(!same_life || offset != self.offset),
        };
        if !self.has_history() {
            return None;
        }
        if count > limit.count || count > self.history.len() {
            return None;
        }
        let missed = self.history.range(self.history.len() - count..);
        let bytes: usize = missed.clone().map(|entry| entry.publication().json_len()).sum();
        (bytes <= limit.bytes).then(|| missed.cloned().collect())
    }

    /// A part of the past, in the order asked for, within its limit (but one publication at
    /// least).
    pub fn range(&self, range: Range) -> Vec<Entry> {
        let mut bytes = 0;
        let mut fits = |entry: &&Entry| {
            let length = entry.publication().json_len();
            bytes += length;
            bytes == length || bytes <= range.limit.bytes
        };
        let since = |e: &&Entry| match range.since {
            None => true,
            Some(offset) if range.reverse => e.offset < offset,
            Some(offset) => e.offset > offset,
        };
        if range.reverse {
            let entries = self.history.iter().rev().filter(since).take(range.limit.count);
            entries.take_while(&mut fits).cloned().collect()
        } else {
            let entries = self.history.iter().filter(since).take(range.limit.count);
            entries.take_while(&mut fits).cloned().collect()
        }
    }

    /// Whether `offset` is still in the history.
    pub fn remembers(&self, offset: u64) -> bool {
        self.entry(offset).is_some()
    }

    /// Whether `author` published `offset`: the same user, or for anonymous users the same client.
    /// The application's backend (`None`) is the author of what it published itself.
    pub fn is_author(&self, offset: u64, author: Option<&Author>) -> bool {
        self.entry(offset).is_some_and(|e| match (e.author.as_deref(), author) {
            (None, None) => true,
            (Some(theirs), Some(author)) => match theirs.user.is_empty() {
                true => theirs.client == author.client,
                false => theirs.user == author.user,
            },
            (None, Some(_)) | (Some(_), None) => false,
        })
    }

    /// Blanks a publication in the history, so that recovery cannot bring a deleted text back.
    /// Returns the change in bytes.
    pub fn blank(&mut self, offset: u64) -> isize {
        let Some(at) = self.index(offset) else { return 0 };
        let Some(entry) = self.history.get_mut(at) else { return 0 };
        let before = entry.bytes() as isize;
        entry.content = Content::Json(BLANK).shared();
        entry.tags = None;
        let change = entry.bytes() as isize - before;
        self.history_bytes = self.history_bytes.saturating_add_signed(change);
        change
    }

    fn index(&self, offset: u64) -> Option<usize> {
        usize::try_from(offset.checked_sub(self.oldest()?)?)
            .ok()
            .filter(|at| *at < self.history.len())
    }

    fn entry(&self, offset: u64) -> Option<&Entry> {
        self.history.get(self.index(offset)?)
    }

    /// Drops what is older than the namespace keeps; returns the bytes freed.
    pub fn expire(&mut self, now_ms: u64) -> usize {
        let mut freed = 0;
        while self.oldest_expires_ms().is_some_and(|at| at <= now_ms) {
            freed += self.forget_oldest();
        }
        freed
    }

    /// When the oldest publication's time is over (Unix milliseconds).
    pub fn oldest_expires_ms(&self) -> Option<u64> {
        let ttl = u64::try_from(self.options.history_ttl.as_millis()).unwrap_or(u64::MAX);
        self.history.front().map(|e| e.time_ms.saturating_add(ttl))
    }

    /// When something of the room will be over that is not over now (Unix milliseconds).
    pub fn next_check_ms(&self, now_ms: u64) -> Option<u64> {
        let kept = Some(self.keep_until_ms).filter(|at| *at > now_ms);
        self.oldest_expires_ms().or(kept)
    }

    /// Drops the oldest publication; returns the bytes freed.
    pub fn forget_oldest(&mut self) -> usize {
        let freed = self.history.pop_front().map_or(0, |e| e.bytes());
        self.history_bytes = self.history_bytes.saturating_sub(freed);
        freed
    }

    /// Drops the oldest publications while there are more than `bytes_max` bytes of them; returns
    /// the bytes freed.
    pub fn bound_bytes(&mut self, bytes_max: usize) -> usize {
        let mut freed = 0;
        while self.history_bytes > bytes_max {
            freed += self.forget_oldest();
        }
        freed
    }

    /// Takes on new options; returns the bytes of the publications that these do not keep.
    pub fn reconfigure(&mut self, options: Arc<NamespaceOptions>) -> usize {
        self.options = options;
        let mut freed = 0;
        while self.history.len() > self.options.history_size {
            freed += self.forget_oldest();
        }
        freed
    }

    /// Offset of the oldest publication kept. Looks at none: offsets are contiguous, and the oldest
    /// is not in a cache.
    pub fn oldest(&self) -> Option<u64> {
        let behind = self.history.len().checked_sub(1)?;
        self.offset.checked_sub(behind as u64)
    }

    /// Bytes of history kept.
    pub fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    /// Whether a chat payload fits the room: what it refers to is there, and the author may.
    pub fn check(
        &self,
        kind: &crate::protocol::chat::Kind<'_>,
        author: Option<&Author>,
    ) -> Result<(), codes::ErrorCode> {
        use crate::protocol::chat::Kind;
        match *kind {
            Kind::Message { reply_to: Some(of), .. } | Kind::React { of } => {
                if self.remembers(of) {
                    Ok(())
                } else {
                    Err(codes::BAD_REQUEST)
                }
            }
            Kind::Edit { of, .. } | Kind::Delete { of } => match () {
                () if !self.remembers(of) => Err(codes::BAD_REQUEST),
                () if !self.is_author(of, author) => Err(codes::PERMISSION_DENIED),
                () => Ok(()),
            },
            Kind::Message { reply_to: None, .. }
            | Kind::Me { .. }
            | Kind::Topic { .. }
            | Kind::Typing { .. } => Ok(()),
        }
    }
}

fn has(members: &[ShardMembers], audience: Audience) -> bool {
    members.iter().any(|m| m.counts[audience.index()] > 0)
}

/// Writes a frame for the audiences of a dialect that have members: encoded for the first, copied
/// for the second.
fn write(
    frames: &mut [Frames; AUDIENCES],
    members: &[ShardMembers],
    dialect: Dialect,
    to: &[bool],
    encode: impl FnOnce(&mut BytesMut),
) {
    let audiences = to.iter().map(|&hears_joins| Audience { dialect, hears_joins });
    let mut there = audiences.filter(|audience| has(members, *audience));
    let Some(first) = there.next() else { return };
    let out = frames[first.index()].out();
    let before = out.len();
    encode(out);
    if let Some(second) = there.next() {
        let frame = out.get(before..).unwrap_or_default().to_vec();
        frames[second.index()].out().extend_from_slice(&frame);
    }
}

impl Entry {
    /// As clients read it.
    pub fn publication(&self) -> Publication<'_> {
        Publication {
            content: self.content.view(),
            info: self.author.as_ref().map(|author| &author.info),
            stamp: Some((self.offset, self.time_ms)),
            tags: self.tags.as_deref(),
        }
    }

    /// As if nobody else shared its author or tags: the bound on history holds even then.
    fn bytes(&self) -> usize {
        let author =
            self.author.as_ref().map_or(0, |a| a.user.len() + a.name.len() + a.info.bytes());
        let tags = self.tags.iter().flat_map(|tags| tags.iter());
        let tags: usize = tags.map(|(word, value)| TAG_BYTES + word.len() + value.len()).sum();
        ENTRY_BYTES + self.content.view().len() + author + tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_not_copied_and_holds_little_more_than_itself() {
        let mut frames = Frames::default();
        let mut turn = |length: usize| {
            frames.out().resize(length, 1);
            let at = frames.bytes.as_ptr();
            let batch = frames.take();
            assert_eq!(batch.len(), length);
            let copied = batch.as_ptr() != at;
            (copied, batch.try_into_mut().map_or(0, |batch| batch.capacity()))
        };
        assert_eq!(turn(0), (false, 0));
        let (copied, capacity) = turn(10_000);
        assert!(!copied && (10_000..=20_000).contains(&capacity), "{capacity}");
        assert_eq!(turn(9_000), (false, 10_000), "as large as the last, at once");
        assert_eq!(turn(100), (true, 100), "for who keeps it");
        assert_eq!(turn(100), (false, 100));
    }
}
