//! What is sent: a frame's bytes, and how many frames a round carries. Pure; tests at the end.
//!
//! Sender and receiver both compute the rounds, so that nothing has to be said about them.

/// A text frame of a server, `bytes` long with its header, as RFC 6455 section 5.2 has it.
///
/// Errors: no frame has this length, as lengths are written in the shortest form.
pub(crate) fn frame(bytes: usize) -> Result<Vec<u8>, String> {
    const FIN_TEXT: u8 = 0x81;
    let mut frame = vec![FIN_TEXT];
    match bytes {
        2..=127 => frame.push((bytes - 2) as u8),
        130..=65_539 => {
            frame.push(126);
            frame.extend_from_slice(&((bytes - 4) as u16).to_be_bytes());
        }
        65_546.. => {
            frame.push(127);
            frame.extend_from_slice(&((bytes - 10) as u64).to_be_bytes());
        }
        _ => return Err(format!("--bytes: no frame is {bytes} bytes long")),
    }
    frame.resize(bytes, b'x');
    Ok(frame)
}

/// Frames that each socket gets in round number `round`, counted from 0: `batch` on average.
pub(crate) fn frames(round: u64, batch: f64) -> u64 {
    sum(round + 1, batch) - sum(round, batch)
}

/// Frames that each socket gets in the first `rounds` rounds.
pub(crate) fn sum(rounds: u64, batch: f64) -> u64 {
    (rounds as f64 * batch).floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_what_their_header_says() {
        for (bytes, header) in [
            (2, &[0x81, 0][..]),
            (127, &[0x81, 125]),
            (130, &[0x81, 126, 0, 126]),
            (132, &[0x81, 126, 0, 128]),
            (65_539, &[0x81, 126, 0xFF, 0xFF]),
            (65_546, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = frame(bytes).unwrap();
            assert_eq!(frame.len(), bytes);
            assert!(frame.starts_with(header), "{bytes}");
            assert!(frame[header.len()..].iter().all(|byte| *byte == b'x'));
        }
        for bytes in [0, 1, 128, 129, 65_540, 65_545] {
            assert!(frame(bytes).is_err(), "{bytes}");
        }
    }

    #[test]
    fn rounds_carry_the_batch_on_average() {
        for (batch, expected) in [
            (1.0, [1, 1, 1, 1, 1]),
            (32.0, [32, 32, 32, 32, 32]),
            (1.5, [1, 2, 1, 2, 1]),
            (2.25, [2, 2, 2, 3, 2]),
        ] {
            let got: Vec<u64> = (0..5).map(|round| frames(round, batch)).collect();
            assert_eq!(got, expected, "{batch}");
            assert_eq!(got.iter().sum::<u64>(), sum(5, batch), "{batch}");
        }
        assert!((0..1000).all(|round| frames(round, 1.001) >= 1));
    }
}
