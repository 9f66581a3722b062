//! Who is where: rooms, members, senders, slow readers, and which thread has which connection.
//!
//! Connections `0..senders` send; sender after sender goes to the active rooms in turn. The others
//! fill the rooms in runs of a few hundred, in an order drawn by the seed, so that every thread has
//! about its part of every room, and no room is joined all at once. Pure; the same on every process
//! and thread. A clone shares the tables: four bytes for a connection. Tests at the end.

use crate::options::RoomSizes;
use std::sync::Arc;

/// Members of a room that are placed one after the other. Divided evenly by most numbers of threads.
const RUN: u32 = 240;

/// Who is where.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Room of each connection.
    rooms: Arc<[u32]>,
    /// Members of each room.
    sizes: Arc<[u32]>,
    /// All senders, room after room, and where in it those of each active room begin.
    senders: Arc<[u32]>,
    begins: Arc<[u32]>,
    /// Place of each sender among those of its room.
    ranks: Arc<[u32]>,
    slow: usize,
    seed: u64,
}

impl Layout {
    /// `sizes`: members of each room, see [`room_sizes`]; `senders`: of all connections, in the
    /// first `active_rooms` rooms, at most the members of those; `slow`: how many of the others read
    /// slowly. What is too much is cut.
    pub fn new(
        sizes: Vec<u32>,
        active_rooms: usize,
        senders: usize,
        slow: usize,
        seed: u64,
    ) -> Layout {
        let connections: usize = sizes.iter().map(|size| *size as usize).sum();
        let mut rooms = Vec::with_capacity(connections);
        let mut ranks = Vec::with_capacity(senders.min(connections));
        let mut open: Vec<u32> = (0..active_rooms.min(sizes.len()) as u32).collect();
        let mut sending = vec![0u32; open.len()];
        for round in 0.. {
            open.retain(|room| sizes[*room as usize] > round);
            if open.is_empty() || rooms.len() >= senders {
                break;
            }
            for &room in open.iter().take(senders - rooms.len()) {
                rooms.push(room);
                ranks.push(round);
                sending[room as usize] += 1;
            }
        }
        let mut begins = Vec::with_capacity(sending.len() + 1);
        begins.push(0);
        for count in &sending {
            begins.push(begins.last().copied().unwrap_or(0) + count);
        }
        let mut by_room = vec![0; rooms.len()];
        for (sender, (room, rank)) in rooms.iter().zip(&ranks).enumerate() {
            by_room[(begins[*room as usize] + rank) as usize] = sender as u32;
        }
        fill(&mut rooms, &sizes, &sending, seed);
        let receivers = connections - ranks.len();
        Layout {
            rooms: rooms.into(),
            sizes: sizes.into(),
            senders: by_room.into(),
            begins: begins.into(),
            ranks: ranks.into(),
            slow: slow.min(receivers),
            seed,
        }
    }

    /// How many there are.
    pub fn connections(&self) -> usize {
        self.rooms.len()
    }

    /// How many there are.
    pub fn rooms(&self) -> usize {
        self.sizes.len()
    }

    /// How many rooms somebody sends in: the first ones.
    pub fn active_rooms(&self) -> usize {
        self.begins.len() - 1
    }

    /// How many connections send: the first ones.
    pub fn senders(&self) -> usize {
        self.ranks.len()
    }

    /// How many connections read slowly.
    pub fn slow(&self) -> usize {
        self.slow
    }

    /// The room of a connection, `0..rooms`.
    #[inline]
    pub fn room_of(&self, connection: usize) -> usize {
        self.rooms[connection] as usize
    }

    /// Members of a room, its senders among them.
    pub fn members(&self, room: usize) -> usize {
        self.sizes[room] as usize
    }

    /// Members of the largest room.
    pub fn members_max(&self) -> usize {
        self.sizes.iter().max().map_or(0, |size| *size as usize)
    }

    /// Global numbers of a room's senders, ascending. None in a room that is not active.
    #[inline]
    pub fn senders_of(&self, room: usize) -> &[u32] {
        match (self.begins.get(room), self.begins.get(room + 1)) {
            (Some(&begin), Some(&end)) => &self.senders[begin as usize..end as usize],
            _ => &[],
        }
    }

    /// Place of a sender in [`Layout::senders_of`] its room.
    #[inline]
    pub fn rank_of(&self, sender: usize) -> usize {
        self.ranks[sender] as usize
    }

    /// Does it read slowly? Those that do are spread evenly over the connections that do not send:
    /// one of each group of neighbours, drawn by the seed, so that no thread has them all.
    pub fn is_slow(&self, connection: usize) -> bool {
        let receivers = (self.connections() - self.senders()) as u128;
        let slow = self.slow as u128;
        let Some(at) = connection.checked_sub(self.senders()) else { return false };
        if slow == 0 || at as u128 >= receivers {
            return false;
        }
        let group = at as u128 * slow / receivers;
        let begin = |group: u128| (group * receivers).div_ceil(slow);
        let (first, after) = (begin(group), begin(group + 1));
        let mut random = fastrand::Rng::with_seed(self.seed ^ (group as u64).rotate_left(32));
        first + u128::from(random.u64(..(after - first) as u64)) == at as u128
    }

