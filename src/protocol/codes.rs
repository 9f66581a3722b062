//! Every error and disconnect code of the protocol, with its text and whether the client may
//! try again. Numbers and texts are the protocol's ("Client protocol codes" in its public docs).

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
/// Too many commands per second.
pub const TOO_MANY_REQUESTS: ErrorCode = temporary(111, "too many requests");
/// The position asked for is not in the history.
pub const UNRECOVERABLE_POSITION: ErrorCode = error(112, "unrecoverable position");

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
/// The server goes away.
pub const SHUTDOWN: Disconnect = Disconnect::new(3001, "shutdown");
/// The connection's token ran out.
pub const EXPIRED: Disconnect = Disconnect::new(3005, "connection expired");
/// The client does not take what it is sent.
pub const SLOW: Disconnect = Disconnect::new(3008, "slow");
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
/// The server takes only clients with a token, or permission was refused for the connection.
pub const PERMISSION_DENIED_CLOSE: Disconnect = Disconnect::new(3507, "permission denied");
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
    TOO_MANY_REQUESTS,
    UNRECOVERABLE_POSITION,
];

/// Every disconnect, for documentation and tests.
pub const DISCONNECTS: &[Disconnect] = &[
    NORMAL,
    GOING_AWAY,
    UNSUPPORTED_DATA,
    SHUTDOWN,
    EXPIRED,
    SLOW,
    NO_PONG,
    TOO_MANY_REQUESTS_CLOSE,
    INVALID_TOKEN,
    BAD_REQUEST_CLOSE,
    STALE,
    PERMISSION_DENIED_CLOSE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_reasons_fit_a_close_frame() {
        let mut errors: Vec<u16> = ERRORS.iter().map(|e| e.code).collect();
        errors.dedup();
        assert_eq!(errors.len(), ERRORS.len());
        let mut closes: Vec<u16> = DISCONNECTS.iter().map(|d| d.code).collect();
        closes.sort_unstable();
        closes.dedup();
        assert_eq!(closes.len(), DISCONNECTS.len());
        assert!(DISCONNECTS.iter().all(|d| d.reason.len() <= 123));
    }

    #[test]
    fn only_terminal_codes_forbid_a_reconnect() {
        assert!(SLOW.may_reconnect() && SHUTDOWN.may_reconnect() && GOING_AWAY.may_reconnect());
        assert!(!STALE.may_reconnect() && !BAD_REQUEST_CLOSE.may_reconnect());
    }
}
