//! Newtypes: which shard, which connection, which client, which room, which life of a room.

use crate::protocol::messages::Encoding;
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A shard's number, 0-based; worker N owns shard N.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl ShardId {
    /// As an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A connection within its shard. The generation tells two users of one slot apart, for answers
/// that arrive after the connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Index of the connection, reused.
    pub slot: u32,
    /// Counts the openings of the shard.
    pub generation: u32,
}

/// A connection anywhere in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The shard that owns the connection.
    pub shard: ShardId,
    /// The connection there.
    pub conn: ConnId,
}

/// The `client` of the protocol: 128 random bits, shown as a UUID (version 4 layout).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u128);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RFC 9562 section 5.4: version 4, variant 10.
        let bits = (self.0 & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        let part = |a: usize, b: usize| hex.get(a..b).unwrap_or_default();
        write!(
            f,
            "{}-{}-{}-{}-{}",
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32)
        )
    }
}

/// A room's name, shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RoomName {
    fn from(name: &str) -> Self {
        RoomName(name.into())
    }
}

impl Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One life of a room: offsets count within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// How a client speaks: which encoding of a publication it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The client protocol, JSON.
    Json = 0,
    /// The client protocol, protobuf.
    Protobuf = 1,
    /// Lines of text.
    Plain = 2,
}

/// How many dialects there are: the length of tables indexed by [`Dialect`].
pub const DIALECTS: usize = 3;

impl Dialect {
    /// All of them, in order.
    pub const ALL: [Dialect; DIALECTS] = [Dialect::Json, Dialect::Protobuf, Dialect::Plain];

    /// As an index.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The form of the client protocol; `None`: not the protocol.
    pub fn encoding(self) -> Option<Encoding> {
        match self {
            Dialect::Json => Some(Encoding::Json),
            Dialect::Protobuf => Some(Encoding::Protobuf),
            Dialect::Plain => None,
        }
    }
}

/// Who takes the same bytes of a room: a dialect, and whether the joins and leaves of others belong
/// to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audience {
    /// Which encoding.
    pub dialect: Dialect,
    /// Whether joins and leaves are told.
    pub hears_joins: bool,
}

/// How many audiences there are: the length of tables indexed by [`Audience`].
pub const AUDIENCES: usize = 2 * DIALECTS;

impl Audience {
    /// As an index.
    pub fn index(self) -> usize {
        2 * self.dialect.index() + usize::from(self.hears_joins)
    }
}

impl From<Encoding> for Dialect {
    fn from(encoding: Encoding) -> Dialect {
        match encoding {
            Encoding::Json => Dialect::Json,
            Encoding::Protobuf => Dialect::Protobuf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_are_their_own_index() {
        for (index, dialect) in Dialect::ALL.into_iter().enumerate() {
            assert_eq!(dialect.index(), index);
            let back = dialect.encoding().map(Dialect::from);
            assert!(back.is_none_or(|back| back == dialect), "{dialect:?}");
            for hears_joins in [false, true] {
                let audience = Audience { dialect, hears_joins };
                assert_eq!(audience.index(), 2 * index + usize::from(hears_joins));
            }
        }
    }

    #[test]
    fn a_client_id_reads_as_a_uuid() {
        assert_eq!(ClientId(0).to_string(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(ClientId(u128::MAX).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
