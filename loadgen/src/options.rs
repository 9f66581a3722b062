//! The command line, and what a scenario file may say: both have the same names.
//!
//! Only what was asked for; whether it makes sense, and what follows from it, is `plan.rs`. Values
//! that are more than a number are read in `values.rs`. Tests at the end.

pub use crate::values::{Arrivals, CpuList, RoomSizes, Sizes, Slo, Sources, duration};
use clap::{Args, Parser, Subcommand, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Loads a chat or pub/sub server over WebSocket and checks every delivery.
///
/// Opens connections in rooms, lets some of them send, and checks that every message reaches every
/// member of its room exactly once and in order. Latency counts from the moment at which a message
/// was due, not from when it could be sent.
///
/// Exit status: 0 all is well; 1 the run failed; 2 wrong usage; 3 a delivery was missing,
/// repeated, out of order or corrupt, or the generator itself was the limit.
#[derive(Debug, Parser)]
#[command(name = "ringchat-loadgen", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    /// A run.
    #[command(flatten)]
    pub options: Option<Options>,
    /// Something else.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What there is besides a run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Puts runs side by side and says which differences are larger than the noise.
    Compare(Compare),
    /// One process of a run of several: takes orders on stdin, answers on stdout.
    #[command(hide = true)]
    Child,
}

/// What to compare.
#[derive(Debug, Clone, Args)]
pub struct Compare {
    /// Reports made with --format json. Each is a group of its own, unless several are given as
    /// NAME=FILE,FILE,...: runs of the same thing. The first group is the base.
    #[arg(required = true, num_args = 2..)]
    pub reports: Vec<String>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// What to do, as given.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[command(group(clap::ArgGroup::new("load").required(true).args(["rate", "closed", "find_max"])))]
pub struct Options {
    /// File with any of these settings, TOML, one `name = value` each; the command line wins.
    #[arg(long, value_name = "FILE", help_heading = "Scenario")]
    pub scenario: Option<PathBuf>,

    // --- server
    /// Server, as ws://HOST:PORT or wss://HOST:PORT. A path overrides the dialect's own endpoint;
    /// {i} and {room} in it are filled in. Several: rooms are divided among them.
    #[arg(long, default_value = "ws://127.0.0.1:8000", help_heading = "Server")]
    pub url: Vec<String>,
    /// What is spoken inside of the WebSocket.
    #[arg(long, value_enum, default_value_t = Dialect::Ringchat, help_heading = "Server")]
    pub dialect: Dialect,
    /// Form of the client protocol.
    #[arg(long, value_enum, default_value_t = Encoding::Json, help_heading = "Server")]
    pub encoding: Encoding,
    /// Dialect raw: text frame to send after the upgrade; {i}: the connection's number, {n}: the
    /// frame's number on its connection, {room}. Several are sent in this order.
    #[arg(long, value_name = "TEXT", help_heading = "Server")]
    pub hello: Vec<String>,
    /// Dialect raw: a connection has joined when it has received this text. Default: when the
    /// hello frames are sent.
    #[arg(long, value_name = "TEXT", help_heading = "Server")]
    pub joined: Option<String>,
    /// Dialect raw: text frame that publishes; {i}, {n}, {room} and {payload}, which is mandatory.
    #[arg(long, value_name = "TEXT", default_value = "{payload}", help_heading = "Server")]
    pub publish: String,
    /// Rooms are NAMESPACE:load-I and messages are chat messages. Default: plain pub/sub rooms.
    #[arg(long, value_name = "NAMESPACE", help_heading = "Server")]
    pub namespace: Option<String>,
    /// What a room's name begins with, before its number.
    #[arg(long, value_name = "TEXT", default_value = "load-", help_heading = "Server")]
    pub room_prefix: String,
    /// Client token (JWT) for servers that ask for one.
    #[arg(long, value_name = "JWT", help_heading = "Server")]
    pub token: Option<String>,
    /// Trust the certificates in this PEM file, instead of the system's, for wss://.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub ca: Option<PathBuf>,

