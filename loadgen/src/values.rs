//! What settings may be besides numbers and names: laws, sizes, objectives, times, addresses.
//!
//! Each is read from the text that a user gives, refuses with an example of what is right, and
//! prints as it is written. Knows nothing of a run. Tests at the end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// How large rooms are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomSizes {
    /// All the same, give or take one.
    Equal,
    /// The k-th room, from 1, has a share in proportion to `1/k^S`, and one member at least.
    Zipf(f64),
}

/// How messages are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly.
    Constant,
    /// Independently of each other.
    Poisson,
    /// So many at once, evenly apart.
    Burst(u64),
}

/// Lengths of texts in bytes, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Sizes {
    pub min: usize,
    pub max: usize,
}

/// One objective of a search: a quantile of the latency (1 is the maximum) and its upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Slo {
    pub quantile: f64,
    pub below_ms: f64,
}

/// CPU numbers, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuList(pub Vec<usize>);

/// Addresses to connect from: one, or all of a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources(pub Vec<IpAddr>);

impl FromStr for RoomSizes {
    type Err = String;

    fn from_str(text: &str) -> Result<RoomSizes, String> {
        match text.split_once(':') {
            None if text == "equal" => Ok(RoomSizes::Equal),
            Some(("zipf", s)) => match s.parse::<f64>() {
                Ok(s) if (0.0..=5.0).contains(&s) => Ok(RoomSizes::Zipf(s)),
                _ => Err("zipf:S takes a number from 0 to 5, as in zipf:1.1".into()),
            },
            _ => Err("give `equal` or `zipf:S`, as in zipf:1.1".into()),
        }
    }
}

impl FromStr for Arrivals {
    type Err = String;

    fn from_str(text: &str) -> Result<Arrivals, String> {
        match text.split_once(':') {
            None if text == "constant" => Ok(Arrivals::Constant),
            None if text == "poisson" => Ok(Arrivals::Poisson),
            Some(("burst", n)) => match n.parse::<u64>() {
                Ok(n @ 1..=1_000_000) => Ok(Arrivals::Burst(n)),
                _ => Err("burst:N takes a number from 1 to 1,000,000, as in burst:50".into()),
            },
            _ => Err("give `constant`, `poisson` or `burst:N`, as in burst:50".into()),
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        let number = |text: &str| text.parse::<usize>().map_err(|_| "give N or MIN-MAX".to_owned());
        let (min, max) = match text.split_once('-') {
            None => (number(text)?, number(text)?),
            Some((min, max)) => (number(min)?, number(max)?),
        };
        if min > max {
            return Err(format!("{min} is more than {max}"));
        }
        Ok(Sizes { min, max })
    }
}

/// Quantiles that an objective may name.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Slo, String> {
        let wrong = || "give a quantile and its bound, as in p99<5ms".to_owned();
        let (what, bound) = text.split_once('<').ok_or_else(wrong)?;
        let known = QUANTILES.iter().find(|(name, _)| *name == what.trim());
        let Some(&(_, quantile)) = known else {
            return Err("p50, p90, p99, p99.9 and max are known".into());
        };
        let below = duration(bound.trim())?;
        if below.is_zero() {
            return Err("the bound must be more than 0".into());
        }
        Ok(Slo { quantile, below_ms: below.as_nanos() as f64 / 1e6 })
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<CpuList, String> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let range: Sizes = part.parse().map_err(|_| "give CPU numbers, as in 1,3-5")?;
            if range.max >= 4096 {
                return Err(format!("{} is not a CPU", range.max));
            }
            cpus.extend(range.min..=range.max);
        }
        Ok(CpuList(cpus))
    }
}

/// Addresses that one range may have: as many as a sender's connections can tell apart in 16 bits.
pub const SOURCES_MAX: u128 = 65_536;

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Sources, String> {
        let address = |text: &str| {
            let address: IpAddr = text.trim().parse().map_err(|_| {
                format!("`{text}` is no IP address: give one, or a range as 10.0.0.1-10.0.0.9")
            })?;
            match address.is_unspecified() || address.is_multicast() {
                true => Err(format!("{address} is not an address of this machine")),
                false => Ok(address),
            }
        };
        let Some((first, last)) = text.split_once('-') else {
            return Ok(Sources(vec![address(text)?]));
        };
        let (first, last) = (address(first)?, address(last)?);
        let number = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        if first.is_ipv4() != last.is_ipv4() {
            return Err("a range is of IPv4 or of IPv6 addresses, not from one to the other".into());
        }
        let (low, high) = (number(first), number(last));
        if low > high {
            return Err(format!("{first} comes after {last}: give the lower one first"));
        }
        if high - low >= SOURCES_MAX {
            return Err(format!("a range has at most {SOURCES_MAX} addresses"));
        }
        let address = |bits: u128| match u32::try_from(bits) {
            Ok(bits) if first.is_ipv4() => IpAddr::V4(bits.into()),
            _ => IpAddr::V6(bits.into()),
        };
        Ok(Sources((low..=high).map(address).collect()))
    }
}

