//! The configuration as text: TOML with every key explained, and the list of keys in `--help`.
//!
//! Never shows a secret. Tests: `config/tests.rs` reads the TOML back.

use super::Config;
use super::keys::{self, Key, Kind};
use serde_json::Value;
use std::fmt::Write;

/// The configuration as TOML: above each key its meaning, unit, default and environment variable.
/// Read back, it gives the same configuration, but for secrets, which are not shown.
pub fn to_toml(config: &Config) -> String {
    let values = tree(config);
    let defaults = tree(&Config::default());
    let mut out =
        String::from("# The configuration of ringchat. Lines with `name = value` are in force.\n");
    let mut section = String::new();
    for (path, key) in keys::all() {
        let (own_section, name) = path.rsplit_once('.').unwrap_or(("", &path));
        if key.kind == Kind::Namespaces {
            out.push('\n');
            comment(&mut out, key.help);
            comment(&mut out, &format!("Environment, as JSON: {}.", keys::variable(&path)));
            namespaces(&mut out, config, &path);
            continue;
        }
        if own_section != section {
            let _ = write!(out, "\n[{own_section}]\n");
            section = own_section.to_owned();
        }
        out.push('\n');
        comment(&mut out, key.help);
        let default = shown(&key, at(&defaults, &path));
        let unit = key.kind.unit();
        let variable = keys::variable(&path);
        comment(&mut out, &format!("Unit: {unit}. Default: {default}. Environment: {variable}."));
        let value = at(&values, &path);
        match value {
            Value::Null => _ = writeln!(out, "# {name} ="),
            Value::String(s) if key.kind == Kind::Secret && !s.is_empty() => {
                let _ = writeln!(out, "# {name} = (set; not shown)");
            }
            _ => _ = writeln!(out, "{name} = {value}"),
        }
    }
    out
}

/// The list of keys with which `--help` ends.
pub(super) fn help() -> String {
    let defaults = tree(&Config::default());
    let mut out = String::from("Keys of the configuration, for a file and for --set:\n");
    for (path, key) in keys::all() {
        let variable = keys::variable(&path);
        let (unit, default) = (key.kind.unit(), shown(&key, at(&defaults, &path)));
        let _ = write!(
            out,
            "\n  {path}\n      {}\n      [{unit}] [default: {default}] [{variable}]\n",
            key.help
        );
    }
    out.push_str(
        "\nAn option of one namespace is set by --set channel.namespaces.NAME.OPTION=VALUE.\n\n\
         Exit codes: 0 done, 1 failed at run time, 2 wrong usage or configuration.",
    );
    out
}

/// A key's value for people; a list of namespaces is its names.
pub(super) fn shown(key: &Key, value: &Value) -> String {
    match value {
        Value::Null => "depends on other keys".to_owned(),
        Value::String(text) if key.kind == Kind::Secret => {
            if text.is_empty() {
                "none".to_owned()
            } else {
                "(set; not shown)".to_owned()
            }
        }
        Value::Array(items) if key.kind == Kind::Namespaces => {
            let names: Vec<&str> = items.iter().filter_map(|n| n["name"].as_str()).collect();
            names.join(", ")
        }
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            items.join(", ")
        }
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => text.clone(),
        _ => value.to_string(),
    }
}

/// The configuration as a tree that is looked into by path.
pub(super) fn tree(config: &Config) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

/// The value at a dotted path.
pub(super) fn at<'a>(tree: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(tree, |value, name| &value[name])
}

fn namespaces(out: &mut String, config: &Config, path: &str) {
    for namespace in &config.channel.namespaces {
        let values = serde_json::to_value(&namespace.options).unwrap_or_default();
        let _ = write!(out, "\n[[{path}]]\nname = {}\n", Value::from(namespace.name.as_str()));
        for option in keys::OPTIONS {
            let _ = writeln!(out, "{} = {}", option.path, values[option.path]);
        }
    }
}

/// Writes `# ` lines of at most 100 columns.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > 100 {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}
