//! The command line. Pure; tests at the end.

use crate::rounds;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::str::FromStr;

/// Measures what `send` costs per delivery when nothing else is done.
///
/// One thread sends frames to N loopback sockets, round after round; another process reads and
/// counts them. Prints one JSON object. Exit status: 0 done, 1 failed or bytes were lost, 2 wrong
/// usage.
#[derive(Debug, Parser)]
#[command(name = "floor", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// What to measure.
    #[command(flatten)]
    pub(crate) options: Options,
    /// The other end.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What is not a measurement.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The receiving process of a measurement, which starts it.
    #[command(hide = true)]
    Receive(Orders),
    /// Accepts WebSocket connections and sends back what they say, with nothing beside the system
    /// calls that this takes. Until it is killed.
    Accept(Serve),
    /// Sends each text to everybody who asked for the same path, with nothing beside the system calls
    /// that this takes. `GET /metrics` says what the sends cost. Until it is killed.
    Relay(Serve),
}

/// Where to serve.
#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// Port on 127.0.0.1; 0: a free one. The address is printed.
    #[arg(long)]
    pub(crate) port: u16,
}

/// What to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Who is there: A: 1 room of 100, B: 1 room of 1,000, C: 50 rooms of 20.
    #[arg(long, value_enum, default_value_t = Layout::B, ignore_case = true)]
    layout: Layout,
    /// Rooms, instead of the layout's.
    #[arg(long, value_name = "R")]
    rooms: Option<usize>,
    /// Members of each room, instead of the layout's.
    #[arg(long, value_name = "N")]
    members: Option<usize>,
    /// Frames in each send; of a number with decimals, the average.
    #[arg(long, value_name = "K", default_value_t = 1.0)]
    pub(crate) batch: f64,
    /// Length of a frame, its header included.
    #[arg(long, value_name = "BYTES", default_value_t = 132)]
    pub(crate) bytes: usize,
    /// How long to measure, in seconds.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// How long to send before, in seconds.
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    pub(crate) warmup: f64,
    /// Rounds by which the sender may be ahead of the receiver.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) window: u64,
    /// How the sender sends.
    #[arg(long, value_enum, default_value_t = Through::Send)]
    pub(crate) through: Through,
    /// CPU of the sender: a number, or `any`.
    #[arg(long, default_value = "0")]
    pub(crate) cpu: Cpu,
    /// CPU of the receiver: a number, or `any`.
    #[arg(long, default_value = "1")]
    pub(crate) reader_cpu: Cpu,
    /// How the receiver waits: `spin` asks without end, so that no send pays for waking it;
    /// `sleep` blocks.
    #[arg(long, value_enum, default_value_t = Wait::Sleep)]
    pub(crate) reader_wait: Wait,
}

/// What the receiver has to know.
#[derive(Debug, Clone, Args)]
pub(crate) struct Orders {
    /// Port of the sender, on 127.0.0.1.
    #[arg(long)]
    pub(crate) port: u16,
    /// Sockets to open, besides the one for answers.
    #[arg(long)]
    pub(crate) sockets: usize,
    /// As [`Options::batch`].
    #[arg(long)]
    pub(crate) batch: f64,
    /// As [`Options::bytes`].
    #[arg(long)]
    pub(crate) bytes: usize,
    /// As [`Options::reader_cpu`].
    #[arg(long)]
    pub(crate) cpu: Cpu,
    /// As [`Options::reader_wait`].
    #[arg(long, value_enum)]
    pub(crate) wait: Wait,
}

/// Sizes that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// 1 room of 100.
    #[value(name = "A")]
    A,
    /// 1 room of 1,000.
    #[value(name = "B")]
    B,
    /// 50 rooms of 20.
    #[value(name = "C")]
    C,
}

/// How the receiver waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// Asks again and again.
    Spin,
    /// Blocks.
    Sleep,
}

/// How the sender sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Through {
    /// One system call for each send.
    Send,
    /// io_uring, as the server does it: many sends in one system call, which end with it.
    Ring,
    /// io_uring through tokio-uring and the server's dispatcher: each send is an operation of the
    /// event loop.
    Dispatcher,
}

/// Where a thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cpu {
    /// Wherever the system wants.
    Any,
    /// There only.
    Only(usize),
}

impl FromStr for Cpu {
    type Err = String;

