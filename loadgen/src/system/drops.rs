//! What this machine's kernel refused or dropped.
//!
//! The counters are the whole machine's (network namespace's): what a server or another program here
//! lost counts as well. Read only twice a run.

use std::collections::BTreeMap;

/// Counters of which growth means that a connection or a segment was refused or dropped here: the
/// file's group, the counter, and the name under which it is reported.
///
/// Not among them, since they grow in healthy runs: `PruneCalled`, `TCPRcvCollapsed`,
/// `TCPZeroWindowDrop`, `TCPToZeroWindowAdv` (a reader that is slow on purpose), `TCPLossProbes`,
/// `RetransSegs`, `TCPTimeouts`, `TCPOFODrop` (any network), `TCPTimeWaitOverflow` (nothing is
/// lost), `TCPAbortOnData`, `TCPAbortOnClose`, `EstabResets`, `AttemptFails` (peers that leave;
/// connections of the run that fail are counted by the run itself). `TCPReqQFullDoCookies` and
/// `TCPMemoryPressures` drop nothing by themselves.
const COUNTERS: [(&str, &str, &str); 13] = [
    // The accept queue was full (backlog, net.core.somaxconn): a handshake was thrown away, and
    // the client tries again after a second.
    ("TcpExt", "ListenOverflows", "ListenOverflows"),
    // The same, and all other reasons for which a listener ignored a SYN.
    ("TcpExt", "ListenDrops", "ListenDrops"),
    // Too many half-open connections (net.ipv4.tcp_max_syn_backlog), and no SYN cookies.
    ("TcpExt", "TCPReqQFullDrop", "TCPReqQFullDrop"),
    // A segment came while the process was busy with its socket, and the wait list was full.
    ("TcpExt", "TCPBacklogDrop", "TCPBacklogDrop"),
    // A connection was killed for lack of TCP memory (net.ipv4.tcp_mem, tcp_max_orphans).
    ("TcpExt", "TCPAbortOnMemory", "TCPAbortOnMemory"),
    // A segment was thrown away since its socket's buffer, or all of TCP's, was full. Flow control
    // keeps a slow reader from that.
    ("TcpExt", "RcvPruned", "RcvPruned"),
    ("TcpExt", "TCPRcvQDrop", "TCPRcvQDrop"),
    // The machine was out of memory and kept the rest for swapping.
    ("TcpExt", "PFMemallocDrop", "PFMemallocDrop"),
    // A segment could not be sent again: no memory, or a full device queue.
    ("TcpExt", "TCPRetransFail", "TCPRetransFail"),
    // Damaged segments.
    ("Tcp", "InErrs", "TcpInErrs"),
    // Packets without fault, thrown away for lack of space.
    ("Ip", "InDiscards", "IpInDiscards"),
    ("Ip", "OutDiscards", "IpOutDiscards"),
    // A CPU's queue of received packets, those of loopback as well, was full
    // (net.core.netdev_max_backlog): TCP sends again, at best some milliseconds later.
    (SOFTNET, "dropped", "SoftnetDropped"),
];

/// A counter of the whole machine, other containers included: worth a word, but no proof that the
/// run was disturbed.
pub const MACHINE_WIDE: &str = "SoftnetDropped";
/// Group of what is read from `softnet_stat`, which has no names.
const SOFTNET: &str = "softnet";

/// Counters at one moment.
#[derive(Debug, Clone)]
pub struct KernelDrops(BTreeMap<&'static str, u64>);

impl KernelDrops {
    /// As they are now; those that cannot be read are left out.
    pub fn now() -> KernelDrops {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        KernelDrops(parse(
            &(read("/proc/net/netstat") + &read("/proc/net/snmp")),
            &read("/proc/net/softnet_stat"),
        ))
    }

    /// Growth since then, by the counter's name; only of those that grew.
    pub fn since(&self) -> BTreeMap<String, u64> {
        self.until(&KernelDrops::now())
    }

    fn until(&self, end: &KernelDrops) -> BTreeMap<String, u64> {
        let growth = |(name, end): (&&'static str, &u64)| {
            let grown = end.saturating_sub(*self.0.get(name)?);
            (grown > 0).then(|| ((*name).to_owned(), grown))
        };
        end.0.iter().filter_map(growth).collect()
    }
}

/// `named`: pairs of lines, names and values, both beginning with the group. `softnet`: a line per
/// CPU, columns in hexadecimal, the second one counts drops.
fn parse(named: &str, softnet: &str) -> BTreeMap<&'static str, u64> {
    let mut counters = BTreeMap::new();
    let mut note = |group: &str, name: &str, value: u64| {
        if let Some(known) = COUNTERS.iter().find(|c| c.0 == group && c.1 == name) {
            *counters.entry(known.2).or_insert(0) += value;
        }
    };
    let lines: Vec<&str> = named.lines().collect();
    for pair in lines.chunks_exact(2) {
        let [Some((group, names)), Some((same, values))] = [0, 1].map(|i| pair[i].split_once(':'))
        else {
            continue;
        };
        if group != same {
            continue;
        }
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            // `MaxConn` is -1.
            if let Ok(value) = value.parse() {
                note(group, name, value);
            }
        }
    }
    for line in softnet.lines() {
        let dropped = line.split_whitespace().nth(1).map(|n| u64::from_str_radix(n, 16));
        if let Some(Ok(dropped)) = dropped {
            note(SOFTNET, "dropped", dropped);
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(named: &str, softnet: &str) -> KernelDrops {
        KernelDrops(parse(named, softnet))
    }

    #[test]
    fn only_growth_of_drops_counts() {
        let check = |before: (&str, &str), after: (&str, &str), want: &[(&str, u64)]| {
            let grown = at(before.0, before.1).until(&at(after.0, after.1));
            let want: BTreeMap<String, u64> =
                want.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
            assert_eq!(grown, want, "{before:?} {after:?}");
        };
        let one = "TcpExt: DelayedACKs ListenOverflows TCPBacklogDrop\nTcpExt: 5 1 7\n";
        let two = "TcpExt: DelayedACKs ListenOverflows TCPBacklogDrop\nTcpExt: 9 4 7\n";
        check((one, ""), (two, ""), &[("ListenOverflows", 3)]);
        check((one, ""), (one, ""), &[]);
        // Went back to 0, or was not there before: no growth.
        check((two, ""), (one, ""), &[]);
        check(("", ""), (two, ""), &[]);
        check((two, ""), ("", ""), &[]);
        check(
            ("Tcp: MaxConn InErrs\nTcp: -1 0\nUdp: InErrors\nUdp: 0\n", ""),
            ("Tcp: MaxConn InErrs\nTcp: -1 2\nUdp: InErrors\nUdp: 8\n", ""),
            &[("TcpInErrs", 2)],
        );
        let cpus = ("0a 00000001 00\n0b 00000002 00\n", "0a 00000001 00\n0b 00000012 00\n");
        check(("", cpus.0), ("", cpus.1), &[("SoftnetDropped", 16)]);
        // Nonsense is no reason to fail.
        check(("a\nb\nTcpExt: x\nIpExt: 5\nTcpExt:", "zz\n1 zz"), (two, cpus.1), &[]);
    }

    #[test]
    fn this_kernel_has_the_counters() {
        let now = KernelDrops::now();
        assert!(now.0.contains_key("ListenOverflows") && now.0.contains_key("SoftnetDropped"));
        assert!(now.since().keys().all(|name| COUNTERS.iter().any(|c| c.2 == name)));
    }
}
