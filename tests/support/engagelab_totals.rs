//! What counters must show of EngageLab's simulated messages: the field map of the document once more, by hand, from the list
//! of events.

use std::collections::BTreeMap;

use push_exporter::simulator::engagelab::{EngagelabOutcome, Leaf};

use crate::support::jpush_totals::metric;

pub type Counts = BTreeMap<(Leaf, EngagelabOutcome), i64>;

/// The labels that an outcome of a leaf counts with.
fn labels((kind, platform, channel): Leaf) -> String {
    let channel = match channel {
        "engageLab_android" | "engageLab_ios" | "engageLab_hmos" => "engagelab",
        "harmonyos" => "hmpns",
        channel => channel,
    };
    let kind = if kind == "inapp_message" { "inapp" } else { kind };
    format!(r#"platform="{platform}",channel="{channel}",kind="{kind}""#)
}

/// Adds what `counts` come to in the series of `status_detail`; of a message without parts they are totals.
pub fn add(totals: &mut BTreeMap<String, i64>, app: &str, counts: &Counts, has_parts: bool, sign: i64) {
    for ((leaf, outcome), count) in counts {
        let labels = if has_parts { labels(*leaf) } else { r#"platform="any",channel="any",kind="any""#.to_owned() };
        let series =
            format!(r#"push_messages_{}_total{{provider="engagelab",app="{app}",{labels}}}"#, metric(*outcome));
        *totals.entry(series).or_default() += sign * count;
    }
}