    // --- who is where
    /// Connections to open, all of them members of a room.
    #[arg(long, short, value_name = "N", default_value_t = 100, help_heading = "Members")]
    pub connections: usize,
    /// Rooms, among which the connections are divided. Dialect echo: each connection has its own.
    #[arg(long, value_name = "R", default_value_t = 1, help_heading = "Members")]
    pub rooms: usize,
    /// How large rooms are: `equal`, or `zipf:S`: the k-th has a share in proportion to 1/k^S.
    #[arg(long, value_name = "LAW", default_value = "equal", help_heading = "Members")]
    pub room_sizes: RoomSizes,
    /// Rooms in which messages are sent, the first of all; the others stay idle. Default: all.
    #[arg(long, value_name = "R", help_heading = "Members")]
    pub active_rooms: Option<usize>,
    /// Connections that send, divided evenly among the active rooms. Default: 10 per room.
    #[arg(long, value_name = "N", help_heading = "Members")]
    pub senders: Option<usize>,
    /// Connections that send, in each active room (all of its members, if it has fewer).
    #[arg(long, value_name = "N", conflicts_with = "senders", help_heading = "Members")]
    pub senders_per_room: Option<usize>,

    // --- load
    /// Messages a second that are sent in all, however slow the server is (open loop).
    #[arg(long, value_name = "M", help_heading = "Load")]
    pub rate: Option<f64>,
    /// Instead of a rate: messages outstanding per sender; the next one is sent when one of its own
    /// comes back (closed loop, for peak throughput).
    #[arg(long, value_name = "W", help_heading = "Load")]
    pub closed: Option<usize>,
    /// Instead of a rate: search the highest that meets --slo with nothing missing.
    #[arg(long, help_heading = "Load")]
    pub find_max: bool,
    /// With --find-max: objective, as p99<5ms. p50, p90, p99, p99.9 and max are known; several
    /// must all hold.
    #[arg(long, value_name = "SLO", default_value = "p99<5ms", help_heading = "Load")]
    pub slo: Vec<Slo>,
    /// With --find-max: the rate to begin with, in messages a second.
    #[arg(long, value_name = "M", default_value_t = 100.0, help_heading = "Load")]
    pub find_from: f64,
    /// How messages are spread over time: `constant`, `poisson`, or `burst:N`: N at once.
    #[arg(long, value_name = "PATTERN", default_value = "constant", help_heading = "Load")]
    pub arrivals: Arrivals,
    /// Length of a message's text in bytes, as N or MIN-MAX (spread evenly).
    #[arg(long, value_name = "BYTES", default_value = "128", help_heading = "Load")]
    pub payload: Sizes,
    /// Seed of everything that is drawn at random. Same seed, same run.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    pub seed: u64,

    // --- unrest
    /// Connections a second that leave, and come back after --away. Senders and slow readers stay.
    #[arg(long, value_name = "N", default_value_t = 0.0, help_heading = "Unrest")]
    pub churn: f64,
    /// All connections drop at once, this long after the start of the measured part, and come back
    /// after --away. May be repeated.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Unrest")]
    pub storm: Vec<Duration>,
    /// How long a connection stays away.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = duration, help_heading = "Unrest")]
    pub away: Duration,
    /// Connections that come back ask for what they missed (dialect ringchat).
    #[arg(long, help_heading = "Unrest")]
    pub recover: bool,
    /// Part of the connections that read slowly, 0 to 1; senders do not.
    #[arg(long, value_name = "PART", default_value_t = 0.0, help_heading = "Unrest")]
    pub slow: f64,
    /// How fast those read, in bytes a second each.
    #[arg(long, value_name = "BYTES", default_value_t = 1024, help_heading = "Unrest")]
    pub slow_rate: u64,
    /// Presence requests a second in all (dialect ringchat).
    #[arg(long, value_name = "N", default_value_t = 0.0, help_heading = "Unrest")]
    pub presence_rate: f64,
    /// History requests a second in all, of the last 20 messages (dialect ringchat).
    #[arg(long, value_name = "N", default_value_t = 0.0, help_heading = "Unrest")]
    pub history_rate: f64,

