//! What it costs the kernel to take connections in: `accept`, `recv` of the request, `send` of the
//! answer, and to be told when more comes. No server can upgrade a connection for less with these.
//!
//! What comes after the upgrade is sent back, whole frames in one read each, as the generator's
//! dialect `echo` wants it. Tests: below, and `tests/floor.rs` against the program.

use crate::bare::{Service, send_all, upgrade};
use rustix::fd::OwnedFd;

/// Upgrades, and says back what it hears.
pub(crate) struct Echo;

impl Service for Echo {
    fn hear(&mut self, _number: usize, socket: &OwnedFd, came: &mut [u8]) -> bool {
        let answer = if came.starts_with(b"GET ") {
            upgrade(came).map(|(_, answer)| answer.into_bytes())
        } else {
            echo(came)
        };
        answer.is_some_and(|answer| send_all(socket, &answer))
    }
}

/// A client's frame of less than 64 KiB as a server sends it back: without its mask.
fn echo(frame: &[u8]) -> Option<Vec<u8>> {
    let (&[first, second], rest) = frame.split_first_chunk::<2>()?;
    let mut out = vec![first, second & 0x7f];
    let (len, rest) = match second & 0x7f {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            out.extend_from_slice(len);
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        127 => return None,
        len => (usize::from(len), rest),
    };
    let (key, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..len)?;
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_without_its_mask() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(echo(&hello).unwrap(), b"\x81\x05Hello");
        let long = [&[0x81, 0xfe, 0, 200, 1, 1, 1, 1][..], &[b'a' ^ 1; 200]].concat();
        assert_eq!(echo(&long).unwrap(), [&[0x81, 126, 0, 200][..], &[b'a'; 200]].concat());
        for short in [vec![0x81], vec![0x81, 0x85, 1, 1, 1, 1, b'a'], vec![0x81, 0xff, 0, 0]] {
            assert_eq!(echo(&short), None, "{short:?}");
        }
    }
}
