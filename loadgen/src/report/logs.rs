//! Histograms in the forms that other programs read: the percentile distribution (`.hgrm`) and the
//! HdrHistogram V2 interval log. Pure; whoever calls writes the files. Tests: below, which read
//! the log back.

use crate::record::{Record, Times};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// Steps between one half of the remaining distance to 100 % and the next.
const STEPS_PER_HALF: u32 = 5;

/// The percentile distribution in milliseconds, as the tools around HdrHistogram print and plot it:
/// a line for each step of value, percentile (0 to 1), count so far and 1/(1-percentile).
pub fn hgrm(times: &Times) -> String {
    let times = times.histogram();
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut so_far = 0;
    if !times.is_empty() {
        for step in times.iter_quantiles(STEPS_PER_HALF) {
            so_far += step.count_since_last_iteration();
            let (value_ms, quantile) =
                (step.value_iterated_to() as f64 / 1e6, step.quantile_iterated_to());
            let _ = write!(out, "{value_ms:12.3} {quantile:14.12} {so_far:10}");
            let _ = match quantile {
                q if q < 1.0 => writeln!(out, " {:14.2}", 1.0 / (1.0 - q)),
                _ => writeln!(out),
            };
        }
    }
    // Buckets double; each has as many sub-buckets as three digits need.
    let sub_buckets = (2 * 10u64.pow(u32::from(times.sigfig()))).next_power_of_two();
    let _ = writeln!(
        out,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
         #[Max     = {:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]",
        times.mean() / 1e6,
        times.stdev() / 1e6,
        times.max() as f64 / 1e6,
        times.len(),
        times.buckets(),
        sub_buckets
    );
    out
}

/// The latency of each second of the window and the drain, in nanoseconds, as an HdrHistogram V2
/// log; the maximum of each line is in milliseconds. Seconds without a delivery are left out.
///
/// Errors: a histogram could not be encoded, in words.
pub fn interval_log(record: &Record) -> Result<Vec<u8>, String> {
    let words = |error: &dyn std::fmt::Debug| format!("cannot encode a histogram: {error:?}");
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(record.started_unix_s);
    let (mut out, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment(concat!(
            "[Logged with ringchat-loadgen ",
            env!("CARGO_PKG_VERSION"),
            "; latency in nanoseconds, maxima in milliseconds]"
        ))
        .add_comment("[Histogram log format version 1.3]")
        .with_start_time(started)
        .with_base_time(started)
        .with_max_value_divisor(1e6);
    let mut log =
        builder.begin_log_with(&mut out, &mut serializer).map_err(|error| words(&error))?;
    for second in record.seconds.iter().filter(|second| !second.latency.histogram().is_empty()) {
        log.write_histogram(
            second.latency.histogram(),
            Duration::from_secs(u64::from(second.index)),
            Duration::from_secs(1),
            None,
        )
        .map_err(|error| words(&error))?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_log_reads_back() {
        let record = example::record(5);
        let log = interval_log(&record).unwrap();
        let (mut start, mut seconds) = (None, Vec::new());
        for entry in IntervalLogIterator::new(&log) {
            match entry.unwrap() {
                LogEntry::StartTime(time) => start = Some(time.as_secs()),
                LogEntry::BaseTime(time) => assert_eq!(Some(time.as_secs()), start),
                LogEntry::Interval(line) => {
                    let bytes = BASE64.decode(line.encoded_histogram()).unwrap();
                    let times: hdrhistogram::Histogram<u64> =
                        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                    let max_ms = times.max() as f64 / 1e6;
                    assert!((line.max() / max_ms - 1.0).abs() < 1e-3, "{} {max_ms}", line.max());
                    assert_eq!(line.duration().as_secs(), 1);
                    seconds.push((line.start_timestamp().as_secs(), times));
                }
            }
        }
        assert_eq!(start, Some(record.started_unix_s));
        assert_eq!(seconds.len(), record.seconds.len());
        for ((at, times), second) in seconds.iter().zip(&record.seconds) {
            let want = second.latency.histogram();
            assert_eq!(*at, u64::from(second.index));
            assert_eq!(times.len(), want.len());
            for quantile in [0.0, 0.5, 0.99, 1.0] {
                let got = times.value_at_quantile(quantile);
                assert!(want.equivalent(got, want.value_at_quantile(quantile)), "{quantile}");
            }
        }
    }

    #[test]
    fn seconds_without_deliveries_and_empty_records() {
        let mut record = example::record(2);
        record.seconds[0].latency.clear();
        let lines = |record| {
            let log = String::from_utf8(interval_log(record).unwrap()).unwrap();
            log.lines().filter(|line| !line.starts_with('#')).count()
        };
        assert_eq!(lines(&record), 1);
        assert_eq!(lines(&Record::default()), 0);
    }

    #[test]
    fn the_distribution_ends_at_the_maximum() {
        let mut times = Times::new();
        (1..=1000).for_each(|ms| times.record(ms * 1_000_000));
        let text = hgrm(&times);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"));
        assert!(rows.windows(2).all(|pair| pair[0][..3] <= pair[1][..3]), "{text}");
        let (first, last) = (&rows[0], &rows[rows.len() - 1]);
        assert_eq!((first[1], first[2], first.len()), (0.0, 1.0, 4));
        assert_eq!((last[1], last[2], last.len()), (1.0, 1000.0, 3));
        let half = rows.iter().find(|row| row[1] == 0.5).unwrap();
        assert!((half[0] - 500.0).abs() < 1.0 && half[2] == 500.0 && half[3] == 2.0, "{half:?}");
        for words in ["#[Mean    =      500.", "Total count    =         1000]", "=         2048]"]
        {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
    }

    #[test]
    fn nothing_measured_has_a_footer_only() {
        let text = hgrm(&Times::new());
        assert_eq!(text.lines().filter(|line| line.starts_with("#[")).count(), 3);
        assert_eq!(text.lines().count(), 5);
        assert!(!text.contains("NaN"), "{text}");
    }
}
