//! What is refused, in the order in which a user would look: numbers, what is spoken, unrest.
//!
//! Each check says what is wrong and what would be right, by the names of the options. Tests at the
//! end.

use super::{TEXT_MAX, TEXT_MIN, equal};
use crate::layout::Layout;
use crate::options::{Arrivals, Dialect, Encoding, Options};
use crate::server::Server;

type Checked = Result<(), String>;

fn check(right: bool, why: impl FnOnce() -> String) -> Checked {
    if right { Ok(()) } else { Err(why()) }
}

/// All that needs neither the layout nor the servers.
pub(super) fn all(options: &Options) -> Checked {
    members(options)?;
    load(options)?;
    let (urls, pids) = (options.url.len(), options.server_pid.len());
    check(pids == 0 || pids >= urls, || {
        format!("--server-pid: give one for each of the {urls} servers, so that all are counted")
    })?;
    spoken(options)?;
    unrest(options)?;
    phases(options)
}

fn members(options: &Options) -> Checked {
    let Options { connections, rooms, processes, .. } = *options;
    check((1..=100_000_000).contains(&connections), || {
        format!("--connections {connections}: must be at least 1, and at most 100,000,000")
    })?;
    check((1..=256.min(connections)).contains(&processes), || {
        format!("--processes {processes} is not between 1 and 256, with a connection for each")
    })?;
    if options.dialect == Dialect::Echo {
        check(rooms == 1 || rooms == connections, || {
            format!("--rooms {rooms}: with --dialect echo each connection is a room of its own")
        })?;
        return check(equal(options.room_sizes), || {
            format!(
                "--room-sizes {}: with --dialect echo each connection is a room of its own",
                options.room_sizes
            )
        });
    }
    check((1..=connections).contains(&rooms), || {
        format!("--rooms {rooms} is not between 1 and --connections {connections}")
    })
}

fn load(options: &Options) -> Checked {
    let rates = [("rate", options.rate), ("find-from", Some(options.find_from))];
    for (name, rate) in rates.into_iter().filter_map(|(name, rate)| Some((name, rate?))) {
        check(rate > 0.0 && rate <= 1e9, || format!("--{name} {rate} is not between 0 and 1e9"))?;
    }
    if let Some(outstanding) = options.closed {
        check((1..=1_000_000).contains(&outstanding), || {
            format!("--closed {outstanding} is not between 1 and 1,000,000")
        })?;
        check(options.arrivals == Arrivals::Constant, || {
            format!(
                "--arrivals {} needs --rate: with --closed a message leaves when another comes back",
                options.arrivals
            )
        })?;
    }
    let sizes = options.payload;
    check(sizes.min >= TEXT_MIN && sizes.min <= sizes.max && sizes.max <= TEXT_MAX, || {
        format!("--payload {sizes} is not between {TEXT_MIN} and {TEXT_MAX} bytes")
    })
}

fn spoken(options: &Options) -> Checked {
    let dialect = options.dialect;
    let only = |given: bool, name: &str, needed: Dialect| {
        check(!given || dialect == needed, || {
            let needed = if needed == Dialect::Raw { "raw" } else { "ringchat" };
            format!("--{name} is only for --dialect {needed}")
        })
    };
    only(options.encoding == Encoding::Protobuf, "encoding protobuf", Dialect::Ringchat)?;
    only(options.recover, "recover", Dialect::Ringchat)?;
    only(options.presence_rate != 0.0, "presence-rate", Dialect::Ringchat)?;
    only(options.history_rate != 0.0, "history-rate", Dialect::Ringchat)?;
    only(!options.hello.is_empty(), "hello", Dialect::Raw)?;
    only(options.joined.is_some(), "joined", Dialect::Raw)?;
    only(options.publish != "{payload}", "publish", Dialect::Raw)?;
    check(options.publish.matches("{payload}").count() == 1, || {
        format!("--publish {}: it must have {{payload}} in it, once", options.publish)
    })?;
    check(options.joined.as_deref() != Some(""), || {
        "--joined is empty: give a text that only the answer to --hello has".into()
    })?;
    let unsafe_in_names = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
    check(
        options.namespace.as_deref().is_none_or(|n| !n.is_empty() && !n.contains(unsafe_in_names))
            && !options.room_prefix.contains(unsafe_in_names),
        || "--namespace and --room-prefix take letters, digits, '-', '_' and '.'".into(),
    )?;
    check(
        options.token.as_deref().is_none_or(|t| !t.contains(|c: char| !c.is_ascii_graphic())),
        || "--token has characters that no token has: blanks, line ends or non-ASCII".into(),
    )
}

