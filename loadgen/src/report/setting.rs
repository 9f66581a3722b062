//! What a report says was asked for, taken from a plan. Nothing here measures or judges. Tests:
//! below.

use super::judge::Bounds;
use super::{Environment, Report, Setting};
use crate::plan::Plan;
use crate::record::Record;

impl Report {
    /// Judges a run of `plan`.
    pub fn new(plan: &Plan, record: &Record, environment: Environment) -> Report {
        let bounds = Bounds {
            lag_budget: plan.options.lag_budget,
            allow_saturation: plan.options.allow_saturation,
            duration: plan.options.duration,
        };
        Report::of(Setting::of(plan), &bounds, record, environment)
    }
}

impl Setting {
    /// What `plan` will do.
    pub fn of(plan: &Plan) -> Setting {
        let (options, layout) = (&plan.options, &plan.layout);
        Setting {
            urls: plan.servers.iter().map(|server| server.url.clone()).collect(),
            dialect: options.dialect,
            encoding: options.encoding,
            connections: layout.connections(),
            rooms: layout.rooms(),
            active_rooms: layout.active_rooms(),
            room_sizes: options.room_sizes,
            room_max: (0..layout.rooms()).map(|room| layout.members(room)).max().unwrap_or(0),
            senders: layout.senders(),
            load: plan.load,
            arrivals: options.arrivals,
            payload_bytes: options.payload,
            seed: options.seed,
            churn_per_s: options.churn,
            storms: options.storm.len(),
            recover: options.recover,
            slow_connections: (0..layout.connections())
                .filter(|connection| layout.is_slow(*connection))
                .count(),
            slow_bytes_per_s: options.slow_rate,
            presence_per_s: options.presence_rate,
            history_per_s: options.history_rate,
            processes: options.processes,
            threads: plan.threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Load, Verdict, example};
    use super::*;
    use crate::options::Cli;
    use clap::Parser;

    #[test]
    fn a_plan_says_it_all() {
        let words = "x -c 100 --rooms 4 --rate 50 --senders 8 --slow 0.25 --recover --churn 2 \
                     --storm 1s --lag-budget 7ms --threads 3 --url ws://127.0.0.1:9";
        let cli = Cli::parse_from(words.split_whitespace());
        let plan = Plan::new(cli.options.unwrap(), 2).unwrap();
        let setting = Setting::of(&plan);
        assert_eq!(setting.urls, ["ws://127.0.0.1:9"]);
        assert_eq!((setting.connections, setting.rooms, setting.active_rooms), (100, 4, 4));
        assert_eq!((setting.room_max, setting.senders, setting.load), (25, 8, Load::Rate(50.0)));
        assert_eq!((setting.churn_per_s, setting.storms, setting.recover), (2.0, 1, true));
        assert_eq!((setting.processes, setting.threads), (1, 3));
        let slow = (0..100).filter(|connection| plan.layout.is_slow(*connection)).count();
        assert_eq!(setting.slow_connections, slow);
        // The budget is the plan's: 3 ms late is early enough.
        let mut record = example::record(2);
        record.totals.lag.clear();
        record.totals.lag.record(3_000_000);
        let report = Report::new(&plan, &record, example::environment());
        assert_eq!((report.verdict, report.setting), (Verdict::Ok, setting));
    }
}
