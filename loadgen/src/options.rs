//! The command line: what to open, what to send, for how long; refused before anything is opened
//! when it makes no sense.

use crate::text::{TEXT_MAX, TEXT_MIN};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Loads a chat or pub/sub server over WebSocket and checks every delivery.
///
/// Opens connections in rooms of equal size, lets some of them send, and checks that every
/// message reaches every member of its room exactly once and in order. Latency counts from the
/// moment at which a message was due, not from when it could be sent.
///
/// Exit status: 0 all is well; 1 the run failed; 2 wrong usage; 3 a delivery was missing,
/// repeated, out of order or corrupt, or the generator itself was the limit.
#[derive(Debug, Clone, Parser)]
#[command(name = "ringchat-loadgen", version, max_term_width = 100)]
#[command(group(clap::ArgGroup::new("load").required(true).args(["rate", "closed"])))]
pub struct Options {
    /// Server, as ws://HOST:PORT. A path overrides the dialect's own endpoint.
    #[arg(long, default_value = "ws://127.0.0.1:8000")]
    pub url: String,
    /// Connections to open, all of them members of a room.
    #[arg(long, short, value_name = "N")]
    pub connections: usize,
    /// Rooms, among which the connections are divided evenly.
    #[arg(long, value_name = "R", default_value_t = 1)]
    pub rooms: usize,
    /// Messages a second that are sent in all, however slow the server is (open loop).
    #[arg(long, value_name = "M")]
    pub rate: Option<f64>,
    /// Instead of a rate: messages outstanding per sender; the next one is sent when one of its own
    /// comes back (closed loop, for peak throughput).
    #[arg(long, value_name = "W")]
    pub closed: Option<usize>,
    /// How long to measure.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// How long to send before measuring.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub warmup: Duration,
    /// How long to wait between the last join and the first message.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub settle: Duration,
    /// How long to wait at the end for deliveries that are owed.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub drain: Duration,
    /// How long opening and joining may take in all.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// Connections that send, divided evenly among the rooms. Default: 10 per room, at most all.
    #[arg(long, value_name = "N")]
    pub senders: Option<usize>,
    /// Length of a message's text in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub payload: usize,
    /// What is spoken inside of the WebSocket.
    #[arg(long, value_enum, default_value_t = Dialect::Ringchat)]
    pub dialect: Dialect,
    /// Rooms are NAMESPACE:load-I and messages are chat messages. Default: plain pub/sub rooms.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// What a room's name begins with, before its number.
    #[arg(long, value_name = "TEXT", default_value = "load-")]
    pub room_prefix: String,
    /// Client token (JWT) for servers that ask for one.
    #[arg(long, value_name = "JWT")]
    pub token: Option<String>,
    /// Generator threads. Default: half of the CPUs that it may use, at least 1.
    #[arg(long, value_name = "T")]
    pub threads: Option<usize>,
    /// Process on this machine whose CPU time to report per delivery.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Report figures even if the generator was the limit (for measuring the server's CPU time per
    /// delivery, which stays true then; latency and throughput do not).
    #[arg(long)]
    pub allow_saturation: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// What is spoken inside of the WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Centrifugo's client protocol, JSON form, at /connection/websocket.
    Ringchat,
    /// Lines of text, at /plain?room=ROOM.
    Plain,
    /// No protocol: the room is the path, /ROOM, and every text goes to all of its members as it
    /// is, the sender too. For comparing other servers.
    Broadcast,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// How messages are timed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Messages a second in all.
    Rate(f64),
    /// Messages outstanding per sender.
    Closed(usize),
}

/// Options that make sense, with the defaults that depend on others.
#[derive(Debug, Clone)]
pub struct Plan {
    /// As given.
    pub url: String,
    /// Where to connect to.
    pub address: SocketAddr,
    /// `Host` of the upgrade request.
    pub host: String,
    /// Path given in the URL, if any.
    pub path: Option<String>,
    /// Open or closed loop.
    pub load: Load,
    /// Connections that send: those with the lowest indices.
    pub senders: usize,
    /// Generator threads.
    pub threads: usize,
    /// Everything else.
    pub options: Options,
}