impl fmt::Display for RoomSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoomSizes::Equal => f.write_str("equal"),
            RoomSizes::Zipf(s) => write!(f, "zipf:{s}"),
        }
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arrivals::Constant => f.write_str("constant"),
            Arrivals::Poisson => f.write_str("poisson"),
            Arrivals::Burst(n) => write!(f, "burst:{n}"),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.min == self.max {
            true => write!(f, "{}", self.min),
            false => write!(f, "{}-{}", self.min, self.max),
        }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match QUANTILES.iter().find(|(_, quantile)| *quantile == self.quantile) {
            Some((name, _)) => f.write_str(name)?,
            None => write!(f, "q{}", self.quantile)?,
        }
        write!(f, "<{}ms", self.below_ms)
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|&(&cpu, wanted)| cpu == wanted).count();
            match run {
                1 => write!(f, "{first}")?,
                _ => write!(f, "{first}-{}", first + run - 1)?,
            }
            rest = &rest[run..];
            if !rest.is_empty() {
                f.write_str(",")?;
            }
        }
        Ok(())
    }
}
/// Reads `250ms`, `10s`, `2m`, `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match &text[digits..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("give a number and one of ms, s, m, h, as in 10s".into()),
    };
    let number: f64 = text[..digits].parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(number * unit)
        .ok()
        .filter(|d| *d <= Duration::from_secs(24 * 3600))
        .ok_or_else(|| "at most 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read prints as it was written.
    fn same<T: FromStr<Err = String> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            assert_eq!(text.parse::<T>().map(|value| value.to_string()), Ok((*text).to_owned()));
        }
    }

    /// Each is refused, and the reason has these words.
    fn refused<T: FromStr<Err = String>>(cases: &[(&str, &str)]) {
        for (text, why) in cases {
            let error = text.parse::<T>().err().unwrap_or_default();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn laws_of_rooms_and_arrivals() {
        same::<RoomSizes>(&["equal", "zipf:1.1", "zipf:0", "zipf:5"]);
        let wrong = [("zipf", "zipf:S"), ("zipf:6", "0 to 5"), ("zipf:-1", "0 to 5")];
        refused::<RoomSizes>(&wrong);
        refused::<RoomSizes>(&[("zipf:NaN", "0 to 5"), ("", "equal"), ("equal:1", "equal")]);
        same::<Arrivals>(&["constant", "poisson", "burst:1", "burst:1000000"]);
        refused::<Arrivals>(&[
            ("burst", "burst:N"),
            ("burst:0", "1 to"),
            ("burst:1000001", "1 to"),
        ]);
        refused::<Arrivals>(&[("poisson:2", "constant"), ("", "constant")]);
    }

    #[test]
    fn sizes_are_a_number_or_a_range() {
        same::<Sizes>(&["128", "64-1024"]);
        assert_eq!("7-7".parse(), Ok(Sizes { min: 7, max: 7 }));
        refused::<Sizes>(&[("", "MIN-MAX"), ("a", "MIN-MAX"), ("1-", "MIN-MAX"), ("1-2-3", "MAX")]);
        refused::<Sizes>(&[("9-8", "9 is more than 8"), ("-5", "MIN-MAX"), ("1e3", "MIN-MAX")]);
    }

    #[test]
    fn objectives_are_a_quantile_and_a_bound() {
        same::<Slo>(&["p50<1ms", "p90<250ms", "p99<5ms", "p99.9<1.1ms", "max<2000ms"]);
        assert_eq!(" p99 < 2s".parse(), Ok(Slo { quantile: 0.99, below_ms: 2000.0 }));
        refused::<Slo>(&[("p99", "p99<5ms"), ("p98<5ms", "known"), ("p99<0ms", "more than 0")]);
        refused::<Slo>(&[("p99<5", "ms"), ("p99<<5ms", "ms"), ("<5ms", "known")]);
    }

    #[test]
    fn cpus_are_numbers_and_ranges() {
        same::<CpuList>(&["0", "1,3-5", "5,4,0-1", "4095"]);
        assert_eq!("1,3-5,1".parse(), Ok(CpuList(vec![1, 3, 4, 5, 1])));
        refused::<CpuList>(&[
            ("", "1,3-5"),
            ("1,", "1,3-5"),
            ("5-3", "1,3-5"),
            ("4096", "not a CPU"),
        ]);
    }

    #[test]
    fn sources_are_an_address_or_a_range() {
        let read = |text: &str| text.parse::<Sources>().map(|sources| sources.0);
        let list = |texts: &[&str]| Ok(texts.iter().map(|text| text.parse().unwrap()).collect());
        assert_eq!(read("10.0.0.9"), list(&["10.0.0.9"]));
        assert_eq!(read("10.0.0.254-10.0.1.1"), {
            list(&["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"])
        });
        assert_eq!(read("fd00::ffff-fd00::1:0"), list(&["fd00::ffff", "fd00::1:0"]));
        // A low IPv6 address is still one.
        assert_eq!(read("::1-::2"), list(&["::1", "::2"]));
        assert_eq!(read("10.0.0.0-10.0.255.255").map(|all| all.len()), Ok(65_536));
        refused::<Sources>(&[
            ("", "no IP address"),
            ("localhost", "no IP address"),
            ("10.0.0.1-", "no IP address"),
            ("10.0.0.1-9", "no IP address"),
            ("10.0.0.0-10.1.0.0", "at most 65536"),
            ("::1-fd00::", "at most 65536"),
            ("10.0.0.2-10.0.0.1", "comes after"),
            ("10.0.0.1-::1", "not from one to the other"),
            ("0.0.0.0", "not an address of this machine"),
            ("ff02::1", "not an address of this machine"),
        ]);
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "5", "s", "-1s", "1d", "1e3s", "25h", "1.2.3s", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
