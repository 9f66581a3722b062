//! The direction of imports, which keeps the pure parts pure.

use std::fs;
use std::path::{Path, PathBuf};

/// The parts from left to right: none imports what stands to its right, and parts of one group
/// do not import each other.
const ORDER: &[&[&str]] =
    &[&["config", "metrics"], &["protocol"], &["ws"], &["chat"], &["net", "http"], &["server"]];

/// Parts without a socket, a clock, a thread.
const PURE: &[&str] = &["protocol", "ws", "chat"];

/// What the pure parts do not name.
const IMPURE: &[&str] = &[
    "tokio",
    "io_uring",
    "core_affinity",
    "libc",
    "socket2",
    "std::net",
    "std::thread",
    "std::fs",
    "std::env",
    "Instant::now",
    "SystemTime",
    "hash_map::RandomState",
    "RandomState::new",
    "getrandom",
];

#[test]
fn nothing_imports_what_stands_to_its_right() {
    let mut wrong = Vec::new();
    for (file, part) in sources() {
        let rank = |name: &str| ORDER.iter().position(|group| group.contains(&name));
        let Some(own) = rank(&part) else { continue };
        for (number, line) in code(&file) {
            for used in parts_named(&line) {
                if used != part && rank(&used).is_some_and(|other| other >= own) {
                    wrong.push(format!("{}:{number}: {line}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the order:\n{}", wrong.join("\n"));
}

#[test]
fn pure_parts_name_no_socket_clock_thread() {
    let mut wrong = Vec::new();
    for (file, part) in sources() {
        if !PURE.contains(&part.as_str()) {
            continue;
        }
        for (number, line) in code(&file) {
            if IMPURE.iter().any(|name| names(&line, name)) {
                wrong.push(format!("{}:{number}: {line}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not pure:\n{}", wrong.join("\n"));
}

#[test]
fn the_ring_is_named_in_net_alone() {
    let mut wrong = Vec::new();
    for (file, part) in sources() {
        for (number, line) in code(&file) {
            let ring = ["tokio_uring", "io_uring", "core_affinity"];
            if part != "net" && ring.iter().any(|name| names(&line, &format!("{name}::"))) {
                wrong.push(format!("{}:{number}: {line}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "named outside of net:\n{}", wrong.join("\n"));
}

/// Every Rust file of the server with the part to which it belongs.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let first = path.strip_prefix(&root).unwrap().iter().next().unwrap();
                let part = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
                found.push((path, part));
            }
        }
    }
    assert!(found.len() > 10, "found {found:?}");
    found
}

/// The lines of a file without comments, and without the tests at its end: those may use what
/// they like.
fn code(file: &Path) -> Vec<(usize, String)> {
    if file.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs") {
        return Vec::new();
    }
    let text = fs::read_to_string(file).unwrap();
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (i, line) in body.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default().trim();
        match lines.last_mut() {
            // A list of imports may go over several lines.
            Some((_, last)) if last.contains("crate::{") && !last.ends_with(';') => {
                last.push_str(line);
            }
            _ if line.is_empty() => {}
            _ => lines.push((i + 1, line.to_owned())),
        }
    }
    lines
}

/// The parts that follow `crate::` in a line, `crate::{a, b::c}` included.
fn parts_named(line: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(list.split(',').map(|item| word(item.trim()))),
            None => found.push(word(rest)),
        }
    }
    found
}

/// Whether `line` has `name` as whole words.
fn names(line: &str, name: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + name.len()..].chars().next();
        !is_word(before) && (name.ends_with(':') || !is_word(after))
    })
}

#[test]
fn the_reader_of_imports_reads_them() {
    let check = |line: &str, expect: &[&str]| assert_eq!(parts_named(line), expect, "{line}");
    check("use crate::chat::room::Room;", &["chat"]);
    check("use crate::{config::Config, metrics};", &["config", "metrics"]);
    check("let x = crate::ws::codec::apply_mask; crate::net::run()", &["ws", "net"]);
    check("use std::net::SocketAddr;", &[]);
    assert!(names("use tokio::time;", "tokio") && !names("use tokio_uring::spawn;", "tokio"));
    assert!(names("tokio_uring::spawn(f)", "tokio_uring::"));
}
