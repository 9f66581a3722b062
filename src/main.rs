//! The `ringchat` binary: reads the configuration, runs the server, maps errors to exit codes.

use ringchat::config::{self, Action, ConfigError, Loaded};
use ringchat::server::{self, ServerError};
use std::process::ExitCode;

/// Ended as asked.
const EXIT_DONE: u8 = 0;
/// Failed at run time.
const EXIT_FAILED: u8 = 1;
/// Wrong flags, configuration, or a limit of the machine that the operator has to raise.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    ExitCode::from(ringchat_main())
}

fn ringchat_main() -> u8 {
    let Loaded { config, warnings, action } =
        match config::load(std::env::args_os(), std::env::vars_os()) {
            Ok(loaded) => loaded,
            Err(ConfigError::Usage(usage)) => {
                let _ = usage.print();
                return u8::try_from(usage.exit_code()).unwrap_or(EXIT_USAGE);
            }
            Err(error) => {
                eprintln!("{error}");
                return EXIT_USAGE;
            }
        };
    for warning in warnings {
        eprintln!("ringchat: {warning}");
    }
    match action {
        Action::Check => {
            println!("the configuration is good");
            EXIT_DONE
        }
        Action::Print => {
            print!("{}", config::to_toml(&config));
            EXIT_DONE
        }
        Action::Run => match server::run(config) {
            Ok(()) => EXIT_DONE,
            Err(error) => {
                eprintln!("ringchat: {error}");
                match error {
                    ServerError::Usage(_) => EXIT_USAGE,
                    ServerError::Failed(_) => EXIT_FAILED,
                }
            }
        },
    }
}