impl Plan {
    /// Checks `options`; `cpus`: how many the process may use.
    ///
    /// Errors: what is wrong and what would be right, in one line.
    pub fn new(options: Options, cpus: usize) -> Result<Plan, String> {
        let Options { connections, rooms, payload, .. } = options;
        let senders = options.senders.unwrap_or(rooms.saturating_mul(10).min(connections));
        let threads = options.threads.unwrap_or((cpus / 2).max(1)).min(connections.max(1));
        let load = match (options.rate, options.closed) {
            (Some(rate), _) if rate.is_finite() && rate > 0.0 && rate <= 1e9 => Load::Rate(rate),
            (None, Some(outstanding)) if (1..=1_000_000).contains(&outstanding) => {
                Load::Closed(outstanding)
            }
            (Some(rate), _) => return Err(format!("--rate {rate} is not between 0 and 1e9")),
            (None, outstanding) => {
                let outstanding = outstanding.unwrap_or(0);
                return Err(format!("--closed {outstanding} is not between 1 and 1,000,000"));
            }
        };
        let checks = [
            (connections == 0, "--connections must be at least 1".into()),
            (
                rooms == 0 || rooms > connections,
                format!("--rooms {rooms} is not between 1 and --connections {connections}"),
            ),
            (
                senders < rooms || senders > connections,
                format!(
                    "--senders {senders} is not between --rooms {rooms} (each has one at least) \
                     and --connections {connections}"
                ),
            ),
            (threads == 0, "--threads must be at least 1".into()),
            (
                !(TEXT_MIN..=TEXT_MAX).contains(&payload),
                format!("--payload {payload} is not between {TEXT_MIN} and {TEXT_MAX} bytes"),
            ),
            (options.duration.is_zero(), "--duration must be longer than 0".into()),
            (
                connections.saturating_mul(senders.div_ceil(rooms.max(1))) > 1 << 28,
                format!(
                    "{connections} connections that each check {} senders need more than 1 GiB: \
                     use fewer --senders",
                    senders.div_ceil(rooms.max(1))
                ),
            ),
            (
                options.namespace.as_deref().unwrap_or_default().contains(unsafe_in_names)
                    || options.room_prefix.contains(unsafe_in_names),
                "--namespace and --room-prefix take letters, digits, '-', '_' and '.'".into(),
            ),
        ];
        if let Some((_, why)) = checks.into_iter().find(|(wrong, _)| *wrong) {
            return Err(why);
        }
        let (address, host, path) = endpoint(&options.url)?;
        Ok(Plan { url: options.url.clone(), address, host, path, load, senders, threads, options })
    }

    /// The room of a connection.
    pub fn room(&self, connection: usize) -> usize {
        connection % self.options.rooms
    }

    /// Members of a room.
    pub fn members(&self, room: usize) -> usize {
        share(self.options.connections, self.options.rooms, room)
    }

    /// Senders of the room that has the most.
    pub fn senders_per_room(&self) -> usize {
        self.senders.div_ceil(self.options.rooms)
    }

    /// Connections of a thread: those whose index is `thread` modulo [`Plan::threads`].
    pub fn share_of(&self, thread: usize) -> usize {
        share(self.options.connections, self.threads, thread)
    }

    /// When sending ends, in nanoseconds after its start.
    pub fn end_ns(&self) -> u64 {
        nanos(self.options.warmup + self.options.duration)
    }
}

/// How many of `total` numbers are `part` modulo `parts`.
fn share(total: usize, parts: usize, part: usize) -> usize {
    (total + parts - 1 - part.min(parts - 1)) / parts
}

