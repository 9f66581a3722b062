//! The program itself: every byte arrives, and nonsense is refused.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn floor(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_floor")).args(arguments.split_whitespace()).output().unwrap()
}

#[test]
fn every_byte_arrives() {
    // Whole and fractional batches, one room and several, both ways of waiting, a frame larger
    // than a socket's buffer at first.
    for (size, batch, bytes, wait) in [
        ("--members 10", 1.0, 132, "sleep"),
        ("--members 10", 2.5, 132, "spin"),
        ("--rooms 3 --members 4", 32.0, 70_000, "sleep"),
        ("--members 10 --through ring", 2.5, 132, "sleep"),
        ("--rooms 3 --members 4 --through ring", 32.0, 70_000, "sleep"),
        ("--rooms 3 --members 70 --through ring", 1.0, 132, "spin"),
        ("--members 10 --through dispatcher", 2.5, 132, "sleep"),
        ("--rooms 3 --members 4 --through dispatcher", 32.0, 70_000, "sleep"),
    ] {
        let arguments = format!(
            "{size} --batch {batch} --bytes {bytes} --reader-wait {wait} --seconds 0.2 \
             --warmup 0.05 --cpu any --reader-cpu any"
        );
        let output = floor(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {errors}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let number = |name: &str| report[name].as_f64().unwrap();
        let sockets = number("rooms") * number("members");
        let expected = number("rounds") * sockets * batch;
        // A window may begin and end in the middle of a fraction: one frame per socket at most.
        assert!((number("deliveries") - expected).abs() <= sockets, "{report}");
        assert!(number("received_bytes") >= number("deliveries") * f64::from(bytes), "{report}");
        assert!(number("rounds") >= 1.0 && number("ns_per_delivery") > 0.0, "{report}");
    }
}

/// A server of this program; ends with the test.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(kind: &str) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floor"));
        command.args([kind, "--port", "0"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Server { child, address: line.trim().parse().unwrap() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// A WebSocket to this path.
    fn open(&self, path: &str) -> TcpStream {
        let mut client = self.connect();
        let head =
            format!("GET {path} HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        assert!(read(&mut client, 129).ends_with(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(client: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    client.read_exact(&mut bytes).unwrap();
    bytes
}

const MASKED_HELLO: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
const HELLO: &[u8] = b"\x81\x05Hello";

#[test]
fn a_connection_is_upgraded_and_heard() {
    let server = Server::start("accept");
    let mut client = server.open("/");
    client.write_all(MASKED_HELLO).unwrap();
    assert_eq!(read(&mut client, 7), HELLO);
}

#[test]
fn a_relay_sends_to_its_room_and_counts() {
    let server = Server::start("relay");
    let [mut ann, mut ben, mut other] = ["/a", "/a", "/b"].map(|path| server.open(path));
    // In two pieces: the first is no whole frame.
    ann.write_all(&MASKED_HELLO[..4]).unwrap();
    other.write_all(MASKED_HELLO).unwrap();
    assert_eq!(read(&mut other, 7), HELLO);
    ann.write_all(&MASKED_HELLO[4..]).unwrap();
    for client in [&mut ann, &mut ben] {
        assert_eq!(read(client, 7), HELLO);
    }
    // Who breaks the protocol goes, and the room is served without it.
    ben.write_all(b"\x81\x05Hello").unwrap();
    assert_eq!(ben.read(&mut [0]).unwrap(), 0);
    ann.write_all(&[MASKED_HELLO, MASKED_HELLO].concat()).unwrap();
    assert_eq!(read(&mut ann, 14), HELLO.repeat(2));

    let mut asking = server.connect();
    asking.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut page = String::new();
    asking.read_to_string(&mut page).unwrap();
    for line in ["relay_deliveries_total 5\n", "relay_sent_bytes_total 35\n"] {
        assert!(page.contains(line), "{page}");
    }
    let seconds = page.split("relay_sending_cpu_seconds_total ").nth(1).unwrap();
    assert!(seconds.trim().parse::<f64>().unwrap() > 0.0, "{page}");
}

#[test]
fn nonsense_is_refused_and_trouble_said() {
    for (arguments, status, why) in [
        ("--bytes 128", 2, "no frame is 128 bytes long"),
        ("--layout D", 2, "possible values"),
        ("--members 2 --cpu 99999", 1, "--cpu: cannot run on CPU 99999"),
        ("--members 2 --cpu any --reader-cpu 1000", 1, "--reader-cpu"),
    ] {
        let output = floor(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {errors}");
        assert!(errors.contains(why), "{arguments}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}
