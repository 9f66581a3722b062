//! The metrics as OpenMetrics text, read from every thread's cells when somebody asks.
//!
//! Names, kinds and help come from [`METRICS`]; nothing is counted twice or kept here. Metrics
//! whose name begins with `http_` are the HTTP side's, those of reloads are the process's; they
//! have no `worker` label. All others are the workers'. Tests: `http/tests.rs`.

use crate::metrics::{Cells, Kind, METRICS, Metric};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// Media type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the names of metrics begin with that no worker counts.
const NOT_THE_WORKERS: [&str; 3] = ["http_", "config_", "jwks_"];

/// What a scrape reads: the cells of every worker and of the HTTP side.
#[derive(Debug, Default)]
pub struct Scrape {
    /// One set per worker, in the order of their numbers.
    pub workers: Vec<Arc<Cells>>,
    /// The HTTP side's own, and those of the thread that reloads.
    pub http: Cells,
}

impl Scrape {
    /// Reads these workers, and cells of its own for the HTTP side.
    pub fn new(workers: Vec<Arc<Cells>>) -> Self {
        Scrape { workers, http: Cells::default() }
    }
}

/// Every metric in OpenMetrics text form: HELP and TYPE once per name, one line per worker, and
/// `# EOF` at the end. Errors: none that a `String` can cause.
pub(super) fn encode(scrape: &Arc<Scrape>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("ringchat");
    registry.register_collector(Box::new(Export(Arc::clone(scrape))));
    let mut out = String::with_capacity(16 * 1024);
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Export(Arc<Scrape>);

impl Collector for Export {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Metrics that share a name stand together in the table.
        for family in METRICS.chunk_by(|a, b| a.name == b.name) {
            let Some(first) = family.first() else { continue };
            let kind = match first.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut lines = encoder.encode_descriptor(first.name, first.help, None, kind)?;
            for metric in family {
                self.encode_metric(metric, &mut lines)?;
            }
        }
        Ok(())
    }
}

impl Export {
    fn encode_metric(
        &self,
        metric: &Metric,
        lines: &mut MetricEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        let own = metric.label.map(|(name, value)| (name, value.to_owned()));
        if NOT_THE_WORKERS.iter().any(|start| metric.name.starts_with(start)) {
            return match own {
                Some(label) => {
                    encode_value(metric, &self.0.http, &mut lines.encode_family(&[label])?)
                }
                None => encode_value(metric, &self.0.http, lines),
            };
        }
        for (number, cells) in self.0.workers.iter().enumerate() {
            let mut labels = vec![("worker", number.to_string())];
            labels.extend(own.clone());
            encode_value(metric, cells, &mut lines.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn encode_value(
    metric: &Metric,
    cells: &Cells,
    line: &mut MetricEncoder<'_>,
) -> Result<(), fmt::Error> {
    let value = (metric.read)(cells);
    match metric.kind {
        Kind::Counter => line.encode_counter::<NoLabelSet, u64, u64>(&value, None),
        Kind::Gauge => line.encode_gauge(&value.cast_signed()),
    }
}