    fn from_str(text: &str) -> Result<Cpu, String> {
        match text.parse() {
            _ if text == "any" => Ok(Cpu::Any),
            Ok(number) => Ok(Cpu::Only(number)),
            Err(_) => Err("a CPU's number, or any".to_owned()),
        }
    }
}

impl std::fmt::Display for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cpu::Any => write!(f, "any"),
            Cpu::Only(number) => write!(f, "{number}"),
        }
    }
}

/// No room is larger; ten times what one process may usually open.
const SOCKETS_MAX: usize = 1_000_000;
/// A round's memory is the largest batch: 64 MiB.
const SEND_BYTES_MAX: f64 = 64.0 * 1024.0 * 1024.0;
/// An hour is a typing mistake.
const SECONDS_MAX: f64 = 3600.0;

impl Options {
    /// Rooms, and members of each.
    pub(crate) fn size(&self) -> (usize, usize) {
        let (rooms, members) = match self.layout {
            Layout::A => (1, 100),
            Layout::B => (1, 1_000),
            Layout::C => (50, 20),
        };
        (self.rooms.unwrap_or(rooms), self.members.unwrap_or(members))
    }

    /// Does the receiver spin?
    pub(crate) fn spins(&self) -> bool {
        self.reader_wait == Wait::Spin
    }

    /// Says what makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (rooms, members) = self.size();
        let sockets = rooms.checked_mul(members).filter(|n| (1..=SOCKETS_MAX).contains(n));
        if sockets.is_none() {
            return Err(format!("--rooms times --members: 1 to {SOCKETS_MAX} sockets"));
        }
        if !(1.0..=SEND_BYTES_MAX).contains(&self.batch) {
            return Err("--batch: 1 or more".to_owned());
        }
        rounds::frame(self.bytes)?;
        if self.batch.ceil() * self.bytes as f64 > SEND_BYTES_MAX {
            return Err("--batch times --bytes: 64 MiB at most".to_owned());
        }
        if !(0.001..=SECONDS_MAX).contains(&self.seconds) {
            return Err("--seconds: 0.001 to 3600".to_owned());
        }
        if !(0.0..=SECONDS_MAX).contains(&self.warmup) {
            return Err("--warmup: 0 to 3600".to_owned());
        }
        if self.window == 0 {
            return Err("--window: 1 or more".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &str) -> Result<Options, String> {
        let words = format!("floor {arguments}");
        let cli = Cli::try_parse_from(words.split_whitespace()).map_err(|e| e.to_string())?;
        cli.options.check().map(|()| cli.options)
    }

    #[test]
    fn layouts_and_free_sizes() {
        for (arguments, size) in [
            ("", (1, 1_000)),
            ("--layout A", (1, 100)),
            ("--layout b", (1, 1_000)),
            ("--layout C", (50, 20)),
            ("--layout C --members 5", (50, 5)),
            ("--rooms 3 --members 7", (3, 7)),
        ] {
            assert_eq!(options(arguments).unwrap().size(), size, "{arguments}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for (arguments, why) in [
            ("--layout D", "possible values"),
            ("--members 0", "sockets"),
            ("--rooms 1000000 --members 1000", "sockets"),
            ("--batch 0.5", "--batch"),
            ("--batch nan", "--batch"),
            ("--batch 1000000 --bytes 1000", "64 MiB"),
            ("--bytes 1", "frame"),
            ("--bytes 128", "frame"),
            ("--seconds 0", "--seconds"),
            ("--warmup 1e9", "--warmup"),
            ("--window 0", "--window"),
            ("--cpu first", "CPU"),
            ("--reader-wait never", "possible values"),
        ] {
            let error = options(arguments).map(|_| ()).unwrap_err();
            assert!(error.contains(why), "{arguments}: {error}");
        }
    }

    #[test]
    fn the_receiver_reads_what_the_sender_writes() {
        for cpu in [Cpu::Any, Cpu::Only(3)] {
            assert_eq!(cpu.to_string().parse(), Ok(cpu));
        }
        let words = "floor receive --port 5 --sockets 6 --batch 1.1 --bytes 9 --cpu 1 --wait spin";
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap();
        let Some(Command::Receive(orders)) = cli.command else { panic!("no receiver") };
        assert_eq!((orders.port, orders.sockets, orders.bytes), (5, 6, 9));
        assert_eq!((orders.batch, orders.wait), (1.1, Wait::Spin));
    }
}
