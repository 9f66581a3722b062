//! Scenario files: settings in TOML that the command line gives otherwise.
//!
//! A file becomes arguments, put before those of the command line, so that there is one place that
//! reads settings. What the command line gives is left out of the file's: it wins. Nothing in a
//! file is ignored in silence. Tests at the end; the ready files are in `scenarios/`.

use crate::options::{Cli, Options};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, CommandFactory as _};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::Value;

/// Settings that stand for each other: one on the command line replaces the file's others.
const EXCLUSIVE: [&[&str]; 2] = [&["rate", "closed", "find_max"], &["senders", "senders_per_room"]];

/// The command line `cli`, program name first, with what `--scenario FILE` says put before it.
///
/// What is wrong with the command line itself is left for its parser to say. Errors: the file
/// cannot be read, or says something that makes no sense; names file and key.
pub fn arguments(cli: Vec<OsString>) -> Result<Vec<OsString>, String> {
    expand(cli, |file| std::fs::read_to_string(file).map_err(|error| error.to_string()))
}

fn expand(
    cli: Vec<OsString>,
    read: impl Fn(&Path) -> Result<String, String>,
) -> Result<Vec<OsString>, String> {
    // Errors are ignored here, so that what is there is known even if something is missing, which
    // the file may give.
    let command = Cli::command().ignore_errors(true);
    let Ok(matches) = command.try_get_matches_from(&cli) else { return Ok(cli) };
    let file = match matches.get_one::<PathBuf>("scenario") {
        Some(file) if matches.subcommand_name().is_none() => file,
        _ => return Ok(cli),
    };
    let text = read(file).map_err(|error| format!("--scenario {}: {error}", file.display()))?;
    let settings = settings(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut cli = cli.into_iter();
    let mut all: Vec<OsString> = cli.next().into_iter().collect();
    let kept = settings.into_iter().filter(|setting| !overridden(&matches, &setting.id));
    all.extend(kept.flat_map(|setting| setting.words).map(OsString::from));
    all.extend(cli);
    Ok(all)
}

/// Does the command line give this setting, or one that stands for it?
fn overridden(matches: &ArgMatches, id: &str) -> bool {
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let mut together = EXCLUSIVE.iter().filter(|ids| ids.contains(&id)).copied().flatten();
    given(id) || together.any(|id| given(id))
}

/// One setting of a file.
struct Setting {
    /// Name with `_`.
    id: String,
    /// As arguments.
    words: Vec<String>,
}

/// What a file says, each setting checked by itself and then all of them together.
fn settings(text: &str) -> Result<Vec<Setting>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let command = Options::augment_args(Command::new("scenario"))
        .disable_help_flag(true)
        .mut_group("load", |group| group.required(false));
    let mut settings: Vec<Setting> = Vec::new();
    for (key, value) in &table {
        let id = key.replace('-', "_");
        if id == "scenario" {
            return Err(format!("{key}: a scenario names no other scenario"));
        }
        if settings.iter().any(|setting| setting.id == id) {
            return Err(format!("{key}: is given twice, with `-` and with `_`"));
        }
        let Some(arg) = command.get_arguments().find(|arg| arg.get_id() == id.as_str()) else {
            return Err(unknown(&command, key));
        };
        let words = words(&id, value, arg).map_err(|error| format!("{key}: {error}"))?;
        parse(&command, &words).map_err(|error| format!("{key}: {error}"))?;
        settings.push(Setting { id, words });
    }
    let all: Vec<String> = settings.iter().flat_map(|setting| setting.words.clone()).collect();
    parse(&command, &all)?;
    Ok(settings)
}

