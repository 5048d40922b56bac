//! What counters must show of JPush's simulated messages: the field maps of the documents once more, by hand, from the list
//! of events.

use std::collections::BTreeMap;

use push_exporter::simulator::jpush::{JpushOutcome, Leaf};

pub type Counts = BTreeMap<(Leaf, JpushOutcome), i64>;

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

/// The series of `received` (old) that an outcome of a leaf counts in.
fn received_old_series((_, platform, channel): Leaf, outcome: JpushOutcome) -> Option<[&'static str; 4]> {
    match (platform, channel, outcome) {
        ("android", _, JpushOutcome::Received) => Some(["received", "android", "any", "any"]),
        ("ios", "apns", JpushOutcome::Sent) => Some(["sent", "ios", "apns", "notification"]),
        ("ios", "apns", JpushOutcome::Received) => Some(["received", "ios", "apns", "notification"]),
        ("ios", "jg_ios", JpushOutcome::Received) => Some(["received", "ios", "jpush", "message"]),
        _ => None,
    }
}

/// The series of `messages` (old).
fn messages_old_series((kind, platform, channel): Leaf, outcome: JpushOutcome) -> Option<[&'static str; 4]> {
    match (platform, channel, outcome) {
        ("android", _, JpushOutcome::Target) => Some(["targeted", "android", "any", "any"]),
        ("android", _, JpushOutcome::Received) => Some(["received", "android", "any", "any"]),
        ("android", "jg_android", JpushOutcome::Sent) => Some(["pushed_online", "android", "any", "any"]),
        ("android", _, JpushOutcome::Click) if kind == "message" => Some(["clicked", "android", "any", "message"]),
        ("android", _, JpushOutcome::Click) => Some(["clicked", "android", "any", "notification"]),
        ("ios", "apns", JpushOutcome::Target) => Some(["targeted", "ios", "apns", "notification"]),
        ("ios", "apns", JpushOutcome::Sent) => Some(["sent", "ios", "apns", "notification"]),
        ("ios", "apns", JpushOutcome::Received) => Some(["received", "ios", "apns", "notification"]),
        ("ios", "apns", JpushOutcome::Click) => Some(["clicked", "ios", "apns", "notification"]),
        ("ios", "jg_ios", JpushOutcome::Target) => Some(["targeted", "ios", "jpush", "message"]),
        ("ios", "jg_ios", JpushOutcome::Received) => Some(["received", "ios", "jpush", "message"]),
        _ => None,
    }
}

/// The series of `group_messages_detail`; the simulated one tells nothing of Harmony and quick apps.
fn group_series((kind, platform, channel): Leaf, outcome: JpushOutcome) -> Option<[&'static str; 4]> {
    let is_jpush = matches!(channel, "jg_android" | "jg_ios");
    match (platform, outcome) {
        ("quickapp" | "hmos", _) => None,
        (_, JpushOutcome::Target) if is_jpush => Some(["targeted", "any", "jpush", "any"]),
        (_, JpushOutcome::Sent) if is_jpush => Some(["pushed_online", "any", "jpush", "any"]),
        (_, JpushOutcome::Received) if is_jpush => Some(["received", "any", "jpush", "any"]),
        (_, JpushOutcome::Click) if is_jpush && kind == "message" => Some(["clicked", "any", "jpush", "message"]),
        (_, JpushOutcome::Click) if is_jpush => Some(["clicked", "any", "jpush", "notification"]),
        ("ios", JpushOutcome::Click) => Some(["clicked", "ios", "apns", "notification"]),
        ("ios", JpushOutcome::Target | JpushOutcome::Sent | JpushOutcome::Received) => {
            Some([metric(outcome), "ios", "apns", "notification"])
        }
        ("android", JpushOutcome::Target | JpushOutcome::Sent | JpushOutcome::Received) => {
            Some([metric(outcome), "android", channel, "any"])
        }
        _ => None,
    }
}

/// The word of an outcome in the names of metrics.
pub fn metric(outcome: JpushOutcome) -> &'static str {
    match outcome {
        JpushOutcome::Target => "targeted",
        JpushOutcome::Sent => "sent",
        JpushOutcome::Received => "received",
        JpushOutcome::Display => "displayed",
        JpushOutcome::Click => "clicked",
    }
}

/// Adds what `counts` come to in the series of a report.
pub fn add(totals: &mut BTreeMap<String, i64>, app: &str, report: &str, counts: &Counts, sign: i64) {
    for ((leaf, outcome), count) in counts {
        let named = |[metric, platform, channel, kind]: [&str; 4]| {
            format!(
                r#"push_messages_{metric}_total{{provider="jpush",app="{app}",platform="{platform}",channel="{channel}",kind="{kind}"}}"#
            )
        };
        let series = match report {
            "messages_detail" => Some(detail_series(app, *leaf, metric(*outcome))),
            "received_detail" => received_series(app, *leaf, metric(*outcome)),
            "received" => received_old_series(*leaf, *outcome).map(named),
            "messages" => messages_old_series(*leaf, *outcome).map(named),
            "group_messages_detail" => group_series(*leaf, *outcome).map(named),
            report => panic!("{report}"),
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
    add_plain_at_10m(totals, plain);
}

/// Adds what counters of one message had when it was ten minutes old.
pub fn add_plain_at_10m(totals: &mut BTreeMap<String, i64>, plain: BTreeMap<String, i64>) {
    for (series, count) in plain {
        for name in ["sent", "received"] {
            let of = format!("push_messages_{name}_total{{");
            if let Some(labels) = series.strip_prefix(&of) {
                *totals.entry(format!("push_messages_{name}_at_10m_total{{{labels}")).or_default() += count;
            }
        }
    }
}
