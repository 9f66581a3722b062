//! Where the work is done: threads on their cores, connections spread over the workers, sockets
//! served by the ring.

use super::support::server::BINARY;
use super::support::*;
use std::fs;
use std::process::Command;

#[test]
fn connections_are_spread_evenly() {
    let server = Server::start(&[]);
    let clients: Vec<Sdk> = (0..64).map(|_| Sdk::connect(server.address)).collect();
    let spread = server.sessions();
    assert_eq!(spread.iter().sum::<u64>(), clients.len() as u64);
    assert!(spread.iter().all(|n| *n <= 64 * 60 / 100), "spread {spread:?}");
}

#[test]
fn each_worker_has_a_core_of_its_own() {
    let server = Server::start(&[]);
    let cores: Vec<String> = ["ringchat-w0", "ringchat-w1"]
        .map(|name| {
            let status = task_status(server.pid(), name);
            let line = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"));
            line.unwrap_or_else(|| panic!("{status}")).trim().to_owned()
        })
        .to_vec();
    assert!(cores.iter().all(|c| c.parse::<u32>().is_ok()), "one core each: {cores:?}");
    assert_ne!(cores[0], cores[1]);
}

/// `/proc/PID/task/*/status` of the thread called `name`.
fn task_status(pid: u32, name: &str) -> String {
    let mut names = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let path = task.unwrap().path();
        let Ok(comm) = fs::read_to_string(path.join("comm")) else { continue };
        if comm.trim() == name {
            return fs::read_to_string(path.join("status")).unwrap();
        }
        names.push(comm.trim().to_owned());
    }
    panic!("no thread {name} among {names:?}");
}

/// Counts system calls while clients chat. Not part of every run, since it needs `strace` and the
/// permission to trace; tests/run.sh runs it.
#[test]
#[ignore = "needs strace"]
fn sockets_are_served_by_the_ring() {
    const CLIENTS: usize = 200;
    const MESSAGES: usize = 50;
    let folder = std::env::temp_dir().join(format!("ringchat-strace-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let counts = folder.join("counts");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(&counts).arg(BINARY);
    let mut server = Server::command(command.args(["--listen", "127.0.0.1:0", "--workers", "2"]));
    let room = "pubsub";
    let mut clients: Vec<Sdk> = (0..CLIENTS)
        .map(|_| {
            let mut client = Sdk::connect(server.address);
            client.subscribe(room);
            client
        })
        .collect();
    for n in 0..MESSAGES {
        clients[n].publish(room, serde_json::json!(n));
        for client in &mut clients {
            assert_eq!(client.publication()["data"], n);
        }
    }
    // strace passes no signal on: the server itself is told.
    let child = fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).unwrap();
    let status = Command::new("kill").args(["-s", "TERM", child.trim()]).status().unwrap();
    assert!(status.success());
    in_parallel(clients, |_, mut client| assert_eq!(client.socket.closed().code(), 3001));
    server.wait();

    let report = fs::read_to_string(&counts).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    println!("{report}");
    let calls = |name: &str| -> usize {
        let mut lines = report.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|l| l.last() == Some(&name));
        line.map_or(0, |l| l[0].parse().unwrap())
    };
    // 10,000 deliveries. A few writes are the start line, the signal, and wake-ups of threads.
    assert!(calls("io_uring_enter") > 0, "no ring:\n{report}");
    for name in ["sendto", "sendmsg", "sendmmsg", "writev"] {
        assert!(calls(name) < 10, "{name} on a socket:\n{report}");
    }
    assert!(calls("write") < MESSAGES * 10, "write:\n{report}");
    assert!(calls("epoll_ctl") < CLIENTS / 4, "epoll_ctl per client:\n{report}");
}
