//! Just enough HTTP to look at what the server answers, byte by byte if need be.

use super::DEADLINE;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

#[derive(Debug)]
pub struct Response {
    /// 0: the connection ended without an answer.
    pub status: u16,
    pub head: String,
    pub body: String,
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub fn get(address: SocketAddr, path: &str) -> Response {
    request(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
}

/// Sends `bytes` and reads until the connection ends.
pub fn request(address: SocketAddr, bytes: &str) -> Response {
    let mut stream = connect(address);
    // A refusal may come, and the connection end, before all is written.
    let _ = stream.write_all(bytes.as_bytes());
    read_to_end(&mut stream)
}

/// Reads until the connection ends.
pub fn read_to_end(stream: &mut TcpStream) -> Response {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
            // A server process of another test has ended: SIGCHLD.
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => panic!("after {:?}: {e}", String::from_utf8_lossy(&bytes)),
        }
    }
    parse(&bytes)
}

/// Reads one response with a `Content-Length` from a connection that stays.
pub fn read_one(stream: &mut TcpStream) -> Response {
    let mut bytes = Vec::new();
    let mut byte = [0];
    loop {
        let response = parse(&bytes);
        if bytes.windows(4).any(|w| w == b"\r\n\r\n") && response.body.len() == length(&response) {
            return response;
        }
        stream.read_exact(&mut byte).unwrap_or_else(|e| panic!("ended after {bytes:?}: {e}"));
        bytes.push(byte[0]);
    }
}

/// An upgrade request for `path`, with `headers` (lines, each with its line break).
pub fn upgrade(address: SocketAddr, path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {headers}\r\n"
    )
}

/// Sends an upgrade and returns the status of the answer; the connection is dropped.
pub fn upgrade_status(address: SocketAddr, path: &str, headers: &str) -> u16 {
    let mut stream = connect(address);
    stream.write_all(upgrade(address, path, headers).as_bytes()).unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") && stream.read_exact(&mut byte).is_ok() {
        line.push(byte[0]);
    }
    parse(&line).status
}

fn length(response: &Response) -> usize {
    let lines = response.head.lines().map(str::to_ascii_lowercase);
    let mut lengths = lines.filter_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
    lengths.next().unwrap_or(0)
}

fn parse(bytes: &[u8]) -> Response {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.trim().parse().ok()).unwrap_or(0);
    Response { status, head: head.to_owned(), body: body.to_owned() }
}