    /// Connections of a shard: those whose number is `shard` modulo `shards`.
    pub fn share(&self, shard: usize, shards: usize) -> usize {
        (self.connections() + shards - 1).saturating_sub(shard) / shards
    }
}

/// Gives a room to every connection that does not send.
fn fill(rooms: &mut Vec<u32>, sizes: &[u32], sending: &[u32], seed: u64) {
    let mut runs = Vec::new();
    for (room, size) in sizes.iter().enumerate() {
        let mut left = size - sending.get(room).copied().unwrap_or(0);
        while left > 0 {
            let run = left.min(RUN);
            runs.push((room as u32, run));
            left -= run;
        }
    }
    fastrand::Rng::with_seed(seed).shuffle(&mut runs);
    for (room, run) in runs {
        rooms.extend(std::iter::repeat_n(room, run as usize));
    }
}

/// Members of each room; they sum up to `connections`, which is `rooms` at least.
pub fn room_sizes(connections: usize, rooms: usize, law: RoomSizes) -> Vec<u32> {
    let exponent = match law {
        RoomSizes::Equal => 0.0,
        RoomSizes::Zipf(exponent) => exponent,
    };
    // Sum of the first weights, for each number of them.
    let weight = |room: usize| (room as f64 + 1.0).powf(-exponent);
    let mut sums = Vec::with_capacity(rooms + 1);
    sums.push(0.0);
    for room in 0..rooms {
        sums.push(sums[room] + weight(room));
    }
    // Rooms whose share is less than one member have one; the others, the first ones, divide what
    // is left.
    let left = |sharing: usize| connections.saturating_sub(rooms - sharing);
    let share = |room: usize, sharing: usize| left(sharing) as f64 * weight(room) / sums[sharing];
    let mut sharing = rooms;
    while sharing > 0 && share(sharing - 1, sharing) < 1.0 {
        sharing -= 1;
    }
    let mut sizes = vec![1u32; rooms];
    let mut rest = left(sharing);
    let mut fractions: Vec<(f64, u32)> = Vec::with_capacity(sharing);
    for (room, size) in sizes.iter_mut().enumerate().take(sharing) {
        let share = share(room, sharing);
        // Never more than there is, however the division rounds.
        *size = (share as u32).min(u32::try_from(rest).unwrap_or(u32::MAX));
        rest -= *size as usize;
        fractions.push((share - f64::from(*size), room as u32));
    }
    // What rounding down left over goes to the largest remainders.
    fractions.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for &(_, room) in fractions.iter().cycle().take(rest) {
        sizes[room as usize] += 1;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAWS: [RoomSizes; 5] = [
        RoomSizes::Equal,
        RoomSizes::Zipf(0.0),
        RoomSizes::Zipf(0.7),
        RoomSizes::Zipf(1.1),
        RoomSizes::Zipf(5.0),
    ];

    fn layout(connections: usize, rooms: usize, law: RoomSizes, active: usize, s: usize) -> Layout {
        Layout::new(room_sizes(connections, rooms, law), active, s, 0, 7)
    }

    #[test]
    fn sizes_follow_their_law_and_sum_up() {
        for law in LAWS {
            for connections in (1..200).chain([1000, 4096, 99_999]) {
                for rooms in
                    [1, 2, 3, 7, 10, 64, 150, 1000].into_iter().filter(|r| *r <= connections)
                {
                    let sizes = room_sizes(connections, rooms, law);
                    let sum: usize = sizes.iter().map(|size| *size as usize).sum();
                    assert_eq!((sizes.len(), sum), (rooms, connections), "{law}");
                    assert!(sizes.iter().all(|size| *size >= 1), "{law} {connections} {rooms}");
                    assert!(sizes.is_sorted_by(|a, b| a >= b), "{law} {connections} {rooms}");
                    if matches!(law, RoomSizes::Equal | RoomSizes::Zipf(0.0)) {
                        assert!(sizes[0] - sizes[rooms - 1] <= 1, "{connections} {rooms}");
                    }
                }
            }
        }
        // 1 + 1/2 + 1/3 + 1/4 = 25/12.
        assert_eq!(room_sizes(2500, 4, RoomSizes::Zipf(1.0)), [1200, 600, 400, 300]);
        // Shares of 1, 1/32, 1/243: the small ones have their one.
        assert_eq!(room_sizes(10, 3, RoomSizes::Zipf(5.0)), [8, 1, 1]);
        assert_eq!(room_sizes(8, 3, RoomSizes::Equal), [3, 3, 2]);
    }

    #[test]
    fn everybody_is_in_one_room_and_senders_in_active_ones() {
        for law in LAWS {
            for connections in [1, 2, 9, 50, 333, 5000] {
                for rooms in [1, 2, 5, 40, 333].into_iter().filter(|rooms| *rooms <= connections) {
                    for active in [1, 2, rooms].into_iter().filter(|active| *active <= rooms) {
                        let sizes = room_sizes(connections, rooms, law);
                        let most: u32 = sizes[..active].iter().sum();
                        for senders in [active, active * 3 + 1, most as usize] {
                            let senders = senders.min(most as usize);
                            let layout = layout(connections, rooms, law, active, senders);
                            assert_eq!(layout.senders(), senders);
                            invariants(&layout, connections, &sizes, active);
                        }
                    }
                }
            }
        }
    }

    fn invariants(layout: &Layout, connections: usize, sizes: &[u32], active: usize) {
        assert_eq!((layout.connections(), layout.rooms()), (connections, sizes.len()));
        assert_eq!(layout.active_rooms(), active);
        let mut members = vec![0; sizes.len()];
        (0..connections).for_each(|connection| members[layout.room_of(connection)] += 1);
        assert_eq!(members, sizes);
        assert_eq!(layout.members_max(), *sizes.iter().max().unwrap() as usize);
        let mut seen = 0;
        for (room, size) in sizes.iter().enumerate() {
            let senders = layout.senders_of(room);
            assert_eq!(layout.members(room), *size as usize);
            assert!(senders.is_sorted_by(|a, b| a < b) && senders.len() <= *size as usize);
            assert!(room < active || senders.is_empty());
            for (rank, sender) in senders.iter().enumerate() {
                assert_eq!(layout.room_of(*sender as usize), room);
                assert_eq!(layout.rank_of(*sender as usize), rank);
            }
            seen += senders.len();
        }
        assert_eq!(seen, layout.senders());
        // Rooms that are full aside, nobody has two senders more than another.
        let open =
            (0..active).filter(|room| layout.senders_of(*room).len() < layout.members(*room));
        let least = open.map(|room| layout.senders_of(room).len()).min().unwrap_or(usize::MAX);
        assert!((0..active).all(|room| layout.senders_of(room).len() <= least.saturating_add(1)));
    }

    #[test]
    fn every_shard_has_its_part_of_every_room() {
        for (connections, rooms, law) in [
            (10_000, 1, RoomSizes::Equal),
            (10_000, 10, RoomSizes::Equal),
            (10_007, 13, RoomSizes::Zipf(1.1)),
            (9_999, 700, RoomSizes::Zipf(0.8)),
        ] {
            let layout = layout(connections, rooms, law, 1, 1);
            for shards in 1..=24 {
                let shares: Vec<usize> = (0..shards).map(|s| layout.share(s, shards)).collect();
                assert_eq!(shares.iter().sum::<usize>(), connections);
                assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
                let mut counts = vec![vec![0usize; shards]; rooms];
                for connection in 1..connections {
                    counts[layout.room_of(connection)][connection % shards] += 1;
                }
                for (room, counts) in counts.iter().enumerate() {
                    let even = counts.iter().sum::<usize>() / shards;
                    // Whole runs are even for the divisors of a run; others are off by one a run.
                    let runs = layout.members(room).div_ceil(RUN as usize);
                    let off = if (RUN as usize).is_multiple_of(shards) { 1 } else { runs };
                    for count in counts {
                        assert!(count.abs_diff(even) <= off, "{shards} shards, {room}: {counts:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn slow_readers_are_exactly_so_many_and_spread() {
        for (connections, senders, slow) in
            [(100, 10, 0), (100, 10, 1), (100, 10, 45), (100, 10, 90), (1000, 1, 333), (10, 10, 3)]
        {
            let sizes = room_sizes(connections, 1, RoomSizes::Equal);
            let layout = Layout::new(sizes, 1, senders, slow, 3);
            let which: Vec<usize> = (0..connections).filter(|c| layout.is_slow(*c)).collect();
            assert_eq!(
                (which.len(), layout.slow()),
                (slow.min(connections - senders), which.len())
            );
            assert!(which.iter().all(|connection| *connection >= senders));
            assert!(!layout.is_slow(connections));
            // One in each group: no gap of two groups or more.
            let group = (connections - senders).div_ceil(slow.max(1));
            assert!(which.windows(2).all(|pair| pair[1] - pair[0] < 2 * group), "{which:?}");
            if which.len() == 45 {
                let odd = which.iter().filter(|connection| *connection % 2 == 1).count();
                assert!((10..=35).contains(&odd), "all on one thread: {which:?}");
            }
        }
    }

    #[test]
    fn the_seed_decides() {
        let rooms = |seed| {
            let layout = Layout::new(room_sizes(9000, 9, RoomSizes::Equal), 9, 90, 900, seed);
            (0..9000).map(|c| (layout.room_of(c), layout.is_slow(c))).collect::<Vec<_>>()
        };
        assert_eq!(rooms(1), rooms(1));
        assert_ne!(rooms(1), rooms(2));
    }

    #[test]
    fn too_many_senders_are_cut() {
        let layout = layout(10, 5, RoomSizes::Equal, 2, 9);
        assert_eq!((layout.senders(), layout.senders_of(0).len()), (4, 2));
        assert!(layout.senders_of(2).is_empty());
    }
}