fn unrest(options: &Options) -> Checked {
    for (name, rate) in [
        ("churn", options.churn),
        ("presence-rate", options.presence_rate),
        ("history-rate", options.history_rate),
    ] {
        check((0.0..=1e9).contains(&rate), || {
            format!("--{name} {rate} is not between 0 and 1e9 a second")
        })?;
    }
    check((0.0..=1.0).contains(&options.slow), || {
        format!("--slow {} is not between 0 (nobody) and 1 (everybody)", options.slow)
    })?;
    check(options.slow_rate > 0, || "--slow-rate must be at least 1 byte a second".into())?;
    check(options.storm.is_empty() || !options.find_max, || {
        "--storm does not go with --find-max: each step would have its storms".into()
    })?;
    let mut storms = options.storm.clone();
    storms.sort();
    if let Some(late) = storms.iter().find(|storm| **storm >= options.duration) {
        return Err(format!(
            "--storm {late:?} is not within --duration {:?}, from whose start it counts",
            options.duration
        ));
    }
    let away = options.away;
    check(storms.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] >= away), || {
        format!("--storm: they must be --away {away:?} apart at least, and no two at once")
    })
}

fn phases(options: &Options) -> Checked {
    if let Some(rate) = options.connect_rate {
        check(rate > 0.0 && rate <= 1e9, || {
            format!("--connect-rate {rate} is not between 0 and 1e9")
        })?;
    }
    for (name, time) in [
        ("duration", options.duration),
        ("connect-timeout", options.connect_timeout),
        ("lag-budget", options.lag_budget),
    ] {
        check(!time.is_zero(), || format!("--{name} must be longer than 0"))?;
    }
    Ok(())
}

/// Is there somebody who can leave? `others`: connections that neither send nor read slowly.
pub(super) fn leavers(options: &Options, others: usize) -> Checked {
    let Options { churn, away, .. } = *options;
    check(churn == 0.0 || others > 0, || {
        format!(
            "--churn {churn}: senders and slow readers stay, and all connections are: use fewer \
             --senders"
        )
    })?;
    let gone = churn * away.as_secs_f64();
    check(gone <= others as f64, || {
        format!(
            "--churn {churn} with --away {away:?} keeps {gone:.0} connections away, but only \
             {others} may leave: use less of either"
        )
    })
}

/// Do the numbers of each sender's messages fit?
pub(super) fn numbers_last(options: &Options, senders: usize) -> Checked {
    let Some(rate) = options.rate else { return Ok(()) };
    let each = rate * (options.warmup + options.duration).as_secs_f64() / senders as f64;
    check(each < 4e9, || {
        format!("a sender would send {each:.0} messages, more than can be numbered: use more")
    })
}

