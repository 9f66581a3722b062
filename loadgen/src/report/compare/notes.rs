//! What to know about groups before believing a comparison: settings that differ, runs that went
//! wrong, other machines. Tests: in `mod.rs`.

use super::noise::RUNS_MIN;
use super::{Figure, Group, JudgedBy, Setting};
use crate::report::{Report, Verdict};

/// Settings of which there is more than one value. The seed is to differ between runs.
pub(super) fn settings(groups: &[Group]) -> Vec<Setting> {
    let json = |run: &Report| match serde_json::to_value(&run.setting) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let runs: Vec<Vec<_>> =
        groups.iter().map(|group| group.runs.iter().map(json).collect()).collect();
    let Some(first) = runs.iter().flatten().next() else { return Vec::new() };
    let differing = first.keys().filter(|name| {
        let all_same = runs.iter().flatten().all(|fields| fields.get(*name) == first.get(*name));
        *name != "seed" && !all_same
    });
    let setting = |name: &String| Setting {
        name: name.clone(),
        values: runs
            .iter()
            .map(|group| {
                let mut values: Vec<String> = group
                    .iter()
                    .filter_map(|fields| fields.get(name))
                    .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                    .collect();
                values.sort();
                values.dedup();
                values.join(" or ")
            })
            .collect(),
    };
    differing.map(setting).collect()
}

pub(super) fn warnings(groups: &[Group], figures: &[Figure]) -> Vec<String> {
    let mut warnings = Vec::new();
    for Group { name, runs } in groups {
        let of = |number: usize| match runs.len() {
            1 => name.clone(),
            many => format!("{name}, run {} of {many}", number + 1),
        };
        for (number, run) in runs.iter().enumerate() {
            let what = match run.verdict {
                Verdict::Ok if run.generator.limited => {
                    "the generator was the limit: only the server's CPU time per delivery and \
                     memory are the server's. Use another machine or a lower load."
                }
                Verdict::Ok if run.checks.counts.shed > 0 => {
                    "the server shed connections, which then cost it nothing. Lower the load."
                }
                Verdict::Ok => continue,
                Verdict::Failed => {
                    "failed its checks: not everything was delivered, so that less was done. Find \
                     out why before comparing."
                }
                Verdict::Invalid => {
                    "is invalid: the generator was the limit, and the figures are its own. Repeat \
                     it with more threads or another machine."
                }
                Verdict::Interrupted => "was interrupted. Repeat it.",
            };
            warnings.push(format!("{}: {what}", of(number)));
        }
    }
    let runs = || groups.iter().flat_map(|group| &group.runs);
    let machine = |run: &Report| {
        let environment = &run.environment;
        format!("{}, {} CPUs, {}", environment.cpu, environment.cores, environment.kernel)
    };
    let mut machines: Vec<String> = runs().map(machine).collect();
    machines.sort();
    machines.dedup();
    if machines.len() > 1 {
        warnings.push(format!(
            "the runs are of different machines ({}). Repeat them on one, in turns.",
            machines.join("; ")
        ));
    }
    let mut versions: Vec<&str> = runs().map(|run| run.environment.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        warnings.push(format!(
            "the runs were made with different versions of the generator ({}). Repeat them with \
             one.",
            versions.join(", ")
        ));
    }
    let cells = || figures.iter().flat_map(|figure| figure.groups.iter().skip(1).flatten());
    if cells().any(|cell| cell.judged_by == Some(JudgedBy::Seconds)) {
        warnings.push(format!(
            "with fewer than {} runs of each, noise is judged from second to second: how much the \
             next run would differ is not known. Repeat the runs, in turns, as in a=1.json,2.json,\
             3.json b=...",
            RUNS_MIN
        ));
    } else if cells().all(|cell| cell.judged_by.is_none()) {
        warnings.push(format!(
            "too few figures to know the noise. Give {} runs or more of each, or longer ones.",
            RUNS_MIN
        ));
    }
    warnings
}
