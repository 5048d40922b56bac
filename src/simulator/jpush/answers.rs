//! Answers of the simulated JPush: the events of a message, in the fields of each report.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::simulator::deliveries::Counts;
use crate::simulator::jpush::{JpushOutcome, Leaf, OUTCOMES};

fn sum(counts: &Counts, outcome: JpushOutcome, is_part: impl Fn(Leaf) -> bool) -> i64 {
    counts.iter().filter(|((leaf, of), _)| *of == outcome && is_part(*leaf)).map(|(_, count)| count).sum()
}

fn is_vendor(channel: &str) -> bool {
    !channel.contains("jg")
}

/// Returns the fields of `received/detail`; `null` instead of zero.
pub(super) fn received(counts: &Counts) -> Map<String, Value> {
    let field = |name: &str, outcome, is_part: fn(Leaf) -> bool| {
        let count = sum(counts, outcome, is_part);
        (name.to_owned(), if count > 0 { count.into() } else { Value::Null })
    };
    Map::from_iter([
        field("jpush_received", JpushOutcome::Received, |(_, platform, channel)| {
            platform != "quickapp" && !is_vendor(channel)
        }),
        field("android_pns_sent", JpushOutcome::Sent, |(_, platform, channel)| {
            platform == "android" && is_vendor(channel)
        }),
        field("android_pns_received", JpushOutcome::Received, |(_, platform, channel)| {
            platform == "android" && is_vendor(channel)
        }),
        field("ios_apns_sent", JpushOutcome::Sent, |(.., channel)| channel == "apns"),
        field("ios_apns_received", JpushOutcome::Received, |(.., channel)| channel == "apns"),
        field("ios_msg_received", JpushOutcome::Received, |(.., channel)| channel == "jg_ios"),
        field("quickapp_jpush_received", JpushOutcome::Received, |(.., channel)| channel == "quick_jg"),
        field("hmos_hmpns_sent", JpushOutcome::Sent, |(kind, .., channel)| {
            kind == "notification" && channel == "hmpns"
        }),
        field("hmos_hmpns_received", JpushOutcome::Received, |(kind, .., channel)| {
            kind == "notification" && channel == "hmpns"
        }),
        ("wp_mpns_sent".to_owned(), Value::Null),
    ])
}

/// Returns `details` and the older blocks, as in the example of the document.
pub(super) fn details(counts: &Counts) -> Map<String, Value> {
    let five = |is_part: &dyn Fn(Leaf) -> bool| {
        let counts = OUTCOMES.map(|(outcome, name)| (name.to_owned(), sum(counts, outcome, is_part).into()));
        Map::from_iter(counts)
    };
    let mut kinds = Map::new();
    let leaves: BTreeMap<Leaf, ()> = counts.keys().map(|(leaf, _)| (*leaf, ())).collect();
    for (kind, platform, channel) in leaves.into_keys() {
        let totals = kinds.entry(kind).or_insert_with(|| five(&|leaf| leaf.0 == kind).into());
        let platform_name = format!("sub_{platform}");
        if totals.get(&platform_name).is_none() {
            totals[&platform_name] = json!({});
        }
        totals[&platform_name][channel] = five(&|leaf| leaf == (kind, platform, channel)).into();
    }
    let mut fields = older(counts, false);
    fields.insert("details".to_owned(), kinds.into());
    fields
}

