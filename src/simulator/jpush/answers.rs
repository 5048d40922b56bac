//! The answers of the simulated JPush: what has happened to a message, in the fields of each report.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::simulator::jpush::{Leaf, OUTCOMES, Outcome};

pub(super) type Counts = BTreeMap<(Leaf, Outcome), i64>;

fn sum(counts: &Counts, outcome: Outcome, is_part: impl Fn(Leaf) -> bool) -> i64 {
    counts.iter().filter(|((leaf, of), _)| *of == outcome && is_part(*leaf)).map(|(_, count)| count).sum()
}

fn is_vendor(channel: &str) -> bool {
    !channel.contains("jg")
}

/// The fields of `received/detail`; `null` where there is nothing.
pub(super) fn received(counts: &Counts) -> Map<String, Value> {
    let field = |name: &str, outcome, is_part: fn(Leaf) -> bool| {
        let count = sum(counts, outcome, is_part);
        (name.to_owned(), if count > 0 { count.into() } else { Value::Null })
    };
    Map::from_iter([
        field("jpush_received", Outcome::Received, |(_, platform, channel)| {
            platform != "quickapp" && !is_vendor(channel)
        }),
        field("android_pns_sent", Outcome::Sent, |(_, platform, channel)| platform == "android" && is_vendor(channel)),
        field("android_pns_received", Outcome::Received, |(_, platform, channel)| {
            platform == "android" && is_vendor(channel)
        }),
        field("ios_apns_sent", Outcome::Sent, |(.., channel)| channel == "apns"),
        field("ios_apns_received", Outcome::Received, |(.., channel)| channel == "apns"),
        field("ios_msg_received", Outcome::Received, |(.., channel)| channel == "jg_ios"),
        field("quickapp_jpush_received", Outcome::Received, |(.., channel)| channel == "quick_jg"),
        field("hmos_hmpns_sent", Outcome::Sent, |(kind, .., channel)| kind == "notification" && channel == "hmpns"),
        field("hmos_hmpns_received", Outcome::Received, |(kind, .., channel)| {
            kind == "notification" && channel == "hmpns"
        }),
        ("wp_mpns_sent".to_owned(), Value::Null),
    ])
}

/// `details` and the older blocks beside it, as in the document's example.
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

/// The older blocks, beside `details` or of a group, where vendors stand apart.
pub(super) fn older(counts: &Counts, is_group: bool) -> Map<String, Value> {
    let of = |outcome, is_part: &dyn Fn(Leaf) -> bool| sum(counts, outcome, is_part);
    let is_jpush = |(_, platform, channel): Leaf| platform != "quickapp" && !is_vendor(channel);
    let clicks = |kind: &str| of(Outcome::Click, &|leaf| is_jpush(leaf) && leaf.0 == kind);
    let jpush = json!({
        "target": of(Outcome::Target, &is_jpush), "received": of(Outcome::Received, &is_jpush),
        "online_push": if is_group { of(Outcome::Sent, &is_jpush) } else { 0 },
        "click": clicks("notification"), "msg_click": clicks("message"),
    });
    let is_apns = |(.., channel): Leaf| channel == "apns";
    let ios = json!({
        "apns_target": of(Outcome::Target, &is_apns), "apns_sent": of(Outcome::Sent, &is_apns),
        "apns_received": of(Outcome::Received, &is_apns), "apns_click": of(Outcome::Click, &is_apns),
        // Part of what stands under jpush.
        "msg_target": of(Outcome::Target, &|leaf| leaf.2 == "jg_ios"),
        "msg_received": of(Outcome::Received, &|leaf| leaf.2 == "jg_ios"), "msg_click": 0,
    });
    let vendors = |prefix: &str, is_part: &dyn Fn(Leaf) -> bool| {
        json!({
            format!("{prefix}target"): of(Outcome::Target, is_part), format!("{prefix}sent"): of(Outcome::Sent, is_part),
            format!("{prefix}received"): of(Outcome::Received, is_part),
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

/// The fields of `received`.
pub(super) fn received_old(counts: &Counts) -> Map<String, Value> {
    Map::from_iter([
        ("android_received".to_owned(), sum(counts, Outcome::Received, |leaf| leaf.1 == "android").into()),
        ("ios_apns_sent".to_owned(), sum(counts, Outcome::Sent, |leaf| leaf.2 == "apns").into()),
        ("ios_apns_received".to_owned(), sum(counts, Outcome::Received, |leaf| leaf.2 == "apns").into()),
        ("ios_msg_received".to_owned(), sum(counts, Outcome::Received, |leaf| leaf.2 == "jg_ios").into()),
        ("wp_mpns_sent".to_owned(), Value::Null),
    ])
}

/// The blocks of `messages`.
pub(super) fn messages_old(counts: &Counts) -> Map<String, Value> {
    let of = |outcome, platform: &str, is_part: &dyn Fn(Leaf) -> bool| {
        sum(counts, outcome, |leaf| leaf.1 == platform && is_part(leaf))
    };
    let (is_apns, is_custom) = (|leaf: Leaf| leaf.2 == "apns", |leaf: Leaf| leaf.0 == "message");
    let android = json!({
        "target": of(Outcome::Target, "android", &|_| true), "received": of(Outcome::Received, "android", &|_| true),
        "online_push": of(Outcome::Sent, "android", &|leaf| !is_vendor(leaf.2)),
        "click": of(Outcome::Click, "android", &|leaf| !is_custom(leaf)),
        "msg_click": of(Outcome::Click, "android", &is_custom),
    });
    let ios = json!({
        "apns_target": of(Outcome::Target, "ios", &is_apns), "apns_sent": of(Outcome::Sent, "ios", &is_apns),
        "apns_received": of(Outcome::Received, "ios", &is_apns), "click": of(Outcome::Click, "ios", &is_apns),
        "target": of(Outcome::Target, "ios", &is_custom), "received": of(Outcome::Received, "ios", &is_custom),
        "msg_click": 0,
    });
    Map::from_iter([("android".to_owned(), android), ("ios".to_owned(), ios)])
}

const GROUP_DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuv";

/// The id of a group message: letters and digits.
pub fn group_id(id: u64) -> String {
    (0..13).rev().map(|place| char::from(GROUP_DIGITS[(id >> (5 * place) & 31) as usize])).collect()
}

pub(super) fn of_group_id(text: &str) -> Option<u64> {
    text.bytes().try_fold(0_u64, |id, byte| {
        let digit = GROUP_DIGITS.iter().position(|digit| *digit == byte)?;
        Some(id << 5 | digit as u64)
    })
}
