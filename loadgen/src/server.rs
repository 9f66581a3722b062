//! A server of the run: its URL taken apart and looked up, and the addresses to connect from.
//!
//! Opens nothing. Tests at the end.

use crate::layout::Layout;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// A server of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// As given.
    pub url: String,
    /// Where to connect to.
    pub address: SocketAddr,
    /// `Host` of the upgrade request, as given.
    pub host: String,
    /// The host alone, for TLS; none: `ws://`.
    pub tls_name: Option<String>,
    /// Path given in the URL, if any, with its `{i}` and `{room}`.
    pub path: Option<String>,
}

impl Server {
    /// Takes `ws://HOST:PORT/PATH` or `wss://...` apart and looks the host up.
    ///
    /// Errors: what is wrong with which URL, in one line.
    pub fn new(url: &str) -> Result<Server, String> {
        let wrong = |what: &str| format!("--url {url}: {what}");
        let example = "give ws://HOST:PORT or wss://HOST:PORT, with a /PATH or without";
        let (rest, tls, default_port) = if let Some(rest) = url.strip_prefix("ws://") {
            (rest, false, 80)
        } else if let Some(rest) = url.strip_prefix("wss://") {
            (rest, true, 443)
        } else {
            return Err(wrong(example));
        };
        let (host, path) = match rest.find('/') {
            Some(at) if at + 1 < rest.len() => (&rest[..at], Some(rest[at..].to_owned())),
            Some(at) => (&rest[..at], None),
            None => (rest, None),
        };
        if path.as_deref().unwrap_or_default().contains(|c: char| !c.is_ascii_graphic()) {
            return Err(wrong("a path has no blanks and only ASCII: write others as %20"));
        }
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "-_.:[]%".contains(c));
        if host.is_empty() || host.contains(odd) {
            return Err(wrong(example));
        }
        // The last colon outside of an IPv6 address's brackets is the port's.
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => {
                let port = port.parse::<u16>().ok().filter(|port| *port > 0);
                (name, port.ok_or_else(|| wrong("a port is a number from 1 to 65535"))?)
            }
            _ => (host, default_port),
        };
        let name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(inner) => inner,
            None if name.contains([':', '[', ']']) => {
                return Err(wrong("an IPv6 address stands in brackets, as in ws://[::1]:8000"));
            }
            None => name,
        };
        let address = (name, port)
            .to_socket_addrs()
            .map_err(|error| wrong(&format!("cannot look up {name}: {error}")))?
            .next()
            .ok_or_else(|| wrong(&format!("{name} has no address")))?;
        Ok(Server {
            url: url.to_owned(),
            address,
            host: host.to_owned(),
            tls_name: tls.then(|| name.to_owned()),
            path,
        })
    }
}

/// Connections to one server for which one source address is enough by default: fewer than half of
/// the ports that a usual Linux gives out (28,232). `connect` takes the odd ones first and, when
/// those are used up, searches all of them each time: 18,000 connections from one address took 16 s,
/// from two 2 s.
const CONNECTIONS_PER_SOURCE: usize = 12_000;
/// Connections to one server that one source address can have at all: its ports from 1,024 on.
const PORTS: usize = 64_512;

/// Addresses to connect from, and which connection uses which.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    pub(crate) sources: Vec<IpAddr>,
    /// With several servers: a connection's place among those of its server, modulo the number of
    /// sources. Empty: its own number is its place.
    places: std::sync::Arc<[u16]>,
}