/// What depends on which servers there are.
pub(super) fn servers(options: &Options, servers: &[Server], layout: &Layout) -> Checked {
    let (rooms, number) = (layout.rooms(), servers.len());
    check(rooms >= number, || {
        format!("{number} servers (--url) need {number} rooms or more, but there are {rooms}")
    })?;
    let tls = servers.iter().any(|server| server.tls_name.is_some());
    check(options.ca.is_none() || tls, || {
        "--ca is for wss://, but no --url begins with it".into()
    })?;
    if options.dialect != Dialect::Raw || rooms <= number {
        return Ok(());
    }
    let says = |text: &str| text.contains("{room}") || text.contains("{i}");
    let said = says(&options.publish) || options.hello.iter().any(|hello| says(hello));
    let mute = servers.iter().find(|server| server.path.as_deref().is_some_and(|path| !says(path)));
    match mute {
        Some(server) if !said => Err(format!(
            "--rooms {rooms}: the server is not told which: put {{room}} into --url {}, --hello \
             or --publish",
            server.url
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;

    #[test]
    fn nonsense_is_refused_with_the_cure() {
        for (arguments, why) in [
            ("-c 0", "--connections 0: must be"),
            ("--url ws://a:1 --url ws://b:2 --server-pid 1 --rooms 2", "one for each of the 2"),
            ("-c 1000000000000", "--connections"),
            ("-c 10 --rooms 11", "--rooms 11"),
            ("-c 10 --rooms 0", "--rooms 0"),
            ("-c 10 --rooms 5 --active-rooms 6", "--active-rooms 6 is not between 1 and --rooms 5"),
            ("-c 10 --active-rooms 0", "--active-rooms 0"),
            ("-c 10 --senders 11", "--senders 11: the 1 active rooms have 10"),
            ("-c 10 --senders 0", "--senders 0"),
            ("-c 10 --rooms 5 --senders 4", "--active-rooms 4"),
            ("-c 10 --rooms 5 --active-rooms 1 --senders 3", "have 2 members"),
            ("-c 10 --senders-per-room 0", "--senders-per-room must"),
            ("-c 10 --dialect echo --rooms 5", "a room of its own"),
            ("-c 10 --dialect echo --room-sizes zipf:1", "a room of its own"),
            ("-c 10 --dialect echo --senders 11", "--senders 11 is not between 1 and --conn"),
            ("--payload 12", "--payload 12 is not between 64 and 60000"),
            ("--payload 64-60001", "--payload 64-60001"),
            ("--duration 0s", "--duration"),
            ("--connect-timeout 0s", "--connect-timeout"),
            ("--lag-budget 0s", "--lag-budget"),
            ("--connect-rate 0", "--connect-rate 0"),
            ("--namespace a:b", "--namespace"),
            ("--namespace=", "--namespace"),
            ("--room-prefix a/", "--room-prefix"),
            ("--token \u{e9}", "--token"),
            ("--dialect plain --encoding protobuf", "--encoding protobuf is only for"),
            ("--dialect plain --recover", "--recover is only for --dialect ringchat"),
            ("--dialect raw --presence-rate 1", "--presence-rate is only"),
            ("--dialect echo --history-rate 1", "--history-rate is only"),
            ("--hello a", "--hello is only for --dialect raw"),
            ("--joined a", "--joined is only for --dialect raw"),
            ("--publish a{payload}", "--publish is only for --dialect raw"),
            ("--dialect raw --publish a", "{payload}"),
            ("--dialect raw --publish {payload}{payload}", "once"),
            ("--dialect raw --joined=", "--joined is empty"),
            ("--dialect raw --rooms 2 --url ws://127.0.0.1/x", "put {room} into --url ws://"),
            ("--churn=-1", "--churn -1"),
            ("--churn 10 --senders 100", "use fewer --senders"),
            ("--churn 10 --away 10s", "only 90 may leave"),
            ("--presence-rate NaN", "--presence-rate NaN"),
            ("--slow 1.5", "--slow 1.5"),
            ("--slow NaN", "--slow NaN"),
            ("--slow 0.1 --slow-rate 0", "--slow-rate"),
            ("--storm 10s", "--storm 10s is not within --duration 10s"),
            ("--storm 2s --storm 1s --away 2s", "--away 2s apart"),
            ("--storm 2s --storm 2s", "no two at once"),
            ("--url http://127.0.0.1", "give ws://"),
            ("--url ws://127.0.0.1:1 --url ws://127.0.0.1:2", "need 2 rooms or more"),
            ("--ca a.pem", "--ca is for wss://"),
            ("--source ::1", "cannot reach"),
            ("--duration 24h --senders 1 --rate 50000", "more than can be numbered"),
        ] {
            let load = if arguments.contains("--rate") { "" } else { "--rate 5" };
            let error = plan(&format!("{arguments} {load}")).map(|_| ()).unwrap_err();
            assert!(error.contains(why), "{arguments}: {error}");
        }
    }

    #[test]
    fn loads_are_between_their_bounds() {
        for (arguments, why) in [
            ("--rate NaN", "--rate NaN"),
            ("--rate inf", "--rate inf"),
            ("--rate 0", "--rate 0"),
            ("--rate 1e10", "--rate 10000000000"),
            ("--closed 0", "--closed 0"),
            ("--closed 1000001", "--closed 1000001"),
            ("--closed 1 --arrivals poisson", "--arrivals poisson needs --rate"),
            ("--find-max --find-from 0", "--find-from 0"),
            ("--find-max --storm 1s", "--storm does not go with --find-max"),
        ] {
            let error = plan(arguments).map(|_| ()).unwrap_err();
            assert!(error.contains(why), "{arguments}: {error}");
        }
    }

    #[test]
    fn what_makes_sense_passes() {
        for arguments in [
            "--rate 1e9 --senders 100",
            "--rate 0.001 --payload 64-60000",
            "--closed 1000000",
            "--find-max --churn 5",
            "--rate 1 --storm 9s --storm 1s --away 8s --recover --encoding protobuf",
            "--rate 1 --presence-rate 5 --history-rate 5 --namespace chat --room-prefix=",
            "--rate 1 --dialect raw --rooms 2",
            "--rate 1 --dialect raw --rooms 2 --url ws://127.0.0.1/x?{room}",
            "--rate 1 --dialect raw --rooms 2 --url ws://127.0.0.1/x --hello {room} --joined ok",
            "--rate 1 --dialect raw --rooms 2 --url ws://127.0.0.1/x --publish {i}{payload}",
            "--rate 1 --dialect raw --rooms 2 --url ws://127.0.0.1:1/x --url ws://127.0.0.1:2/x",
            "--rate 1 --ca a.pem --url wss://127.0.0.1",
            "--rate 1 --churn 10 --away 9s",
            "--rate 1 --source 127.0.0.1-127.0.0.9",
        ] {
            assert_eq!(plan(arguments).map(|_| ()), Ok(()), "{arguments}");
        }
    }
}
