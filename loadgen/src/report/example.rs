//! A made-up run for the tests of this folder: quiet, then one slow second, with a server process.

use super::judge::Bounds;
use super::{Environment, Load, Report, Setting};
use crate::options::{Arrivals, Dialect, Encoding, RoomSizes, Sizes};
use crate::record::{Counts, Record, Second, ServerSample, Times, Totals};
use std::time::Duration;

pub(crate) fn bounds() -> Bounds {
    Bounds {
        lag_budget: Duration::from_millis(1),
        allow_saturation: false,
        duration: Duration::from_secs(10),
    }
}

pub(crate) fn setting() -> Setting {
    Setting {
        urls: vec!["ws://127.0.0.1:8000".into()],
        dialect: Dialect::Ringchat,
        encoding: Encoding::Json,
        connections: 1_000,
        rooms: 10,
        active_rooms: 10,
        room_sizes: RoomSizes::Equal,
        room_max: 100,
        senders: 100,
        load: Load::Rate(200.0),
        arrivals: Arrivals::Constant,
        payload_bytes: Sizes { min: 128, max: 128 },
        seed: 1,
        churn_per_s: 0.0,
        storms: 0,
        recover: false,
        slow_connections: 0,
        slow_bytes_per_s: 1024,
        presence_per_s: 0.0,
        history_per_s: 0.0,
        processes: 1,
        threads: 2,
    }
}

pub(crate) fn environment() -> Environment {
    Environment {
        started: "2026-02-03T04:05:06Z".into(),
        kernel: "Linux 6.18.0".into(),
        cpu: "A CPU @ 3 GHz".into(),
        cores: 4,
        memory_bytes: 8 << 30,
        version: "0.1.0".into(),
        server: Some("ringchat 0.1.0".into()),
        command: ["ringchat-loadgen", "--rate", "200"].map(str::to_owned).to_vec(),
    }
}

/// `count` times around `median_ms`, with a long tail.
pub(crate) fn spread(random: &mut fastrand::Rng, count: usize, median_ms: f64) -> Times {
    let mut times = Times::new();
    for _ in 0..count {
        let (u, v) = (random.f64().max(1e-9), random.f64());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        times.record((median_ms * 1e6 * (normal * 0.45).exp()) as u64);
    }
    times
}

/// A run of so many seconds, 2,000 deliveries in each.
pub(crate) fn record(seconds: u32) -> Record {
    let mut random = fastrand::Rng::with_seed(7);
    let mut rows = Vec::new();
    for index in 0..seconds {
        // One second in which the server was busy with something else.
        let median = if index == seconds / 2 && seconds > 2 { 18.0 } else { 0.8 };
        rows.push(Second {
            index,
            sent: 200,
            delivered: 2_000,
            latency: spread(&mut random, 2_000, median),
            service: spread(&mut random, 2_000, median * 0.7),
        });
    }
    let (mut latency, mut service) = (Times::new(), Times::new());
    for second in &rows {
        latency.add(&second.latency);
        service.add(&second.service);
    }
    let (sent, delivered) = (u64::from(seconds) * 200, u64::from(seconds) * 2_000);
    let sample = |at: u32| {
        let s = f64::from(at);
        ServerSample {
            at_s: s - 1.0,
            user_s: s * 0.2,
            system_s: s * 0.3,
            cpu_s: s * 0.5 + (s * 0.7).sin() * 0.1,
            rss_bytes: (40 << 20) + u64::from(at) * 100_000,
            voluntary: u64::from(at) * 900,
            involuntary: u64::from(at) * 12,
        }
    };
    Record {
        totals: Totals {
            counts: Counts { sent, delivered, ..Counts::default() },
            latency,
            service,
            lag: spread(&mut random, 2_000, 0.03),
            handshake: spread(&mut random, 1_000, 2.0),
            join: spread(&mut random, 1_000, 3.5),
            cpu: Some(0.2),
            wait: Some(0.004),
            cpu_ns: u64::from(seconds) * 300_000_000,
            delivered_in_window: delivered,
            sent_in_window: sent,
            ..Totals::default()
        },
        seconds: rows,
        join_s: 0.42,
        measured_s: f64::from(seconds),
        owed: delivered,
        server: (0..=seconds + 2).map(sample).collect(),
        server_rss_before: Some(20 << 20),
        server_rss_joined: Some(40 << 20),
        started_unix_s: 1_770_091_506,
        ..Record::default()
    }
}

pub(crate) fn report(record: &Record) -> Report {
    Report::of(setting(), &bounds(), record, environment())
}