    // --- phases
    /// Connections to open per second in all. Default: as fast as the server takes them.
    #[arg(long, value_name = "N", help_heading = "Phases")]
    pub connect_rate: Option<f64>,
    /// How long opening and joining may take in all.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Phases")]
    pub connect_timeout: Duration,
    /// How long to wait between the last join and the first message.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration, help_heading = "Phases")]
    pub settle: Duration,
    /// How long to send before measuring.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration, help_heading = "Phases")]
    pub warmup: Duration,
    /// How long to measure; with --find-max: each step.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Phases")]
    pub duration: Duration,
    /// How long to wait at the end for deliveries that are owed.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration, help_heading = "Phases")]
    pub drain: Duration,

    // --- generator
    /// Processes. More than one helps where each may open too few descriptors (`ulimit -Hn`).
    #[arg(long, value_name = "P", default_value_t = 1, help_heading = "Generator")]
    pub processes: usize,
    /// Threads of each process. Default: half of the CPUs, divided among the processes; at least 1.
    #[arg(long, value_name = "T", help_heading = "Generator")]
    pub threads: Option<usize>,
    /// CPUs on which the threads run, in turn, as 1,3-5. Default: the last ones.
    #[arg(long, value_name = "LIST", help_heading = "Generator")]
    pub cpus: Option<CpuList>,
    /// Addresses to connect from, in turn, as 10.0.0.1-10.0.0.9; may be repeated. Default: the
    /// system's choice; to a server on 127.0.0.1, as many of 127.0.0.0/8 as are needed.
    #[arg(long, value_name = "ADDRESS", help_heading = "Generator")]
    pub source: Vec<Sources>,
    /// Highest lag (p99) of the generator itself with which figures count.
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = duration, help_heading = "Generator")]
    pub lag_budget: Duration,
    /// Report figures even if the generator was the limit (for measuring the server's CPU time per
    /// delivery, which stays true then; latency and throughput do not).
    #[arg(long, help_heading = "Generator")]
    pub allow_saturation: bool,

    // --- report
    /// Process on this machine whose CPU time, memory and context switches to report; of several,
    /// the sum.
    #[arg(long, value_name = "PID", help_heading = "Report")]
    pub server_pid: Vec<u32>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text, help_heading = "Report")]
    pub format: Format,
    /// Write one self-contained HTML page with plots.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub html: Option<PathBuf>,
    /// Write the percentile distribution of the latency, in milliseconds.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub hgrm: Option<PathBuf>,
    /// Write an HdrHistogram V2 interval log: each second's latency.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub interval_log: Option<PathBuf>,
    /// Say nothing on stderr while it runs.
    #[arg(long, short, help_heading = "Report")]
    pub quiet: bool,
}

/// What is spoken inside of the WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Centrifugo's client protocol, at /connection/websocket.
    Ringchat,
    /// Lines of text, at /plain?room=ROOM.
    Plain,
    /// Every text comes back, at /echo: each connection is a room of its own.
    Echo,
    /// Any server: templates say what to send, the payload is found wherever it comes back. The
    /// room is the path, /ROOM, unless the URL has one.
    Raw,
}

