//! Options that make sense, with everything that follows from them.
//!
//! Every process and thread of a run makes the same plan of the same options: nothing in it is
//! drawn at random other than by the seed. Opens nothing; looks host names up and asks for the
//! descriptor limit. Tests at the end, and in `plan/`.

mod checks;

use crate::layout::{Layout, room_sizes};
use crate::options::{Dialect, Options, RoomSizes};
use crate::report::Load;
use crate::server::Routes;
pub use crate::server::Server;
pub use crate::text::{TEXT_MAX, TEXT_MIN};
use std::net::IpAddr;
use std::time::Duration;

/// Senders of an active room, if nothing else is said.
const SENDERS_PER_ROOM: usize = 10;
/// Descriptors of a process that are no connections.
const OTHER_DESCRIPTORS: u64 = 64;
/// What the ledger of a process may take: a number of four bytes for each connection and each
/// sender of its room.
const LEDGER_MAX: u128 = 1 << 30;

/// Options that make sense, with the defaults that depend on others.
#[derive(Debug, Clone)]
pub struct Plan {
    /// As given.
    pub options: Options,
    /// Where to connect to: room `r` lives on server `r % servers`.
    pub servers: Vec<Server>,
    /// Open or closed loop. With `--find-max`: the first rate.
    pub load: Load,
    /// Who is where.
    pub layout: Layout,
    /// Threads of each process.
    pub threads: usize,
    routes: Routes,
}

impl Plan {
    /// Checks `options`; `cpus`: how many the generator may use.
    ///
    /// Errors: what is wrong and what would be right, in one line.
    pub fn new(options: Options, cpus: usize) -> Result<Plan, String> {
        use rustix::process::{Resource, getrlimit};
        Plan::within(options, cpus, getrlimit(Resource::Nofile).maximum)
    }

    /// The same; `descriptors`: how many a process may have at most, none: any number.
    pub(crate) fn within(
        options: Options,
        cpus: usize,
        descriptors: Option<u64>,
    ) -> Result<Plan, String> {
        checks::all(&options)?;
        let threads = threads(&options, cpus)?;
        enough_descriptors(&options, descriptors)?;
        let layout = layout(&options)?;
        ledger_fits(&options, &layout)?;
        let servers: Vec<Server> =
            options.url.iter().map(|url| Server::new(url)).collect::<Result<_, _>>()?;
        checks::servers(&options, &servers, &layout)?;
        let sources = options.source.iter().flat_map(|source| source.0.iter().copied()).collect();
        let routes = Routes::new(&servers, &layout, sources)?;
        let load = match (options.rate, options.closed) {
            (Some(rate), _) => Load::Rate(rate),
            (None, Some(outstanding)) => Load::Closed(outstanding),
            (None, None) => Load::Rate(options.find_from),
        };
        Ok(Plan { options, servers, load, layout, threads, routes })
    }

    /// The same plan with another rate (messages a second), as if it had been given.
    pub fn with_rate(&self, rate: f64) -> Plan {
        let mut plan = self.clone();
        plan.options.rate = Some(rate);
        plan.options.closed = None;
        plan.options.find_max = false;
        plan.load = Load::Rate(rate);
        plan
    }

    /// Threads of all processes.
    pub fn shards(&self) -> usize {
        self.options.processes * self.threads
    }

    /// When sending ends, in nanoseconds after its start.
    pub fn end_ns(&self) -> u64 {
        nanos(self.options.warmup + self.options.duration)
    }

    /// The server of a connection: that of its room.
    pub fn server_of(&self, connection: usize) -> &Server {
        &self.servers[self.layout.room_of(connection) % self.servers.len()]
    }

    /// The address from which to connect; none: the system's choice. Each has an even share of the
    /// connections to each server.
    pub fn source_of(&self, connection: usize) -> Option<IpAddr> {
        self.routes.source_of(connection, self.server_of(connection))
    }

    /// Addresses from which to connect. Empty: the system's choice.
    pub fn sources(&self) -> &[IpAddr] {
        &self.routes.sources
    }
}

/// Whole nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn threads(options: &Options, cpus: usize) -> Result<usize, String> {
    let Options { connections, processes, .. } = *options;
    match options.threads {
        None => Ok((cpus / 2 / processes).clamp(1, connections / processes)),
        Some(0) => Err("--threads must be at least 1".into()),
        Some(threads) if threads > 1024 || threads.saturating_mul(processes) > connections => {
            Err(format!(
                "--threads {threads} of each of {processes} processes: at most 1,024, and each \
                 needs a connection, but --connections is {connections}"
            ))
        }
        Some(threads) => Ok(threads),
    }
}