/// Whole nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn unsafe_in_names(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// `ws://HOST:PORT/PATH` taken apart, and looked up.
fn endpoint(url: &str) -> Result<(SocketAddr, String, Option<String>), String> {
    let Some(rest) = url.strip_prefix("ws://") else {
        return Err(format!("--url {url}: only ws:// is spoken, as in ws://127.0.0.1:8000"));
    };
    let (host, path) = match rest.find('/') {
        Some(at) if at + 1 < rest.len() => (&rest[..at], Some(rest[at..].to_owned())),
        Some(at) => (&rest[..at], None),
        None => (rest, None),
    };
    let bad_path = path.as_deref().unwrap_or_default().contains(|c: char| !c.is_ascii_graphic());
    if host.is_empty() || bad_path || host.contains(|c: char| !c.is_ascii_graphic() || c == '@') {
        return Err(format!("--url {url}: not ws://HOST:PORT or ws://HOST:PORT/PATH"));
    }
    let with_port = match host.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
        _ => format!("{host}:80"),
    };
    let address = with_port
        .to_socket_addrs()
        .map_err(|error| format!("--url {url}: cannot look up {host}: {error}"))?
        .next()
        .ok_or_else(|| format!("--url {url}: {host} has no address"))?;
    Ok((address, host.to_owned(), path))
}

/// Reads `250ms`, `10s`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match &text[digits..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("give a number and one of ms, s, m, h, as in 10s".into()),
    };
    let number: f64 = text[..digits].parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(number * unit)
        .ok()
        .filter(|d| *d <= Duration::from_secs(24 * 3600))
        .ok_or_else(|| "at most 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &str) -> Result<Plan, String> {
        let words = format!("x {arguments}");
        let options = Options::try_parse_from(words.split_whitespace());
        Plan::new(options.map_err(|error| error.to_string())?, 8)
    }

    #[test]
    fn defaults_follow_from_the_rest() {
        let plan = plan("-c 1000 --rooms 30 --rate 200").unwrap();
        assert_eq!((plan.senders, plan.threads, plan.load), (300, 4, Load::Rate(200.0)));
        assert_eq!(plan.senders_per_room(), 10);
        assert_eq!((0..30).map(|room| plan.members(room)).sum::<usize>(), 1000);
        assert_eq!((plan.members(0), plan.members(29)), (34, 33));
        assert_eq!((0..4).map(|thread| plan.share_of(thread)).sum::<usize>(), 1000);
        assert_eq!(plan.end_ns(), 11_000_000_000);
    }

    #[test]
    fn nonsense_is_refused_with_the_cure() {
        for (arguments, why) in [
            ("-c 10", "--rate"),
            ("-c 10 --rate 5 --closed 5", "cannot be used with"),
            ("-c 0 --rate 5", "--connections must be"),
            ("-c 10 --rooms 11 --rate 5", "--rooms 11"),
            ("-c 10 --senders 11 --rate 5", "--senders 11"),
            ("-c 10 --rate -3", "unexpected argument"),
            ("-c 10 --rate NaN", "--rate NaN"),
            ("-c 10 --closed 0", "--closed 0"),
            ("-c 10 --rate 1 --payload 12", "--payload 12"),
            ("-c 10 --rate 1 --duration 10", "10s"),
            ("-c 10 --rate 1 --duration 0s", "--duration"),
            ("-c 10 --rate 1 --url wss://example.org", "only ws://"),
            ("-c 10 --rate 1 --namespace a:b", "--namespace"),
            ("-c 100000 --senders 100000 --rate 1", "1 GiB"),
        ] {
            let error = plan(arguments).unwrap_err();
            assert!(error.contains(why), "{arguments}: {error}");
        }
    }

    #[test]
    fn endpoints_are_taken_apart() {
        let cases = [
            ("ws://127.0.0.1:9", "127.0.0.1:9", "127.0.0.1:9", None),
            ("ws://127.0.0.1/", "127.0.0.1:80", "127.0.0.1", None),
            ("ws://[::1]:8/x?y", "[::1]:8", "[::1]:8", Some("/x?y")),
        ];
        for (url, address, host, path) in cases {
            let parts = endpoint(url).unwrap();
            assert_eq!(parts, (address.parse().unwrap(), host.into(), path.map(Into::into)));
        }
        for url in ["ws://", "http://a", "ws://a b:1", "ws://a@b:1"] {
            assert!(endpoint(url).is_err(), "{url}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "5", "s", "-1s", "1d", "1e3s", "25h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