impl Routes {
    /// `given`: by the user, if any.
    ///
    /// Errors: what is wrong and what would be right.
    pub(crate) fn new(
        servers: &[Server],
        layout: &Layout,
        given: Vec<IpAddr>,
    ) -> Result<Routes, String> {
        let mut connections = vec![0usize; servers.len()];
        for room in 0..layout.rooms() {
            connections[room % servers.len()] += layout.members(room);
        }
        let to = |server: &Server| connections_to(servers, &connections, server);
        let local =
            |server: &&Server| server.address.is_ipv4() && server.address.ip().is_loopback();
        let sources = match given.is_empty() {
            false => checked(given, servers)?,
            true => {
                let most = servers.iter().filter(local).map(to).max().unwrap_or(0);
                let needed = most.div_ceil(CONNECTIONS_PER_SOURCE);
                let first = Ipv4Addr::LOCALHOST.to_bits();
                let number = if needed > 1 { needed as u32 } else { 0 };
                (first..first + number).map(|bits| IpAddr::V4(bits.into())).collect()
            }
        };
        let crowded = servers.iter().find(|server| {
            let usable = sources.iter().filter(|source| usable(**source, server.address.ip()));
            to(server) > usable.count().max(1).saturating_mul(PORTS)
        });
        if let Some(server) = crowded {
            return Err(format!(
                "{} connections to {} need {} source addresses, each of which has {PORTS} ports: \
                 give more --source, or more addresses of the server by several --url",
                to(server),
                server.url,
                to(server).div_ceil(PORTS)
            ));
        }
        let mut places = Vec::new();
        if servers.len() > 1 && sources.len() > 1 {
            let mut seen = vec![0usize; servers.len()];
            places.reserve(layout.connections());
            for connection in 0..layout.connections() {
                let place = &mut seen[layout.room_of(connection) % servers.len()];
                places.push((*place % sources.len()) as u16);
                *place += 1;
            }
        }
        Ok(Routes { sources, places: places.into() })
    }

    /// The address from which a connection goes to `server`; none: the system's choice.
    pub(crate) fn source_of(&self, connection: usize, server: &Server) -> Option<IpAddr> {
        if self.sources.is_empty() {
            return None;
        }
        let place = self.places.get(connection).map_or(connection, |place| usize::from(*place));
        let source = self.sources[place % self.sources.len()];
        usable(source, server.address.ip()).then_some(source)
    }
}

/// Connections to the address of `server`, under whichever of its URLs.
fn connections_to(servers: &[Server], connections: &[usize], server: &Server) -> usize {
    let same = |(other, _): &(&Server, &usize)| other.address == server.address;
    servers.iter().zip(connections).filter(same).map(|(_, connections)| connections).sum()
}

/// Sources that can reach all servers, none twice.
fn checked(sources: Vec<IpAddr>, servers: &[Server]) -> Result<Vec<IpAddr>, String> {
    if sources.len() as u128 > crate::values::SOURCES_MAX {
        return Err(format!("--source: at most {} addresses", crate::values::SOURCES_MAX));
    }
    let mut sorted = sources.clone();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("--source: {} is given twice", pair[0]));
    }
    for server in servers {
        let address = server.address.ip();
        if let Some(source) = sources.iter().find(|source| !usable(**source, address)) {
            return Err(format!("--source {source} cannot reach {address} of {}", server.url));
        }
    }
    Ok(sources)
}

