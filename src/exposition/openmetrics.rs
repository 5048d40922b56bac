//! The OpenMetrics 1.0 exposition, as far as it differs from text 0.0.4: families without `_total`, units, creation
//! times, an end marker.

use prometheus::proto::{MetricFamily, MetricType};

use crate::exposition::text::{self, SeriesText};
use crate::metrics::catalog::{Family, FamilyKind, ValueFormat};

/// End marker of the page.
pub(crate) const END: &[u8] = b"# EOF\n";

/// Units with which names end.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// Writes the TYPE, UNIT and HELP lines of a family of the table.
pub(crate) fn head(out: &mut Vec<u8>, family: Family, help: &str) {
    let (kind, name) = match family.kind() {
        FamilyKind::Counter => ("counter", base(family.name())),
        FamilyKind::Gauge => ("gauge", family.name()),
    };
    write_head(out, name, kind, help);
}

/// Writes a counter with its creation time in milliseconds.
pub(super) fn counter(out: &mut Vec<u8>, family: Family, series: &SeriesText<'_>, value: i64, created: i64) {
    text::sample(out, family, series, value);
    let name = base(family.name());
    text::write(out, &[name, "_created{"]);
    text::write_labels(out, &[series.app_labels, series.labels, series.common_labels]);
    out.extend_from_slice(b"} ");
    text::write_value(out, ValueFormat::Seconds, created);
    out.push(b'\n');
}

/// Writes a sample of a history: without its time, which follows with [`write_time`], since many samples have the same value.
pub(crate) fn untimed_sample(out: &mut Vec<u8>, family: Family, series: &SeriesText<'_>, value: i64) {
    text::series_and_value(out, family, series, value);
    out.push(b' ');
}

/// Writes the time of a sample in Unix seconds, and ends its line.
pub(crate) fn write_time(out: &mut Vec<u8>, second: i64) {
    text::write_value(out, ValueFormat::Whole, second);
    out.push(b'\n');
}

/// Writes the exporter's own families. Their counters were all created with the process, at `created` milliseconds.
pub(super) fn own(out: &mut Vec<u8>, families: &[MetricFamily], created: i64) {
    let mut seconds = Vec::new();
    text::write_value(&mut seconds, ValueFormat::Seconds, created);
    let created = String::from_utf8_lossy(&seconds);
    for family in families {
        let name = base(family.name());
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY | MetricType::UNTYPED => continue,
        };
        write_head(out, name, kind, family.help());
        for metric in family.get_metric() {
            let pairs: Vec<(&str, &str)> =
                metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            let labels = text::labels(&pairs);
            let line = |out: &mut Vec<u8>, suffix: &str, more: &str, value: &str| {
                text::write(out, &[name, suffix]);
                if !labels.is_empty() || !more.is_empty() {
                    out.push(b'{');
                    text::write_labels(out, &[&labels, more]);
                    out.push(b'}');
                }
                text::write(out, &[" ", value, "\n"]);
            };
            match family.get_field_type() {
                MetricType::COUNTER => {
                    line(out, "_total", "", &number(metric.get_counter().get_value()));
                    line(out, "_created", "", &created);
                }
                MetricType::HISTOGRAM => {
                    let histogram = metric.get_histogram();
                    for bucket in histogram.get_bucket() {
                        let limit = text::labels(&[("le", &limit(bucket.upper_bound()))]);
                        line(out, "_bucket", &limit, &bucket.cumulative_count().to_string());
                    }
                    let count = histogram.get_sample_count().to_string();
                    line(out, "_bucket", "le=\"+Inf\"", &count);
                    line(out, "_sum", "", &number(histogram.get_sample_sum()));
                    line(out, "_count", "", &count);
                    line(out, "_created", "", &created);
                }
                _ => line(out, "", "", &number(metric.get_gauge().get_value())),
            }
        }
    }
}

/// Returns the name of a counter without `_total`.
fn base(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

fn write_head(out: &mut Vec<u8>, name: &str, kind: &str, help: &str) {
    text::write(out, &["# TYPE ", name, " ", kind, "\n"]);
    let unit = UNITS.iter().find(|unit| name.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_')));
    if let Some(unit) = unit {
        text::write(out, &["# UNIT ", name, " ", unit, "\n"]);
    }
    text::write(out, &["# HELP ", name, " ", &text::escaped(help), "\n"]);
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

/// Formats the limit of a bucket, always with a decimal point.
fn limit(value: f64) -> String {
    if value.fract() == 0.0 && value.is_finite() { format!("{value:.1}") } else { number(value) }
}
