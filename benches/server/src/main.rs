//! The floor: what it costs the kernel to carry the same bytes to as many sockets, and nothing
//! else. No chat server can deliver for less with a `send` per member; benchmarks stand beside it.
//!
//! ```text
//!   this process, pinned to --cpu              the same program, pinned to --reader-cpu
//!   sender: send(frames) to every socket  -->  receiver: epoll, recv into one buffer, count
//!                                         <--  one byte for each round that has arrived whole
//! ```
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | the command line |
//! | `rounds.rs` | how many frames a round carries; a frame's bytes. Pure |
//! | `sender.rs` | the measured loop |
//! | `dispatched.rs` | the same as operations of the server's dispatcher |
//! | `receiver.rs` | the other end |
//! | `bare.rs` | a server of bare system calls, for the two below |
//! | `echo.rs` | the same for connections: what taking them in costs |
//! | `relay.rs` | the same under the generator's load: what a relay's sends and all of it cost |
//! | `system.rs` | CPU time, affinity, descriptors |
//!
//! The figures are only reported if every byte that was sent has arrived. Tests: beside the code,
//! and `tests/floor.rs` against the program.

mod bare;
mod dispatched;
mod echo;
mod options;
mod receiver;
mod relay;
mod rounds;
mod sender;
mod system;

use clap::Parser;
use options::{Cli, Command};
use std::process::ExitCode;

/// Could not run, or bytes were lost.
const EXIT_FAILED: u8 = 1;
/// The options make no sense.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Receive(orders)) => receiver::run(&orders),
        Some(Command::Accept(serve)) => bare::serve(serve.port, &mut echo::Echo),
        Some(Command::Relay(serve)) => bare::serve(serve.port, &mut relay::Relay::default()),
        None => {
            if let Err(why) = cli.options.check() {
                eprintln!("floor: {why}");
                return ExitCode::from(EXIT_USAGE);
            }
            sender::run(&cli.options).and_then(|report| {
                let json = serde_json::to_string(&report).map_err(|error| error.to_string())?;
                println!("{json}");
                Ok(())
            })
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("floor: {why}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}