fn enough_descriptors(options: &Options, limit: Option<u64>) -> Result<(), String> {
    let Some(limit) = limit else { return Ok(()) };
    let connections = options.connections as u64;
    let needed = connections.div_ceil(options.processes as u64) + OTHER_DESCRIPTORS;
    if needed <= limit {
        return Ok(());
    }
    let processes = connections.div_ceil(limit.saturating_sub(OTHER_DESCRIPTORS).max(1));
    let cure = match processes {
        ..=256 => format!("use --processes {processes}, or raise the limit"),
        _ => "raise the limit".into(),
    };
    Err(format!(
        "{needed} descriptors are needed by each process, but only {limit} are allowed \
         (ulimit -Hn): {cure}"
    ))
}

fn layout(options: &Options) -> Result<Layout, String> {
    let Options { connections, .. } = *options;
    let echo = options.dialect == Dialect::Echo;
    let rooms = if echo { connections } else { options.rooms };
    let active = match options.active_rooms {
        Some(active) => active,
        // Each sender is a room of its own: so many rooms are active.
        None if echo => options.senders.unwrap_or(rooms),
        None => rooms,
    };
    if active == 0 || active > rooms {
        let name = if echo && options.active_rooms.is_none() { "senders" } else { "active-rooms" };
        let of = if echo { "--connections" } else { "--rooms" };
        return Err(format!("--{name} {active} is not between 1 and {of} {rooms}"));
    }
    let sizes = room_sizes(connections, rooms, options.room_sizes);
    let members = &sizes[..active];
    let all: usize = members.iter().map(|size| *size as usize).sum();
    let each = |most: usize| members.iter().map(|size| most.min(*size as usize)).sum();
    let senders: usize = match (options.senders, options.senders_per_room) {
        (Some(senders), _) if (active..=all).contains(&senders) => senders,
        (Some(senders), _) if senders < active => {
            return Err(format!(
                "--senders {senders} are fewer than the {active} active rooms, each of which has \
                 one at least: use more, or --active-rooms {}",
                senders.max(1)
            ));
        }
        (Some(senders), _) => {
            return Err(format!(
                "--senders {senders}: the {active} active rooms have {all} members: use fewer, \
                 or more --active-rooms"
            ));
        }
        (None, Some(0)) => return Err("--senders-per-room must be at least 1".into()),
        (None, Some(most)) => each(most),
        (None, None) => each(SENDERS_PER_ROOM),
    };
    // Half a millionth more: 0.29 of 100 is 28.999... in binary.
    let slow = (options.slow * connections as f64 + 5e-7) as usize;
    if slow > connections - senders {
        return Err(format!(
            "--slow {}: {slow} connections would read slowly, but senders do not, and only {} do \
             not send: use fewer --senders",
            options.slow,
            connections - senders
        ));
    }
    checks::leavers(options, connections - senders - slow)?;
    checks::numbers_last(options, senders)?;
    Ok(Layout::new(sizes, active, senders, slow, options.seed))
}

fn ledger_fits(options: &Options, layout: &Layout) -> Result<(), String> {
    let entries = |room| layout.members(room) as u128 * layout.senders_of(room).len() as u128;
    let all: u128 = (0..layout.active_rooms()).map(entries).sum();
    let bytes = all * 4 / options.processes as u128;
    if bytes > LEDGER_MAX {
        return Err(format!(
            "to check {} senders in all of {} connections takes {} MiB in each process, and 1,024 \
             is the most: use fewer --senders or more --rooms{}",
            layout.senders(),
            layout.connections(),
            bytes >> 20,
            if options.processes < 256 { ", or more --processes" } else { "" }
        ));
    }
    Ok(())
}

