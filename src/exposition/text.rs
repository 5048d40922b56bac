//! The text exposition format 0.0.4, written directly from the table.

use crate::metrics::catalog::{Family, FamilyKind, ValueFormat};
use crate::metrics::labels::Labels;

/// Returns labels as written between the braces: `a="b",c="d"`.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> String {
    write_pairs(pairs.iter().copied())
}

/// Returns the labels of a series as written between the braces.
pub(crate) fn series_labels(labels: &Labels) -> String {
    write_pairs(labels.pairs())
}

fn write_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        text.push_str(&escaped(value));
        text.push('"');
    }
    text
}

/// Returns a text as written between quotes.
pub(super) fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text
}

/// Writes the HELP and TYPE lines of a family.
pub(super) fn head(out: &mut Vec<u8>, family: Family, help: &str) {
    let kind = match family.kind() {
        FamilyKind::Counter => "counter",
        FamilyKind::Gauge => "gauge",
    };
    write(out, &["# HELP ", family.name(), " ", help, "\n# TYPE ", family.name(), " ", kind, "\n"]);
}

/// Writes pieces in sequence.
pub(super) fn write(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// Labels of a series as they are written: those of its app, the others, and those of every app.
#[derive(Default)]
pub(crate) struct SeriesText<'a> {
    /// Labels provider and app.
    pub(crate) app_labels: &'a str,
    /// Labels of the series alone.
    pub(crate) labels: &'a str,
    /// Labels of all series.
    pub(crate) common_labels: &'a str,
}

/// Writes one sample.
pub(super) fn sample(out: &mut Vec<u8>, family: Family, series: &SeriesText<'_>, value: i64) {
    series_and_value(out, family, series, value);
    out.push(b'\n');
}

/// Writes name, labels and value of a sample, without the end of the line.
pub(super) fn series_and_value(out: &mut Vec<u8>, family: Family, series: &SeriesText<'_>, value: i64) {
    out.extend_from_slice(family.name().as_bytes());
    out.push(b'{');
    write_labels(out, &[series.app_labels, series.labels, series.common_labels]);
    out.extend_from_slice(b"} ");
    write_value(out, family.format(), value);
}

/// Writes several sets of labels as one.
pub(super) fn write_labels(out: &mut Vec<u8>, sets: &[&str]) {
    for (index, labels) in sets.iter().filter(|labels| !labels.is_empty()).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(labels.as_bytes());
    }
}

/// Writes a stored value.
pub(super) fn write_value(out: &mut Vec<u8>, format: ValueFormat, value: i64) {
    let digits = match format {
        ValueFormat::Whole => return out.extend_from_slice(value.to_string().as_bytes()),
        ValueFormat::Seconds => 3,
        ValueFormat::Ratio => 6,
    };
    let (sign, one) = (if value < 0 { "-" } else { "" }, 10_u64.pow(digits));
    let value = value.unsigned_abs();
    let text = format!("{sign}{}.{:0width$}", value / one, value % one, width = digits as usize);
    out.extend_from_slice(text.trim_end_matches('0').trim_end_matches('.').as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(family: Family, app_labels: &str, labels: &str, value: i64) -> String {
        let mut out = Vec::new();
        sample(&mut out, family, &SeriesText { app_labels, labels, common_labels: "" }, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn samples() {
        let app_labels = labels(&[("provider", "easemob"), ("app", "a\"b\\c\nd")]);
        assert_eq!(
            line(Family::Sent, &app_labels, "channel=\"fcm\"", i64::MAX),
            "push_messages_sent_total{provider=\"easemob\",app=\"a\\\"b\\\\c\\nd\",channel=\"fcm\"} 9223372036854775807\n"
        );
        assert_eq!(
            line(Family::LastSuccess, "a=\"b\"", "", 1_763_740_800_120),
            "push_poll_last_success_timestamp_seconds{a=\"b\"} 1763740800.12\n"
        );
        assert_eq!(line(Family::PollDuration, "", "a=\"b\"", 0), "push_poll_duration_seconds{a=\"b\"} 0\n");
        assert_eq!(line(Family::PollDuration, "", "a=\"b\"", 100_000), "push_poll_duration_seconds{a=\"b\"} 100\n");
    }
}