/// Can a connection go from `source` to `server`? Not from one family to the other, nor from
/// loopback to elsewhere.
fn usable(source: IpAddr, server: IpAddr) -> bool {
    source.is_ipv4() == server.is_ipv4() && (server.is_loopback() || !source.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::room_sizes;
    use crate::options::{RoomSizes, Sources};
    use std::collections::HashMap;

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("ws://127.0.0.1:9", "127.0.0.1:9", "127.0.0.1:9", None, None),
            ("ws://127.0.0.1/", "127.0.0.1:80", "127.0.0.1", None, None),
            ("ws://[::1]:8/x?y={i}", "[::1]:8", "[::1]:8", None, Some("/x?y={i}")),
            ("ws://[::1]", "[::1]:80", "[::1]", None, None),
            ("wss://127.0.0.1", "127.0.0.1:443", "127.0.0.1", Some("127.0.0.1"), None),
            ("wss://[::1]:8/{room}", "[::1]:8", "[::1]:8", Some("::1"), Some("/{room}")),
        ];
        for (url, address, host, tls_name, path) in cases {
            let server = Server {
                url: url.into(),
                address: address.parse().unwrap(),
                host: host.into(),
                tls_name: tls_name.map(Into::into),
                path: path.map(Into::into),
            };
            assert_eq!(Server::new(url), Ok(server));
        }
        for (url, why) in [
            ("ws://", "give ws://HOST:PORT"),
            ("http://a", "give ws://HOST:PORT"),
            ("127.0.0.1:8000", "give ws://HOST:PORT"),
            ("ws://a b:1", "give ws://HOST:PORT"),
            ("ws://a@b:1", "give ws://HOST:PORT"),
            ("ws://127.0.0.1?x", "give ws://HOST:PORT"),
            ("ws://127.0.0.1:x", "a port is"),
            ("ws://127.0.0.1:0", "a port is"),
            ("ws://127.0.0.1:65536", "a port is"),
            ("ws://::1:8000", "in brackets"),
            ("ws://127.0.0.1/a b", "%20"),
        ] {
            let error = Server::new(url).unwrap_err();
            assert!(error.contains(why) && error.contains(url), "{url}: {error}");
        }
    }

    fn routes(
        urls: &[&str],
        connections: usize,
        rooms: usize,
        given: &str,
    ) -> Result<Routes, String> {
        let servers: Vec<Server> = urls.iter().map(|url| Server::new(url).unwrap()).collect();
        let sizes = room_sizes(connections, rooms, RoomSizes::Equal);
        let layout = Layout::new(sizes, rooms, rooms, 0, 1);
        let given = given.split_whitespace().flat_map(|text| text.parse::<Sources>().unwrap().0);
        let routes = Routes::new(&servers, &layout, given.collect())?;
        // Each source has an even share of each server that it can reach.
        let mut counts: HashMap<(usize, Option<IpAddr>), usize> = HashMap::new();
        for connection in 0..connections {
            let server = layout.room_of(connection) % servers.len();
            let source = routes.source_of(connection, &servers[server]);
            *counts.entry((server, source)).or_default() += 1;
        }
        for server in 0..servers.len() {
            let of: Vec<usize> =
                counts.iter().filter(|(key, _)| key.0 == server).map(|(_, count)| *count).collect();
            assert!(of.iter().max().unwrap() - of.iter().min().unwrap() <= 1, "{of:?}");
        }
        Ok(routes)
    }

    #[test]
    fn loopback_has_as_many_sources_as_it_needs() {
        for (connections, sources) in [(12_000, 0), (12_001, 2), (24_000, 2), (100_000, 9)] {
            let routes = routes(&["ws://127.0.0.1:1"], connections, 10, "").unwrap();
            assert_eq!(routes.sources.len(), sources, "{connections}");
        }
        let many = routes(&["ws://127.0.0.1:1"], 6_000_000, 10, "").unwrap();
        assert_eq!(many.sources[299], IpAddr::from([127, 0, 1, 44]));
        // Two servers, half of the connections each; not so two names of the same.
        let two = ["ws://127.0.0.1:1", "ws://127.0.0.1:2"];
        assert_eq!(routes(&two, 24_000, 10, "").unwrap().sources.len(), 0);
        assert_eq!(routes(&two, 36_000, 10, "").unwrap().sources.len(), 2);
        let same = ["ws://127.0.0.1:1/a", "ws://127.0.0.1:1/b"];
        assert_eq!(routes(&same, 24_000, 10, "").unwrap().sources.len(), 2);
        // Only where loopback sources lead to.
        let mixed = routes(&["ws://[::1]:1", "ws://127.0.0.1:1"], 60_000, 60_000, "").unwrap();
        assert_eq!(mixed.sources.len(), 3);
        assert_eq!(routes(&["ws://[::1]:1"], 30_000, 1, "").unwrap().sources.len(), 0);
    }

    #[test]
    fn given_sources_are_shared_evenly_by_each_server() {
        let two = ["ws://127.0.0.1:1", "ws://127.0.0.2:1"];
        for (connections, rooms) in [(1000, 1000), (999, 7), (1000, 2)] {
            let routes = routes(&two, connections, rooms, "127.0.0.1-127.0.0.4 127.0.1.1").unwrap();
            assert_eq!(routes.sources.len(), 5);
        }
    }

    #[test]
    fn what_cannot_connect_is_refused() {
        for (url, connections, given, why) in [
            ("ws://127.0.0.1:1", 10, "::1", "cannot reach 127.0.0.1"),
            ("ws://10.0.0.1:1", 10, "127.0.0.1", "cannot reach 10.0.0.1"),
            ("ws://10.0.0.1:1", 10, "10.0.0.5 10.0.0.1-10.0.0.9", "10.0.0.5 is given twice"),
            ("ws://10.0.0.1:1", 64_513, "", "need 2 source addresses"),
            ("ws://127.0.0.1:1", 64_513, "127.0.0.1", "need 2 source addresses"),
            ("ws://[::1]:1", 200_000, "", "need 4 source addresses"),
        ] {
            let error = routes(&[url], connections, 1, given).map(|_| ()).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
        assert!(routes(&["ws://10.0.0.1:1"], 64_512, 1, "").is_ok());
    }
}
