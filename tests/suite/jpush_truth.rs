//! What counters must show of JPush's simulated messages: DESIGN's field maps once more, by hand, from the
//! list of events.

use std::collections::BTreeMap;

use push_exporter::simulator::jpush::{Leaf, Outcome};

pub type Counts = BTreeMap<(Leaf, Outcome), i64>;

/// Platform and channel of a leaf.
fn labels_of((_, platform, channel): Leaf) -> (&'static str, &'static str) {
    match channel {
        "jg_android" | "jg_ios" | "quick_jg" => (platform, "jpush"),
        channel => (platform, channel),
    }
}

/// The series of `messages_detail` that an outcome of a leaf counts in.
fn detail_series(app: &str, leaf: Leaf, metric: &str) -> String {
    let (platform, channel) = labels_of(leaf);
    format!(
        r#"push_messages_{metric}_total{{provider="jpush",app="{app}",platform="{platform}",channel="{channel}",kind="{}"}}"#,
        leaf.0
    )
}

/// The series of `received_detail` that an outcome of a leaf counts in, if it has any.
fn received_series(app: &str, leaf: Leaf, metric: &str) -> Option<String> {
    let (platform, channel, kind) = match (leaf, metric) {
        ((_, "android" | "ios", "jg_android" | "jg_ios"), "received") => ("any", "jpush", "any"),
        ((_, "quickapp", "quick_jg"), "received") => ("quickapp", "jpush", "any"),
        ((_, _, "jg_android" | "jg_ios" | "quick_jg"), _) => return None,
        ((_, "android", _), "sent" | "received") => ("android", "vendor", "any"),
        ((_, "ios", "apns"), "sent" | "received") => ("ios", "apns", "notification"),
        ((_, "hmos", "hmpns"), "sent" | "received") => ("hmos", "hmpns", "notification"),
        _ => return None,
    };
    Some(format!(
        r#"push_messages_{metric}_total{{provider="jpush",app="{app}",platform="{platform}",channel="{channel}",kind="{kind}"}}"#
    ))
}

fn metric(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Target => "targeted",
        Outcome::Sent => "sent",
        Outcome::Received => "received",
        Outcome::Display => "displayed",
        Outcome::Click => "clicked",
    }
}

/// Adds what `counts` come to in the series of a report.
pub fn add(totals: &mut BTreeMap<String, i64>, app: &str, report: &str, counts: &Counts, sign: i64) {
    for ((leaf, outcome), count) in counts {
        let series = match report {
            "messages_detail" => Some(detail_series(app, *leaf, metric(*outcome))),
            _ => received_series(app, *leaf, metric(*outcome)),
        };
        if let Some(series) = series {
            *totals.entry(series).or_default() += sign * count;
        }
    }
}

/// What a message's sent and received come to, as read when it is ten minutes old, in the series for that.
pub fn add_at_10m(totals: &mut BTreeMap<String, i64>, app: &str, report: &str, counts: &Counts) {
    let mut plain = BTreeMap::new();
    add(&mut plain, app, report, counts, 1);
    for (series, count) in plain {
        for name in ["sent", "received"] {
            let of = format!("push_messages_{name}_total{{");
            if let Some(labels) = series.strip_prefix(&of) {
                *totals.entry(format!("push_messages_{name}_at_10m_total{{{labels}")).or_default() += count;
            }
        }
    }
}
