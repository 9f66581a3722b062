//! Every error, unsubscribe and disconnect code of the protocol, with its text and whether the client
//! may try again. Numbers and texts are the protocol's ("Client protocol codes" in its public docs).
//! Some stand here for completeness: this server never sends them.

/// The answer to one command that could not be carried out; the connection stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// Number on the wire.
    pub code: u16,
    /// Text on the wire.
    pub message: &'static str,
    /// An SDK repeats the command only if this is set.
    pub temporary: bool,
}

const fn error(code: u16, message: &'static str) -> ErrorCode {
    ErrorCode { code, message, temporary: false }
}

const fn temporary(code: u16, message: &'static str) -> ErrorCode {
    ErrorCode { code, message, temporary: true }
}

/// The server's fault.
pub const INTERNAL: ErrorCode = temporary(100, "internal server error");
/// A token is needed.
pub const UNAUTHORIZED: ErrorCode = error(101, "unauthorized");
/// The room's name is in a namespace that is not configured.
pub const UNKNOWN_CHANNEL: ErrorCode = error(102, "unknown channel");
/// The client may not do this here.
pub const PERMISSION_DENIED: ErrorCode = error(103, "permission denied");
/// No such rpc method.
pub const METHOD_NOT_FOUND: ErrorCode = error(104, "method not found");
/// The connection has joined this room already.
pub const ALREADY_SUBSCRIBED: ErrorCode = error(105, "already subscribed");
/// A limit is reached (rooms, name length, list size).
pub const LIMIT_EXCEEDED: ErrorCode = error(106, "limit exceeded");
/// The command's content cannot be used.
pub const BAD_REQUEST: ErrorCode = error(107, "bad request");
/// Switched off here (history in a room without one, say).
pub const NOT_AVAILABLE: ErrorCode = error(108, "not available");
/// The token's time is over: the SDK fetches a new one.
pub const TOKEN_EXPIRED: ErrorCode = error(109, "token expired");
/// The connection's or the subscription's time is over, and no token is involved.
pub const EXPIRED_ERROR: ErrorCode = error(110, "expired");
/// Too many commands per second.
pub const TOO_MANY_REQUESTS: ErrorCode = temporary(111, "too many requests");
/// The position asked for is not in the history.
pub const UNRECOVERABLE_POSITION: ErrorCode = error(112, "unrecoverable position");
/// A page of a list was asked for while another one was being made.
pub const CONCURRENT_PAGINATION: ErrorCode = temporary(113, "concurrent pagination");

/// Why the server took a client out of a room: code and reason of an unsubscribe push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Number on the wire, 2000-2999.
    pub code: u16,
    /// Text on the wire.
    pub reason: &'static str,
}

impl Unsubscribe {
    const fn new(code: u16, reason: &'static str) -> Unsubscribe {
        Unsubscribe { code, reason }
    }

    /// Whether a client that honours the protocol joins the room again by itself.
    pub fn may_resubscribe(self) -> bool {
        self.code >= 2500
    }
}

/// The server's API took the user out.
pub const SERVER_UNSUBSCRIBE: Unsubscribe = Unsubscribe::new(2000, "server unsubscribe");
/// The client's position does not fit the stream: it recovers by joining again.
pub const INSUFFICIENT_STATE: Unsubscribe = Unsubscribe::new(2500, "insufficient state");
/// The subscription's token ran out.
pub const SUBSCRIPTION_EXPIRED: Unsubscribe = Unsubscribe::new(2501, "subscription expired");

/// Why the server closed a connection: the code and reason of the WebSocket Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnect {
    /// Number on the wire. 3000-3499: the client may reconnect; 3500-3999: it must not.
    pub code: u16,
    /// Text on the wire, at most 123 bytes.
    pub reason: &'static str,
}

impl Disconnect {
    const fn new(code: u16, reason: &'static str) -> Disconnect {
        Disconnect { code, reason }
    }

    /// Whether a client that honours the protocol connects again by itself.
    pub fn may_reconnect(self) -> bool {
        !matches!(self.code, 3500..=3999 | 4500..=4999)
    }
}