/// Form of the client protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Lines of JSON.
    Json,
    /// Length-delimited protobuf messages (subprotocol centrifuge-protobuf).
    Protobuf,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn cli(arguments: &str) -> Result<Cli, String> {
        let words = format!("x {arguments}");
        Cli::try_parse_from(words.split_whitespace()).map_err(|error| error.to_string())
    }

    fn run(arguments: &str) -> Options {
        let cli = cli(arguments).unwrap();
        assert!(cli.command.is_none(), "{arguments}");
        cli.options.unwrap()
    }

    #[test]
    fn a_run_or_something_else() {
        let options = run("-c 1000 --rate 200");
        assert_eq!((options.connections, options.rate), (1000, Some(200.0)));
        assert_eq!(run("--find-max").connections, 100);
        let compared = cli("compare a.json b=c,d --format json").unwrap();
        assert!(compared.options.is_none());
        let Some(Command::Compare(compare)) = compared.command else { panic!("no command") };
        assert_eq!((compare.reports.len(), compare.format), (2, Format::Json));
        assert!(matches!(cli("child").unwrap().command, Some(Command::Child)));
        for (arguments, why) in [
            ("", "--rate"),
            ("-c 10", "--rate"),
            ("compare a.json", "2 values"),
            ("compare a b --rate 5", "unexpected"),
            ("--rate 5 compare a b", "cannot be used"),
            ("-c 10 --rate 5 --closed 5", "cannot be used with"),
            ("--find-max --closed 5", "cannot be used with"),
            ("--rate 5 --senders 5 --senders-per-room 1", "cannot be used with"),
            ("--rate 5 --rate 6", "multiple times"),
            ("--rate -3", "unexpected argument"),
            ("--rate 5 --duration 10", "10s"),
            ("--rate 5 --dialect broadcast", "raw"),
        ] {
            let error = cli(arguments).map(|_| ()).unwrap_err();
            assert!(error.contains(why), "{arguments}: {error}");
        }
        assert!(cli("--help").unwrap_err().contains("--storm"));
        assert!(cli("--version").unwrap_err().contains(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn repeated_settings_replace_the_default() {
        let options = run("--rate 1");
        assert_eq!(options.url, ["ws://127.0.0.1:8000"]);
        assert_eq!(options.slo, ["p99<5ms".parse().unwrap()]);
        assert!(options.hello.is_empty() && options.storm.is_empty() && options.source.is_empty());
        let options = run("--find-max --url ws://a --url ws://b --slo max<1s --slo p50<1ms \
             --storm 1s --storm 3s --source ::1 --source 10.0.0.1-10.0.0.2 --hello a --hello b");
        assert_eq!(options.url, ["ws://a", "ws://b"]);
        assert_eq!(options.slo, ["max<1s".parse().unwrap(), "p50<1ms".parse().unwrap()]);
        assert_eq!(options.storm, [Duration::from_secs(1), Duration::from_secs(3)]);
        assert_eq!((options.source.len(), options.hello.len()), (2, 2));
    }

    #[test]
    fn another_process_reads_the_same_options() {
        let options = run("--rate 0.1 --storm 1s --arrivals burst:5 --room-sizes zipf:1.1");
        let json = serde_json::to_string(&options).unwrap();
        let read: Options = serde_json::from_str(&json).unwrap();
        assert_eq!(format!("{read:?}"), format!("{options:?}"));
    }

    const HANDBOOK: &str = include_str!("../../docs/loadgen.md");

    /// What a shell makes of a line: words, in which single quotes keep blanks.
    fn words(line: &str) -> Vec<OsString> {
        let mut words = vec![String::new()];
        for (at, part) in line.split('\'').enumerate() {
            let mut pieces = part.split(' ').map(|piece| piece.to_owned());
            if at % 2 == 1 {
                words.last_mut().unwrap().push_str(part);
                continue;
            }
            words.last_mut().unwrap().push_str(&pieces.next().unwrap());
            words.extend(pieces);
        }
        words.into_iter().filter(|word| !word.is_empty()).map(OsString::from).collect()
    }

    #[test]
    fn the_handbook_has_every_option_and_its_commands_work() {
        let command = Options::augment_args(clap::Command::new("x"));
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            let named = [format!("--{option}`"), format!("--{option} ")];
            let explains = |line: &&str| {
                let first = line.split('|').nth(1).unwrap_or_default();
                line.starts_with('|') && named.iter().any(|name| first.contains(name))
            };
            assert_eq!(HANDBOOK.lines().filter(explains).count(), 1, "--{option}");
        }
        let joined = HANDBOOK.replace("\\\n", " ");
        let lines = joined.lines().filter(|line| line.starts_with("ringchat-loadgen "));
        let recipes = HANDBOOK.split("## Recipes").nth(1).unwrap().lines();
        let recipes =
            recipes.filter_map(|line| line.split('`').nth(1).filter(|o| o.contains("-c ")));
        let recipes = recipes.map(|options| format!("x {}", options.replace("PID", "1")));
        let commands: Vec<String> = lines.map(str::to_owned).chain(recipes).collect();
        assert!(commands.len() >= 24, "{}", commands.len());
        for command in commands {
            let here = command.replace("loadgen/scenarios", "scenarios");
            let arguments = crate::scenario::arguments(words(&here)).unwrap();
            let cli = Cli::try_parse_from(arguments).map_err(|error| panic!("{command}: {error}"));
            let Some(options) = cli.unwrap().options else { continue };
            let plan = crate::plan::Plan::within(options, 8, Some(1_048_576));
            assert_eq!(plan.map(|_| ()), Ok(()), "{command}");
        }
    }
}
