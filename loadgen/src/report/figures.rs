//! Numbers as people read them. Pure; the report's forms for people share it.

use crate::options::{Arrivals, RoomSizes, Sizes};
use crate::report::Load;

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// As [`count`], but short: from a hundred millions on, in millions.
pub(crate) fn short(number: u64) -> String {
    match number {
        n if n < 100_000_000 => count(n),
        n => format!("{} M", count(n / 1_000_000)),
    }
}

/// A number of any size, not negative, with as many decimals as help.
pub(crate) fn number(number: f64) -> String {
    match number {
        n if n >= 99.95 => count(n.round() as u64),
        n if n >= 0.0995 || n == 0.0 => trim(format!("{n:.1}")),
        n => trim(format!("{n:.3}")),
    }
}

/// Milliseconds with about four digits: `0.412`, `12.35`, `1,234`.
pub(crate) fn ms(ms: f64) -> String {
    match ms {
        ms if ms >= 999.95 => count(ms.round() as u64),
        ms if ms >= 99.995 => format!("{ms:.1}"),
        ms if ms >= 9.9995 => format!("{ms:.2}"),
        ms => format!("{ms:.3}"),
    }
}

/// Bytes in the unit that fits: `912 B`, `12.3 KiB`, `1.2 GiB`.
pub(crate) fn bytes(bytes: f64) -> String {
    let sign = if bytes < 0.0 { "-" } else { "" };
    let mut rest = bytes.abs();
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    while rest >= 1023.95 && unit + 1 < units.len() {
        rest /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{sign}{rest:.0} B"),
        _ => format!("{sign}{rest:.1} {}", units[unit]),
    }
}

/// `1 room`, `2 rooms`, `3 deliveries`.
pub(crate) fn plural(number: u64, one: &str) -> String {
    match (number, one.strip_suffix("ery")) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{} {stem}eries", count(number)),
        _ => format!("{} {one}s", count(number)),
    }
}

/// Drops `.0` and the like.
fn trim(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// How messages are timed, in words.
pub(crate) fn load(load: Load) -> String {
    match load {
        Load::Rate(rate) => format!("{} messages/s due", number(rate)),
        Load::Closed(window) => format!("{} outstanding per sender", count(window as u64)),
    }
}

/// How messages are spread, in words.
pub(crate) fn arrivals(arrivals: Arrivals) -> String {
    match arrivals {
        Arrivals::Constant => "evenly spaced".to_owned(),
        Arrivals::Poisson => "Poisson arrivals".to_owned(),
        Arrivals::Burst(n) => format!("in bursts of {}", count(n)),
    }
}

/// Lengths of texts, in words.
pub(crate) fn sizes(sizes: Sizes) -> String {
    match sizes {
        Sizes { min, max } if min == max => format!("{} bytes", count(min as u64)),
        Sizes { min, max } => format!("{} to {} bytes", count(min as u64), count(max as u64)),
    }
}

/// How large rooms are, in words.
pub(crate) fn room_sizes(sizes: RoomSizes, largest: usize) -> String {
    match sizes {
        RoomSizes::Equal => format!("{} each at most", count(largest as u64)),
        RoomSizes::Zipf(s) => format!("Zipf {}, largest {}", number(s), count(largest as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |got: String, want: &str| assert_eq!(got, want);
        check(count(0), "0");
        check(count(999), "999");
        check(count(1_000), "1,000");
        check(count(u64::MAX), "18,446,744,073,709,551,615");
        check(short(99_999_999), "99,999,999");
        check(short(12_345_678_901), "12,345 M");
        check(number(0.0), "0");
        check(number(0.0123), "0.012");
        check(number(12.34), "12.3");
        check(number(5.0), "5");
        check(number(99.96), "100");
        check(number(1234.5), "1,235");
        check(ms(0.0), "0.000");
        check(ms(0.4123), "0.412");
        check(ms(9.9996), "10.00");
        check(ms(123.456), "123.5");
        check(ms(1234.5), "1,235");
        check(bytes(0.0), "0 B");
        check(bytes(1023.0), "1023 B");
        check(bytes(1024.0), "1.0 KiB");
        check(bytes(-2048.0), "-2.0 KiB");
        check(bytes(1.5 * 1024.0 * 1024.0), "1.5 MiB");
        check(plural(1, "room"), "1 room");
        check(plural(2000, "room"), "2,000 rooms");
    }
}
