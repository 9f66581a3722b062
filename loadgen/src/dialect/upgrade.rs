//! The server's answer to an upgrade. Pure; tests at the end.

use tungstenite::handshake::derive_accept_key;

/// An answer may not be longer, in bytes.
const ANSWER_MAX: usize = 16 * 1024;

/// Reads the answer to an upgrade with `key`: how long it is, or `None` if it is not complete.
///
/// `protocol`: the subprotocol that was asked for, which the server must have accepted.
/// Errors: why it is not a WebSocket, with the server's own words.
pub fn answer(bytes: &[u8], key: &str, protocol: Option<&str>) -> Result<Option<usize>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < ANSWER_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("an answer without end to the upgrade".into()),
        Err(error) => return Err(format!("not an HTTP answer to the upgrade: {error}")),
    };
    if response.code != Some(101) {
        let code = response.code.unwrap_or_default();
        let body = String::from_utf8_lossy(&bytes[len..bytes.len().min(len + 200)]);
        let reason = response.reason.unwrap_or_default();
        let words = format!("the server refused the upgrade: {code} {reason} {}", body.trim());
        return Err(words.trim_end().to_owned());
    }
    let header = |name: &str| {
        let mut headers = response.headers.iter();
        headers.find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.trim_ascii())
    };
    if header("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err("the server's Sec-WebSocket-Accept does not fit the key".into());
    }
    match (protocol, header("sec-websocket-protocol")) {
        (Some(asked), Some(given)) if given == asked.as_bytes() => Ok(Some(len)),
        (None, None) => Ok(Some(len)),
        (Some(asked), _) => Err(format!("the server does not speak {asked}")),
        (None, Some(given)) => {
            let given = String::from_utf8_lossy(given);
            Err(format!("the server chose subprotocol {given:?}, which nobody asked for"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    #[test]
    fn takes_good_answers() {
        let plain = format!("{GOOD}\r\n");
        let named = format!("{GOOD}Sec-Websocket-Protocol: centrifuge-protobuf\r\n\r\n");
        for (answered, protocol) in [(&plain, None), (&named, Some("centrifuge-protobuf"))] {
            let whole = format!("{answered}\u{1}");
            assert_eq!(answer(whole.as_bytes(), KEY, protocol), Ok(Some(answered.len())));
            for cut in 0..answered.len() {
                assert_eq!(answer(&answered.as_bytes()[..cut], KEY, protocol), Ok(None));
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let plain = format!("{GOOD}\r\n");
        let other = format!("{GOOD}Sec-WebSocket-Protocol: other\r\n\r\n");
        let asked = Some("centrifuge-protobuf");
        let refused = "HTTP/1.1 503 Service Unavailable\r\n\r\ntoo many connections\n";
        for (bytes, key, protocol, why) in [
            (&*plain, "other", None, "does not fit"),
            ("HTTP/1.1 101 Fine\r\n\r\n", KEY, None, "does not fit"),
            (refused, KEY, None, "refused the upgrade: 503 Service Unavailable too many"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", KEY, None, "404 Not Found"),
            ("SSH-2.0-x\r\n", KEY, None, "not an HTTP answer"),
            (&plain, KEY, asked, "does not speak centrifuge-protobuf"),
            (&other, KEY, asked, "does not speak centrifuge-protobuf"),
            (&other, KEY, None, "\"other\", which nobody asked for"),
        ] {
            let error = answer(bytes.as_bytes(), key, protocol).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let endless = format!("HTTP/1.1 101 Fine\r\nx: {}", "y".repeat(ANSWER_MAX));
        assert!(answer(endless.as_bytes(), KEY, None).unwrap_err().contains("without end"));
    }
}