/// Normal closure, answering the client's own Close frame (RFC 6455 section 7.4.1).
pub const NORMAL: Disconnect = Disconnect::new(1000, "");
/// The server goes away, in the words of RFC 6455 (plain clients).
pub const GOING_AWAY: Disconnect = Disconnect::new(1001, "shutdown");
/// The connection ended without a word of the server.
pub const CONNECTION_CLOSED: Disconnect = Disconnect::new(3000, "connection closed");
/// The server goes away.
pub const SHUTDOWN: Disconnect = Disconnect::new(3001, "shutdown");
/// The server's fault.
pub const SERVER_ERROR: Disconnect = Disconnect::new(3004, "internal server error");
/// The connection's token ran out.
pub const EXPIRED: Disconnect = Disconnect::new(3005, "connection expired");
/// A subscription's token ran out.
pub const SUBSCRIPTION_EXPIRED_CLOSE: Disconnect = Disconnect::new(3006, "subscription expired");
/// The client does not take what it is sent.
pub const SLOW: Disconnect = Disconnect::new(3008, "slow");
/// Writing to the connection failed.
pub const WRITE_ERROR: Disconnect = Disconnect::new(3009, "write error");
/// The client's position does not fit a stream: it recovers by coming back.
pub const INSUFFICIENT_STATE_CLOSE: Disconnect = Disconnect::new(3010, "insufficient state");
/// The server wants the client to connect anew.
pub const FORCE_RECONNECT: Disconnect = Disconnect::new(3011, "force reconnect");
/// No answer to a ping.
pub const NO_PONG: Disconnect = Disconnect::new(3012, "no pong");
/// Commands kept coming above the limit.
pub const TOO_MANY_REQUESTS_CLOSE: Disconnect = Disconnect::new(3013, "too many requests");
/// The token is not one of ours.
pub const INVALID_TOKEN: Disconnect = Disconnect::new(3500, "invalid token");
/// Malformed, without `id`, unknown, or out of order.
pub const BAD_REQUEST_CLOSE: Disconnect = Disconnect::new(3501, "bad request");
/// No `connect` command in time.
pub const STALE: Disconnect = Disconnect::new(3502, "stale");
/// The server does not want the client any more.
pub const FORCE_DISCONNECT: Disconnect = Disconnect::new(3503, "force disconnect");
/// More connections than one user may have.
pub const CONNECTION_LIMIT: Disconnect = Disconnect::new(3504, "connection limit");
/// More rooms than one connection may join.
pub const CHANNEL_LIMIT: Disconnect = Disconnect::new(3505, "channel limit");
/// What is to be sent has no form in the client's encoding.
pub const INAPPROPRIATE_PROTOCOL: Disconnect = Disconnect::new(3506, "inappropriate protocol");
/// The server takes only clients with a token, or permission was refused for the connection.
pub const PERMISSION_DENIED_CLOSE: Disconnect = Disconnect::new(3507, "permission denied");
/// Switched off here, in answer to something that has no reply.
pub const NOT_AVAILABLE_CLOSE: Disconnect = Disconnect::new(3508, "not available");
/// The client makes too many errors.
pub const TOO_MANY_ERRORS: Disconnect = Disconnect::new(3509, "too many errors");
/// A message of a type that the endpoint does not take (RFC 6455 section 7.4.1).
pub const UNSUPPORTED_DATA: Disconnect = Disconnect::new(1003, "text messages only");

/// Every error, for documentation and tests.
pub const ERRORS: &[ErrorCode] = &[
    INTERNAL,
    UNAUTHORIZED,
    UNKNOWN_CHANNEL,
    PERMISSION_DENIED,
    METHOD_NOT_FOUND,
    ALREADY_SUBSCRIBED,
    LIMIT_EXCEEDED,
    BAD_REQUEST,
    NOT_AVAILABLE,
    TOKEN_EXPIRED,
    EXPIRED_ERROR,
    TOO_MANY_REQUESTS,
    UNRECOVERABLE_POSITION,
    CONCURRENT_PAGINATION,
];

/// Every unsubscribe, for documentation and tests.
pub const UNSUBSCRIBES: &[Unsubscribe] =
    &[SERVER_UNSUBSCRIBE, INSUFFICIENT_STATE, SUBSCRIPTION_EXPIRED];

/// Every disconnect, for documentation and tests.
pub const DISCONNECTS: &[Disconnect] = &[
    NORMAL,
    GOING_AWAY,
    UNSUPPORTED_DATA,
    CONNECTION_CLOSED,
    SHUTDOWN,
    SERVER_ERROR,
    EXPIRED,
    SUBSCRIPTION_EXPIRED_CLOSE,
    SLOW,
    WRITE_ERROR,
    INSUFFICIENT_STATE_CLOSE,
    FORCE_RECONNECT,
    NO_PONG,
    TOO_MANY_REQUESTS_CLOSE,
    INVALID_TOKEN,
    BAD_REQUEST_CLOSE,
    STALE,
    FORCE_DISCONNECT,
    CONNECTION_LIMIT,
    CHANNEL_LIMIT,
    INAPPROPRIATE_PROTOCOL,
    PERMISSION_DENIED_CLOSE,
    NOT_AVAILABLE_CLOSE,
    TOO_MANY_ERRORS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_order_without_gaps_and_reasons_fit_a_close_frame() {
        let errors: Vec<u16> = ERRORS.iter().map(|e| e.code).collect();
        assert_eq!(errors, (100..=113).collect::<Vec<_>>());
        let unsubscribes: Vec<u16> = UNSUBSCRIBES.iter().map(|u| u.code).collect();
        assert_eq!(unsubscribes, [2000, 2500, 2501]);
        let closes: Vec<u16> = DISCONNECTS.iter().map(|d| d.code).collect();
        let mut expect = vec![1000, 1001, 1003];
        expect.extend([3000, 3001, 3004, 3005, 3006]);
        expect.extend(3008..=3013);
        expect.extend(3500..=3509);
        assert_eq!(closes, expect);
        assert!(DISCONNECTS.iter().all(|d| d.reason.len() <= 123));
        assert!(ERRORS.iter().all(|e| !e.message.is_empty()));
        assert!(UNSUBSCRIBES.iter().all(|u| !u.reason.is_empty()));
    }

    #[test]
    fn who_may_try_again() {
        let temporary: Vec<u16> = ERRORS.iter().filter(|e| e.temporary).map(|e| e.code).collect();
        assert_eq!(temporary, [100, 111, 113]);
        let again = UNSUBSCRIBES.iter().filter(|u| u.may_resubscribe());
        assert_eq!(again.map(|u| u.code).collect::<Vec<_>>(), [2500, 2501]);
        for disconnect in DISCONNECTS {
            assert_eq!(disconnect.may_reconnect(), disconnect.code < 3500, "{disconnect:?}");
        }
        let own = |code| Disconnect::new(code, "an application's");
        assert!(own(4000).may_reconnect() && own(4499).may_reconnect());
        assert!(!own(4500).may_reconnect() && !own(4999).may_reconnect());
    }
}
