//! The `ringchat` binary: reads the configuration, runs the server, maps errors to exit codes.
//!
//! Owns nothing else. Results go to stdout, everything that is said to the operator to stderr.

use ringchat::chat::auth;
use ringchat::config::{self, Action, Config, ConfigError, Loaded};
use ringchat::server::{self, ServerError, say};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

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
    let load = || config::load(std::env::args_os(), std::env::vars_os());
    let Loaded { config, warnings, action } = match load() {
        Ok(loaded) => loaded,
        // Help and version too: they go to stdout, with 0.
        Err(ConfigError::Usage(usage)) => {
            let _ = usage.print();
            return if usage.exit_code() == 0 { EXIT_DONE } else { EXIT_USAGE };
        }
        Err(ConfigError::Problems(problems)) => {
            for problem in problems {
                say(&format!("ringchat: {problem}"));
            }
            return EXIT_USAGE;
        }
    };
    for warning in warnings {
        say(&format!("ringchat: warning: {warning}"));
    }
    match action {
        Action::Check => print("the configuration is good\n"),
        Action::Print => print(&config::to_toml(&config)),
        Action::PrintDefault => print(&config::to_toml(&Config::default())),
        Action::Token(request) => {
            let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            match auth::issue(&config.client, &request, now_s) {
                Ok(token) => print(&format!("{token}\n")),
                Err(why) => {
                    say(&format!("ringchat: {why}"));
                    EXIT_USAGE
                }
            }
        }
        Action::Run => match server::run(config, load) {
            Ok(()) => EXIT_DONE,
            Err(error) => {
                say(&format!("ringchat: {error}"));
                match error {
                    ServerError::Usage(_) => EXIT_USAGE,
                    ServerError::Failed(_) => EXIT_FAILED,
                }
            }
        },
    }
}

fn print(text: &str) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => EXIT_DONE,
        Err(error) => {
            say(&format!("ringchat: cannot write to stdout: {error}"));
            EXIT_FAILED
        }
    }
}