/// Returns the older blocks, as sent along with `details` or for a group, which lists vendors separately.
pub(super) fn older(counts: &Counts, is_group: bool) -> Map<String, Value> {
    let of = |outcome, is_part: &dyn Fn(Leaf) -> bool| sum(counts, outcome, is_part);
    let is_jpush = |(_, platform, channel): Leaf| platform != "quickapp" && !is_vendor(channel);
    let clicks = |kind: &str| of(JpushOutcome::Click, &|leaf| is_jpush(leaf) && leaf.0 == kind);
    let jpush = json!({
        "target": of(JpushOutcome::Target, &is_jpush), "received": of(JpushOutcome::Received, &is_jpush),
        "online_push": if is_group { of(JpushOutcome::Sent, &is_jpush) } else { 0 },
        "click": clicks("notification"), "msg_click": clicks("message"),
    });
    let is_apns = |(.., channel): Leaf| channel == "apns";
    let ios = json!({
        "apns_target": of(JpushOutcome::Target, &is_apns), "apns_sent": of(JpushOutcome::Sent, &is_apns),
        "apns_received": of(JpushOutcome::Received, &is_apns), "apns_click": of(JpushOutcome::Click, &is_apns),
        // These numbers are included in those of jpush.
        "msg_target": of(JpushOutcome::Target, &|leaf| leaf.2 == "jg_ios"),
        "msg_received": of(JpushOutcome::Received, &|leaf| leaf.2 == "jg_ios"), "msg_click": 0,
    });
    let vendors = |prefix: &str, is_part: &dyn Fn(Leaf) -> bool| {
        json!({
            format!("{prefix}target"): of(JpushOutcome::Target, is_part), format!("{prefix}sent"): of(JpushOutcome::Sent, is_part),
            format!("{prefix}received"): of(JpushOutcome::Received, is_part),
        })
    };
    let mut android = vendors("pns_", &|(_, platform, channel)| platform == "android" && is_vendor(channel));
    if is_group {
        for (block, vendor) in [
            ("xm", "xiaomi"),
            ("hw", "huawei"),
            ("mz", "meizu"),
            ("oppo", "oppo"),
            ("vivo", "vivo"),
            ("honor", "honor"),
            ("fcm", "fcm"),
        ] {
            let is_part = |(_, platform, channel): Leaf| platform == "android" && channel == vendor;
            android[format!("{block}_detail")] = vendors("", &is_part);
        }
    }
    Map::from_iter([("jpush".to_owned(), jpush), ("ios".to_owned(), ios), ("android_pns".to_owned(), android)])
}

/// Returns the fields of `received`.
pub(super) fn received_old(counts: &Counts) -> Map<String, Value> {
    Map::from_iter([
        ("android_received".to_owned(), sum(counts, JpushOutcome::Received, |leaf| leaf.1 == "android").into()),
        ("ios_apns_sent".to_owned(), sum(counts, JpushOutcome::Sent, |leaf| leaf.2 == "apns").into()),
        ("ios_apns_received".to_owned(), sum(counts, JpushOutcome::Received, |leaf| leaf.2 == "apns").into()),
        ("ios_msg_received".to_owned(), sum(counts, JpushOutcome::Received, |leaf| leaf.2 == "jg_ios").into()),
        ("wp_mpns_sent".to_owned(), Value::Null),
    ])
}

/// Returns the blocks of `messages`.
pub(super) fn messages_old(counts: &Counts) -> Map<String, Value> {
    let of = |outcome, platform: &str, is_part: &dyn Fn(Leaf) -> bool| {
        sum(counts, outcome, |leaf| leaf.1 == platform && is_part(leaf))
    };
    let (is_apns, is_custom) = (|leaf: Leaf| leaf.2 == "apns", |leaf: Leaf| leaf.0 == "message");
    let android = json!({
        "target": of(JpushOutcome::Target, "android", &|_| true), "received": of(JpushOutcome::Received, "android", &|_| true),
        "online_push": of(JpushOutcome::Sent, "android", &|leaf| !is_vendor(leaf.2)),
        "click": of(JpushOutcome::Click, "android", &|leaf| !is_custom(leaf)),
        "msg_click": of(JpushOutcome::Click, "android", &is_custom),
    });
    let ios = json!({
        "apns_target": of(JpushOutcome::Target, "ios", &is_apns), "apns_sent": of(JpushOutcome::Sent, "ios", &is_apns),
        "apns_received": of(JpushOutcome::Received, "ios", &is_apns), "click": of(JpushOutcome::Click, "ios", &is_apns),
        "target": of(JpushOutcome::Target, "ios", &is_custom), "received": of(JpushOutcome::Received, "ios", &is_custom),
        "msg_click": 0,
    });
    Map::from_iter([("android".to_owned(), android), ("ios".to_owned(), ios)])
}

const GROUP_DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuv";

/// Formats the id of a group message, which consists of letters and digits.
pub fn group_id(id: u64) -> String {
    (0..13).rev().map(|place| char::from(GROUP_DIGITS[(id >> (5 * place) & 31) as usize])).collect()
}

pub(super) fn of_group_id(text: &str) -> Option<u64> {
    text.bytes().try_fold(0_u64, |id, byte| {
        let digit = GROUP_DIGITS.iter().position(|digit| *digit == byte)?;
        Some(id << 5 | digit as u64)
    })
}
