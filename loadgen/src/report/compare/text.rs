//! A comparison for people: a table, one column per group, and what follows from it.

use super::{Cell, Comparison, Figure, Group, JudgedBy, Outcome};
use crate::report::Verdict;
use std::fmt::Write as _;

impl Comparison {
    /// For people. The last lines say which differences are larger than the noise.
    pub fn to_text(&self) -> String {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut head = vec![String::new()];
        let mut runs = vec!["runs".to_owned()];
        for (index, group) in self.groups.iter().enumerate() {
            let bad = group.verdicts.iter().filter(|verdict| **verdict != Verdict::Ok).count();
            let marked = match bad {
                0 => group.verdicts.len().to_string(),
                bad => format!("{} ({bad} not ok!)", group.verdicts.len()),
            };
            head.push(plain(&group.name));
            runs.push(marked);
            for column in [&mut head, &mut runs] {
                column.extend(vec![String::new(); if index == 0 { 1 } else { 3 }]);
            }
        }
        rows.push(head);
        rows.push(runs);
        for figure in &self.figures {
            let mut row = vec![figure.name.to_owned()];
            for (index, cell) in figure.groups.iter().enumerate() {
                row.extend(columns(figure, cell.as_ref(), index == 0));
            }
            rows.push(row);
        }
        let mut out = table(&rows) + "\n";
        let bare = out.len();
        for setting in &self.settings {
            let values: Vec<String> = setting.values.iter().map(|value| plain(value)).collect();
            let _ = writeln!(out, "differs   {}: {}", setting.name, values.join(" / "));
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "warning   {}", plain(warning));
        }
        let cells = || self.figures.iter().flat_map(|figure| figure.groups.iter().flatten());
        if cells().any(|cell| cell.result == Outcome::Unknown) {
            let _ = writeln!(out, "?         needs 3 runs or more of each to be judged");
        }
        if out.len() > bare {
            out.push('\n');
        }
        if self.differences.is_empty() {
            out.push_str("No difference larger than the noise.\n");
        } else {
            out.push_str("Differences larger than the noise:\n");
        }
        for difference in &self.differences {
            let _ = writeln!(out, "  {}", plain(difference));
        }
        out
    }
}

/// In words, those that are larger than the noise.
pub(super) fn differences(groups: &[Group], figures: &[Figure]) -> Vec<String> {
    let mut words = Vec::new();
    for (index, group) in groups.iter().enumerate().skip(1) {
        for figure in figures {
            let Some(Some(cell)) = figure.groups.get(index) else { continue };
            let how = match cell.result {
                Outcome::Better => " (better)",
                Outcome::Worse => " (worse)",
                Outcome::Differs => "",
                Outcome::Base | Outcome::Same | Outcome::Unknown => continue,
            };
            let base = figure.groups.first().copied().flatten().map_or(0.0, |base| base.value);
            let by = match cell.judged_by {
                Some(JudgedBy::Seconds) => "from second to second",
                _ => "from run to run",
            };
            words.push(format!(
                "{}: {} {}, {} to {}{how}; noise {by}: {}",
                group.name,
                figure.name,
                change(cell),
                figure.unit.show(base),
                figure.unit.show(cell.value),
                cell.noise_percent.map_or("unknown".into(), |noise| format!("up to {noise:.0} %")),
            ));
        }
    }
    words
}

/// Value and spread; for other groups than the base, the change and what it means as well.
fn columns(figure: &Figure, cell: Option<&Cell>, base: bool) -> Vec<String> {
    let mut columns = match cell {
        None => vec!["-".into(), String::new()],
        Some(cell) => {
            let spread = cell.spread_percent.map(|spread| format!("±{spread:.0} %"));
            vec![figure.unit.show(cell.value), spread.unwrap_or_default()]
        }
    };
    if !base {
        let mark = match cell.map(|cell| cell.result) {
            Some(Outcome::Better) => "better",
            Some(Outcome::Worse) => "WORSE",
            Some(Outcome::Differs) => "differs",
            Some(Outcome::Unknown) => "?",
            Some(Outcome::Base | Outcome::Same) | None => "",
        };
        columns.push(cell.map(change).unwrap_or_default());
        columns.push(mark.to_owned());
    }
    columns
}

fn change(cell: &Cell) -> String {
    match cell.change_percent {
        None => String::new(),
        Some(percent) if percent.abs() < 9.95 => format!("{percent:+.1} %"),
        Some(percent) => format!("{percent:+.0} %"),
    }
}

/// Rows whose columns are as wide as their widest cell: the first to the left, others to the
/// right, and the marks, the last of each group but the first, to the left.
fn table(rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    let wide = |text: &str| text.chars().count();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| wide(cell)).max().unwrap_or(0)
    };
    for row in rows {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            let pad = " ".repeat(width(index) - wide(cell));
            let left = index == 0 || (index > 2 && (index - 2).is_multiple_of(4));
            let (before, after) = if left { ("", pad.as_str()) } else { (pad.as_str(), "") };
            let _ = write!(line, "{before}{cell}{after}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Without control characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
