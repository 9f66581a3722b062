//! File, environment and flags become one [`Config`].
//!
//! Every source is first turned into settings, one per key, checked against the table of keys;
//! they are then laid over the defaults in rising precedence. This module never touches the
//! process: arguments and environment are handed in. Tests: `config/tests.rs`.

use super::cli::{self, Action, Cli};
use super::keys::{self, Found, Kind};
use super::tree::Tree;
use super::{Config, Problem, duration, validate};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What [`load`] returns: a configuration that passed every check.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the operator should know but what does not stop a start: one line each.
    pub warnings: Vec<String>,
    /// What the flags ask for.
    pub action: Action,
}

/// Why there is no configuration. Its text is for the operator, one problem per line.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line is wrong, or asks for help or the version: then
    /// [`clap::Error::exit_code`] is 0.
    Usage(clap::Error),
    /// Wrong values, unknown keys, contradictions, an unreadable file.
    Problems(Vec<Problem>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Usage(e) => write!(f, "{e}"),
            ConfigError::Problems(problems) => {
                for (i, problem) in problems.iter().enumerate() {
                    let end = if i == 0 { "" } else { "\n" };
                    write!(f, "{end}{problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// One key that a source gives a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    /// Dotted path; `channel.namespaces.NAME` alone (with a null) makes sure that NAME exists.
    pub(super) path: String,
    pub(super) value: Value,
}

/// Settings of one source and what is wrong with it.
#[derive(Debug, Default)]
struct Source {
    settings: Vec<Setting>,
    problems: Vec<Problem>,
}

/// Reads the flags, the file that they or the environment name, and the environment.
///
/// `args`: the command line with the program's name first. `env`: the whole environment; only
/// names that begin with `RINGCHAT_` are looked at. Errors: all that is wrong, at once.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let cli = Cli::read(args).map_err(ConfigError::Usage)?;
    let mut warnings = Vec::new();
    let mut problems = Vec::new();
    let mut tree = serde_json::to_value(Config::default())
        .map_err(|e| ConfigError::Problems(vec![Problem::new("", e.to_string())]))?;

    let (file, from_env) = read_env(env, &mut warnings);
    let file = cli.config.clone().or(file);
    let from_file = file.as_deref().map(read_file).unwrap_or_default();
    let from_flags = read_flags(&cli);
    for source in [from_file, from_env, from_flags] {
        problems.extend(source.problems);
        for setting in source.settings {
            apply(&mut tree, &setting);
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError::Problems(problems));
    }
    let config: Config = serde_json::from_value(tree)
        .map_err(|e| ConfigError::Problems(vec![Problem::new("", e.to_string())]))?;
    validate::validate(&config).map_err(ConfigError::Problems)?;
    Ok(Loaded { config, warnings, action: cli.action() })
}

impl Source {
    /// Takes one value for one key, or says why not.
    fn take(&mut self, origin: &str, path: &str, value: Given<'_>) {
        match keys::find(path) {
            Found::Value(kind) => match value.check(kind) {
                Ok(Value::Array(entries)) if kind == Kind::Namespaces => {
                    self.take_namespaces(origin, path, &entries);
                }
                Ok(value) => self.settings.push(Setting { path: path.to_owned(), value }),
                Err(wrong) => self.problems.push(Problem::from_origin(origin, path, wrong)),
            },
            Found::Section => {
                let message = "is a section; give the keys below it".to_owned();
                self.problems.push(Problem::from_origin(origin, path, message));
            }
            Found::Unknown => self.unknown(origin, path),
        }
    }

    fn unknown(&mut self, origin: &str, path: &str) {
        let hint = keys::suggest(path).map(|k| format!(" (did you mean {k}?)")).unwrap_or_default();
        self.problems.push(Problem::from_origin(origin, path, format!("unknown key{hint}")));
    }

    /// Takes a file's table and the tables in it.
    fn take_table(&mut self, origin: &str, prefix: &str, table: &Map<String, Value>) {
        for (name, value) in table {
            let path = join(prefix, name);
            match (value, keys::find(&path)) {
                (Value::Object(inner), Found::Section) => self.take_table(origin, &path, inner),
                _ => self.take(origin, &path, Given::Typed(value)),
            }
        }
    }

    /// Takes a list of namespaces: each entry needs a usable name that is new in this list.
    fn take_namespaces(&mut self, origin: &str, path: &str, entries: &[Value]) {
        let mut seen: Vec<&str> = Vec::new();
        for entry in entries {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
            let wrong = match entry {
                Value::Object(_) if !validate::is_namespace_name(name) => Some(format!(
                    "{name:?} is no name: every namespace needs a `name` of {}",
                    validate::NAMESPACE_NAME_RULE
                )),
                Value::Object(_) if seen.contains(&name) => {
                    Some(format!("{name} is there twice; put its options into one entry"))
                }
                Value::Object(_) => None,
                _ => Some("every entry is a table with a name and options".to_owned()),
            };
            if let Some(wrong) = wrong {
                self.problems.push(Problem::from_origin(origin, path, wrong));
                continue;
            }
            seen.push(name);
            let below = join(path, name);
            self.settings.push(Setting { path: below.clone(), value: Value::Null });
            for (option, value) in entry.as_object().into_iter().flatten() {
                if option != "name" {
                    self.take(origin, &join(&below, option), Given::Typed(value));
                }
            }
        }
    }
}

/// A value as its source gives it.
#[derive(Clone, Copy)]
enum Given<'a> {
    /// From a file: it has a type.
    Typed(&'a Value),
    /// From the environment or `--set`: a text.
    Text(&'a str),
}

impl Given<'_> {
    /// The value in the form in which `Config` is deserialised. Errors: what was expected.
    fn check(self, kind: Kind) -> Result<Value, String> {
        let expected = |what: &str| match (kind, self) {
            (Kind::Secret, _) => format!("expected {what}"),
            (_, Given::Typed(value)) => format!("expected {what}, got {value}"),
            (_, Given::Text(text)) => format!("expected {what}, got {text:?}"),
        };
        let list = || match self {
            Given::Typed(Value::Array(items)) => {
                items.iter().map(|i| i.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            Given::Typed(_) => None,
            Given::Text(text) => {
                let items = text.split(',').map(str::trim).filter(|i| !i.is_empty());
                Some(items.map(str::to_owned).collect())
            }
        };
        if let (Kind::Texts | Kind::Addresses, Given::Typed(Value::String(text))) = (kind, self) {
            return Err(format!("expected a list, such as [{text:?}], got {text:?}"));
        }
        match kind {
            Kind::Bool | Kind::Choice => match self {
                Given::Typed(Value::Null) if kind == Kind::Choice => Ok(Value::Null),
                Given::Typed(Value::Bool(b)) => Ok(Value::Bool(*b)),
                Given::Text("true") => Ok(Value::Bool(true)),
                Given::Text("false") => Ok(Value::Bool(false)),
                _ => Err(expected("true or false")),
            },
            Kind::Count | Kind::Port | Kind::Bytes => {
                let number = match self {
                    Given::Typed(value) => value.as_u64(),
                    Given::Text(text) => text.parse().ok(),
                };
                let (what, highest) = match kind {
                    Kind::Port => ("a port from 0 to 65535", u64::from(u16::MAX)),
                    Kind::Count => ("a whole number from 0 to 4294967295", u64::from(u32::MAX)),
                    _ => ("a whole number of bytes", i64::MAX as u64),
                };
                number.filter(|n| *n <= highest).map(Value::from).ok_or_else(|| expected(what))
            }
            Kind::Duration => {
                let text = match self {
                    Given::Typed(value) => value.as_str(),
                    Given::Text(text) => Some(text),
                };
                let text =
                    text.ok_or_else(|| expected("a time such as \"250ms\", \"25s\" or \"24h\""))?;
                duration::parse(text).map(|d| Value::from(duration::format(d)))
            }
            Kind::RecoveryMode | Kind::ErrorMode => {
                let text = match self {
                    Given::Typed(value) => value.as_str(),
                    Given::Text(text) => Some(text),
                };
                let known = text.filter(|text| match kind {
                    Kind::RecoveryMode => matches!(*text, "stream" | "cache"),
                    _ => matches!(*text, "" | "transport"),
                });
                known.map(Value::from).ok_or_else(|| expected(kind.unit()))
            }
            Kind::Secret | Kind::Text => match self {
                Given::Typed(Value::String(text)) => Ok(Value::from(text.as_str())),
                Given::Text(text) => Ok(Value::from(text)),
                Given::Typed(_) => Err(expected("a text")),
            },
            Kind::Texts => list().map(Value::from).ok_or_else(|| expected("a list of texts")),
            Kind::Addresses => {
                let what = "a list of ADDR:PORT such as \"127.0.0.1:8000\" or \"[::]:8000\"";
                let items = list().ok_or_else(|| expected(what))?;
                if items.iter().any(|i| i.parse::<SocketAddr>().is_err()) {
                    return Err(expected(what));
                }
                Ok(Value::from(items))
            }
            Kind::Namespaces => match self {
                Given::Typed(Value::Array(items)) => Ok(Value::Array(items.clone())),
                Given::Typed(_) => Err(expected("a list of namespaces")),
                Given::Text(text) => match serde_json::from_str(text) {
                    Ok(Tree(Value::Array(items))) => Ok(Value::Array(items)),
                    Err(wrong) if text.trim_start().starts_with('[') => Err(wrong.to_string()),
                    _ => Err(expected("a JSON list of namespaces")),
                },
            },
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// Reads a file by its extension.
fn read_file(path: &Path) -> Source {
    let origin = path.display().to_string();
    let failed = |message: String| Source {
        problems: vec![Problem::from_origin(&origin, "", message)],
        ..Source::default()
    };
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let parse: fn(&str) -> Result<Value, String> = match extension {
        "toml" => parse_toml,
        "json" => {
            |text| serde_json::from_str(text).map(|Tree(value)| value).map_err(|e| e.to_string())
        }
        "yaml" | "yml" => {
            |text| yaml_serde::from_str(text).map(|Tree(value)| value).map_err(|e| e.to_string())
        }
        _ => return failed("a configuration file ends in .toml, .json, .yaml or .yml".to_owned()),
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => return failed(format!("cannot read this configuration file: {e}")),
    };
    match parse(&text) {
        Ok(Value::Object(table)) => {
            let mut source = Source::default();
            source.take_table(&origin, "", &table);
            source
        }
        // An empty YAML document.
        Ok(Value::Null) => Source::default(),
        Ok(_) => failed("expected a table of keys".to_owned()),
        Err(wrong) => failed(wrong),
    }
}

/// Parses TOML. The error names the line but does not quote it: it may hold a secret.
fn parse_toml(text: &str) -> Result<Value, String> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| {
            let before = text.as_bytes().iter().take(span.start);
            1 + before.filter(|b| **b == b'\n').count()
        });
        format!("{} at line {line}", e.message())
    })
}

/// Reads the `RINGCHAT_*` variables: the file's name and the settings. Unknown ones are warned
/// of, not refused: orchestrators put variables of their own beside a service's name.
fn read_env(
    env: impl IntoIterator<Item = (OsString, OsString)>,
    warnings: &mut Vec<String>,
) -> (Option<PathBuf>, Source) {
    let known: Vec<(String, String)> =
        keys::all().map(|(path, _)| (keys::variable(&path), path)).collect();
    let mut file = None;
    let mut source = Source::default();
    for (name, value) in env {
        let Some(name) = name.to_str().filter(|n| n.starts_with("RINGCHAT_")) else { continue };
        if name == "RINGCHAT_CONFIG" {
            file = Some(PathBuf::from(value)).filter(|f| !f.as_os_str().is_empty());
            continue;
        }
        match (known.iter().find(|(variable, _)| variable == name), value.to_str()) {
            (Some((_, path)), Some(value)) => source.take(name, path, Given::Text(value)),
            (Some((_, path)), None) => {
                let message = "is not UTF-8".to_owned();
                source.problems.push(Problem::from_origin(name, path, message));
            }
            (None, _) => {
                let distance =
                    |(other, _): &&(String, String)| strsim::damerau_levenshtein(other, name);
                let near = known.iter().min_by_key(distance).filter(|other| distance(other) <= 2);
                let hint = near.map(|(other, _)| format!(" (did you mean {other}?)"));
                let hint = hint.unwrap_or_default();
                warnings.push(format!("{name}: unknown environment variable, ignored{hint}"));
            }
        }
    }
    (file, source)
}

/// Turns the flags into settings; a key given by two flags is a contradiction.
fn read_flags(cli: &Cli) -> Source {
    let mut source = Source::default();
    let mut seen: Vec<String> = Vec::new();
    let mut take = |flag: &str, path: &str, given: Given<'_>| {
        if seen.iter().any(|p| p == path) {
            let message = "given twice on the command line".to_owned();
            source.problems.push(Problem::from_origin(flag, path, message));
        } else {
            seen.push(path.to_owned());
            source.take(flag, path, given);
        }
    };
    for (flag, path, value) in cli.shorthands() {
        take(flag, path, Given::Typed(&value));
    }
    for pair in &cli.set {
        let (path, value) = cli::split_set(pair);
        take("--set", path, Given::Text(value));
    }
    source
}

/// Lays one setting over the tree.
fn apply(tree: &mut Value, setting: &Setting) {
    let below = setting.path.strip_prefix(keys::NAMESPACES).and_then(|r| r.strip_prefix('.'));
    let Some(rest) = below else {
        let pointer = format!("/{}", setting.path.replace('.', "/"));
        if let Some(place) = tree.pointer_mut(&pointer) {
            place.clone_from(&setting.value);
        }
        return;
    };
    let (name, option) = rest.split_once('.').unwrap_or((rest, ""));
    let Some(list) = tree.pointer_mut("/channel/namespaces").and_then(Value::as_array_mut) else {
        return;
    };
    let at = list.iter().position(|n| n["name"] == name).unwrap_or_else(|| {
        list.push(json!({ "name": name }));
        list.len() - 1
    });
    if let (false, Some(entry)) = (option.is_empty(), list[at].as_object_mut()) {
        entry.insert(option.to_owned(), setting.value.clone());
    }
}