/// Are all rooms of the same size, give or take one?
fn equal(law: RoomSizes) -> bool {
    matches!(law, RoomSizes::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Cli;
    use clap::Parser as _;

    /// Of a command line, on 8 CPUs, with a million descriptors.
    pub(super) fn plan(arguments: &str) -> Result<Plan, String> {
        limited(arguments, Some(1_000_000))
    }

    fn limited(arguments: &str, descriptors: Option<u64>) -> Result<Plan, String> {
        let words = format!("x {arguments}");
        let cli =
            Cli::try_parse_from(words.split_whitespace()).map_err(|error| error.to_string())?;
        Plan::within(cli.options.unwrap(), 8, descriptors)
    }

    #[test]
    fn defaults_follow_from_the_rest() {
        let plan = plan("-c 1000 --rooms 30 --rate 200").unwrap();
        assert_eq!((plan.layout.senders(), plan.threads, plan.load), (300, 4, Load::Rate(200.0)));
        assert_eq!((plan.layout.members(0), plan.layout.members(29)), (34, 33));
        assert_eq!((plan.shards(), plan.end_ns()), (4, 11_000_000_000));
        assert!(plan.sources().is_empty() && plan.source_of(5).is_none());
        assert_eq!(plan.server_of(5).host, "127.0.0.1:8000");
    }

    #[test]
    fn senders_are_per_active_room_and_at_most_its_members() {
        for (arguments, senders) in [
            ("-c 1000 --rate 1", 10),
            ("-c 7 --rate 1", 7),
            ("-c 1000 --rooms 100 --active-rooms 3 --rate 1", 30),
            ("-c 1000 --rooms 500 --rate 1", 1000),
            ("-c 1000 --rooms 10 --senders 11 --rate 1", 11),
            ("-c 1000 --rooms 10 --senders-per-room 2 --rate 1", 20),
            ("-c 10 --rooms 3 --room-sizes zipf:5 --senders-per-room 4 --rate 1", 6),
            ("-c 1000 --dialect echo --rate 1", 1000),
            ("-c 1000 --dialect echo --rate 1 --senders 5", 5),
            ("-c 1000 --dialect echo --rate 1 --active-rooms 5", 5),
        ] {
            assert_eq!(plan(arguments).unwrap().layout.senders(), senders, "{arguments}");
        }
        let echo = plan("-c 50 --dialect echo --rate 1").unwrap().layout;
        assert_eq!((echo.rooms(), echo.members_max(), echo.senders_of(7)), (50, 1, &[7][..]));
    }

    #[test]
    fn slow_readers_are_a_part_of_all() {
        for (arguments, slow) in [("--slow 0.1", 10), ("--slow 0.29", 29), ("--slow 0.999", 99)] {
            let arguments = format!("-c 100 --senders 1 --rate 1 {arguments}");
            assert_eq!(plan(&arguments).unwrap().layout.slow(), slow, "{arguments}");
        }
        let error = plan("-c 100 --senders 50 --slow 0.6 --rate 1").unwrap_err();
        assert!(error.contains("only 50 do not send"), "{error}");
    }

    #[test]
    fn loads_and_the_rates_of_a_search() {
        assert_eq!(plan("--closed 5").unwrap().load, Load::Closed(5));
        let search = plan("--find-max --find-from 50").unwrap();
        assert_eq!(search.load, Load::Rate(50.0));
        let step = search.with_rate(75.0);
        assert_eq!((step.load, step.options.rate), (Load::Rate(75.0), Some(75.0)));
        // Another process makes the same of it.
        let again = Plan::within(step.options.clone(), 8, None).unwrap();
        assert_eq!((again.load, again.shards()), (step.load, step.shards()));
    }

    #[test]
    fn rooms_live_on_servers_in_turn() {
        let plan =
            plan("-c 90 --rooms 9 --rate 1 --url ws://127.0.0.1:1 --url wss://[::1]/x").unwrap();
        for connection in 0..90 {
            let server = plan.server_of(connection);
            assert_eq!(server.tls_name.is_some(), plan.layout.room_of(connection) % 2 == 1);
        }
    }

    #[test]
    fn threads_are_cut_by_default_and_refused_when_given() {
        for (arguments, threads) in [
            ("", 4),
            ("-c 3", 3),
            ("--processes 2", 2),
            ("--processes 9", 1),
            ("--threads 100", 100),
        ] {
            assert_eq!(plan(&format!("--rate 1 {arguments}")).unwrap().threads, threads);
        }
        for (arguments, why) in [
            ("--threads 0", "--threads must"),
            ("--threads 101", "--threads 101"),
            ("--threads 51 --processes 2", "--threads 51 of each of 2"),
            ("-c 1000000 --threads 1025", "1,024"),
            ("--processes 0", "--processes 0"),
            ("--processes 257 -c 1000", "--processes 257"),
            ("--processes 101", "--processes 101"),
        ] {
            let error = plan(&format!("--rate 1 {arguments}")).unwrap_err();
            assert!(error.contains(why), "{arguments}: {error}");
        }
    }

    #[test]
    fn descriptors_are_enough_or_the_cure_is_named() {
        for (arguments, limit, why) in [
            ("-c 961", 1024, "use --processes 2"),
            ("-c 1000000", 1_048_576, ""),
            ("-c 1000000", 1_000_063, "1000064 descriptors"),
            ("-c 1000000 --processes 2", 500_064, ""),
            ("-c 1000000 --processes 2", 4096, "use --processes 249"),
            ("-c 1000000", 1024, "1024 are allowed (ulimit -Hn): raise the limit"),
            ("-c 10", 10, "use --processes 10"),
        ] {
            let result = limited(&format!("--rate 1 {arguments}"), Some(limit));
            let error = result.err().unwrap_or_default();
            assert!(
                error.contains(why) && error.is_empty() == why.is_empty(),
                "{arguments}: {error}"
            );
        }
        assert!(limited("--rate 1 -c 1000000", None).is_ok());
    }

    #[test]
    fn ledgers_fit() {
        // 268,435,456 numbers of four bytes are 1 GiB.
        assert!(plan("-c 16384 --senders 16384 --rate 1").is_ok());
        let error = plan("-c 20000 --senders 16384 --rate 1").unwrap_err();
        assert!(error.contains("1250 MiB") && error.contains("--processes"), "{error}");
        assert!(plan("-c 20000 --senders 16384 --rate 1 --processes 2").is_ok());
        assert!(plan("-c 100000 --rooms 1000 --senders 100000 --rate 1").is_ok());
    }
}