/// A setting's value as arguments.
fn words(id: &str, value: &Value, arg: &Arg) -> Result<Vec<String>, String> {
    let name = format!("--{}", id.replace('_', "-"));
    if !arg.get_action().takes_values() {
        return match value {
            Value::Boolean(true) => Ok(vec![name]),
            Value::Boolean(false) => Ok(Vec::new()),
            other => Err(format!("takes true or false, not {}", kind(other))),
        };
    }
    let word = |value: &Value| match value {
        Value::String(text) => Ok(format!("{name}={text}")),
        Value::Integer(number) => Ok(format!("{name}={number}")),
        Value::Float(number) => Ok(format!("{name}={number}")),
        other => Err(format!("takes a text or a number, not {}", kind(other))),
    };
    match value {
        Value::Array(values) if matches!(arg.get_action(), ArgAction::Append) => {
            values.iter().map(word).collect()
        }
        value => Ok(vec![word(value)?]),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Checks arguments; the error in one line.
fn parse(command: &Command, words: &[String]) -> Result<(), String> {
    let words = std::iter::once("scenario").chain(words.iter().map(String::as_str));
    let Err(error) = command.clone().try_get_matches_from(words) else { return Ok(()) };
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or(&text);
    let first = first.strip_prefix("error: ").unwrap_or(first);
    Err(first.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn unknown(command: &Command, key: &str) -> String {
    let word = format!("--{}=", key.replace('_', "-"));
    let error = command.clone().try_get_matches_from(["scenario", &word]).err();
    match error.as_ref().and_then(|error| error.get(ContextKind::SuggestedArg)) {
        Some(ContextValue::String(similar)) => {
            let similar = similar.trim_start_matches('-').replace('-', "_");
            format!("{key}: there is no such setting; did you mean {similar}?")
        }
        _ => format!("{key}: there is no such setting; see --help for those that there are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use clap::Parser as _;

    /// The command line after the program's name, with `--scenario f` and this text in `f`.
    fn expanded(text: &str, cli: &str) -> Result<String, String> {
        let words = format!("x --scenario f {cli}");
        let words = words.split_whitespace().map(OsString::from).collect();
        let all = expand(words, |file| {
            assert_eq!(file, Path::new("f"));
            Ok(text.to_owned())
        })?;
        let all: Vec<String> = all.into_iter().map(|word| word.into_string().unwrap()).collect();
        assert_eq!(all[0], "x");
        Ok(all[1..].join(" ").replacen("--scenario f", "|", 1))
    }

    #[test]
    fn settings_become_arguments_before_the_others() {
        for (text, cli, wanted) in [
            ("", "--rate 1", "| --rate 1"),
            ("rate = 5", "", "--rate=5 |"),
            ("rate = 0.5\nseed = 7", "-q", "--rate=0.5 --seed=7 | -q"),
            ("room-sizes = 'zipf:1'", "", "--room-sizes=zipf:1 |"),
            ("room_sizes = 'zipf:1'\nquiet = true", "", "--quiet --room-sizes=zipf:1 |"),
            ("quiet = false", "", "|"),
            ("hello = ['--a', 'b']\njoined = '-c'", "", "--hello=--a --hello=b --joined=-c |"),
            ("storm = '1s'", "", "--storm=1s |"),
            ("url = []", "", "|"),
        ] {
            let wanted = wanted.replace("| ", "|").replace('|', "| ");
            let got = expanded(text, cli).unwrap();
            assert_eq!(got.trim_end(), wanted.trim_end(), "{text} {cli}");
        }
    }

    #[test]
    fn the_command_line_wins() {
        for (text, cli, wanted) in [
            ("connections = 5\nrooms = 2", "-c 7", "--rooms=2 | -c 7"),
            ("connections = 5\nrooms = 2", "-qc7 --rooms=1", "| -qc7 --rooms=1"),
            ("url = ['ws://a', 'ws://b']", "--url ws://c", "| --url ws://c"),
            ("rate = 5\nseed = 1", "--closed 2", "--seed=1 | --closed 2"),
            ("closed = 5", "--find-max", "| --find-max"),
            ("find_max = true", "--rate 5", "| --rate 5"),
            ("senders = 5", "--senders-per-room 2", "| --senders-per-room 2"),
            ("senders_per_room = 5", "--senders 2", "| --senders 2"),
            // A default is nothing that was given.
            ("seed = 5", "--rate 1", "--seed=5 | --rate 1"),
            // What is wrong there is said later, by its parser.
            ("seed = 5", "--rate x", "--seed=5 | --rate x"),
        ] {
            assert_eq!(expanded(text, cli).map(|got| got.trim_end().to_owned()), Ok(wanted.into()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_key() {
        for (text, why) in [
            ("roms = 1", "f: roms: there is no such setting; did you mean rooms?"),
            ("room-size = 1", "did you mean room_sizes?"),
            ("xyzzy = 1", "f: xyzzy: there is no such setting; see --help"),
            ("help = true", "f: help: there is no"),
            ("c = 1", "f: c: there is no"),
            ("scenario = 'g'", "f: scenario: a scenario names no other"),
            ("quiet = 1", "f: quiet: takes true or false, not a number"),
            ("rooms = true", "f: rooms: takes a text or a number, not true or false"),
            ("rooms = [1, 2]", "f: rooms: takes a text or a number, not a list"),
            ("storm = [['1s']]", "f: storm: takes a text or a number, not a list"),
            ("rooms = 'a'", "f: rooms: invalid value 'a'"),
            ("rooms = -1", "f: rooms: invalid value '-1'"),
            ("duration = 10", "f: duration: invalid value '10' for '--duration <TIME>': give a"),
            ("dialect = 'x'", "f: dialect: invalid value 'x'"),
            ("[server]\nurl = 'ws://a'", "f: server: there is no such setting"),
            ("[rate]\nx = 1", "f: rate: takes a text or a number, not a table"),
            ("rate = 1\nclosed = 1", "cannot be used with"),
            ("room_sizes = 'equal'\nroom-sizes = 'equal'", "given twice"),
            ("rate = 1\nrate = 2", "f: TOML parse error"),
            ("rate", "f: TOML parse error"),
        ] {
            let error = expanded(text, "").unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let missing = ["x", "--scenario", "no/such/file.toml"].map(OsString::from).to_vec();
        let error = arguments(missing).unwrap_err();
        assert!(error.starts_with("--scenario no/such/file.toml: No such file"), "{error}");
    }

    #[test]
    fn other_command_lines_stay_as_they_are() {
        for cli in ["x --rate 5", "x compare a b", "x --help", "x", "x --nonsense", "x --scenario"]
        {
            let words: Vec<OsString> = cli.split_whitespace().map(OsString::from).collect();
            assert_eq!(arguments(words.clone()), Ok(words), "{cli}");
        }
    }

    #[test]
    fn the_ready_scenarios_make_plans() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut number = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let words = vec!["x".into(), "--scenario".into(), path.clone().into_os_string()];
            let cli = Cli::try_parse_from(arguments(words).unwrap()).unwrap();
            let plan = Plan::within(cli.options.unwrap(), 8, None);
            assert_eq!(plan.map(|_| ()), Ok(()), "{}", path.display());
            number += 1;
        }
        assert_eq!(number, 3);
    }
}
